"""kcat (Debian's, on librdkafka) against the broker: main.py --kcat PATH --bootstrap HOST:PORT [--records N].

kcat is a program, so the checks are what a shell user would type: lines in, lines out.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))
from report import Report, eventually, expect  # noqa: E402

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
KEYS = 64
COMMAND_SECONDS = 60


class Kcat:
    def __init__(self, program, bootstrap):
        self.base = [program, "-b", bootstrap, "-q"]

    def __call__(self, *arguments, lines=None):
        text = None if lines is None else "".join(line + "\n" for line in lines)
        done = subprocess.run(
            [*self.base, *arguments], input=text if lines is not None else "",
            capture_output=True, text=True, timeout=COMMAND_SECONDS)
        expect(done.returncode == 0, f"kcat {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-500:]}")
        return done.stdout


def auto_create(kcat, topic):
    """Asks for the topic's metadata, which creates it, and waits until its first partition answers."""
    def answers():
        kcat("-L", "-t", topic)
        try:
            return "offset 0" in kcat("-Q", "-t", f"{topic}:0:-1")
        except AssertionError:
            return False

    eventually(f"{topic} is auto-created", answers)


def round_trip(kcat, topic, codec, keyed, records):
    auto_create(kcat, topic)
    values = [f"{i:08d} {'x' * (i % 100)}" for i in range(records)]
    options = ["-P", "-t", topic, "-z", codec, "-X", "acks=all", "-X", "linger.ms=5"]
    if keyed:
        kcat(*options, "-K", ":", lines=[f"key-{i % KEYS}:{value}" for i, value in enumerate(values)])
    else:
        kcat(*options, lines=values)
    read = kcat("-C", "-t", topic, "-o", "beginning", "-e", "-X", "check.crcs=true", "-f", "%p %o %K %k|%s\n")
    seen, next_offset, last, home = set(), {}, {}, {}
    for line in read.splitlines():
        head, value = line.split("|", 1)
        partition, offset, key_length, key = head.split(" ", 3)
        number = int(value[:8])
        expect(value == values[number], f"value of record {number} changed")
        expect(number not in seen, f"record {number} came twice")
        seen.add(number)
        expect(int(offset) == next_offset.get(partition, 0), f"offset {offset}, expected {next_offset.get(partition, 0)}")
        next_offset[partition] = int(offset) + 1
        expect(number > last.get(partition, -1), f"record {number} behind {last.get(partition)}: order lost")
        last[partition] = number
        if keyed:
            expect(key == f"key-{number % KEYS}", f"record {number} has key {key}")
            expect(home.setdefault(key, partition) == partition, f"{key} in two partitions")
        else:
            expect(key_length == "-1", f"record {number} has a key")
    expect(len(seen) == records, f"{records - len(seen)} of {records} records missing")
    return records


def metadata(kcat, topic):
    def partitions():
        listed = json.loads(kcat("-L", "-J"))
        expect(len(listed["brokers"]) == 1, f"brokers {listed['brokers']}")
        return next((t["partitions"] for t in listed["topics"] if t["topic"] == topic), None)

    kcat("-P", "-t", topic, lines=["first"])
    listed = eventually("auto-created topic in the listing", partitions)
    expect(all(p["leader"] == json.loads(kcat("-L", "-J"))["brokers"][0]["id"] for p in listed), f"{listed}")


def headers(kcat, topic):
    auto_create(kcat, topic)
    kcat("-P", "-t", topic, "-p", "0", "-H", "tag=first", "-H", "tag=second", "-H", "empty=", lines=["v"])
    got = json.loads(kcat("-C", "-t", topic, "-o", "beginning", "-e", "-J"))
    expect(got["headers"] == ["tag", "first", "tag", "second", "empty", ""], f"{got['headers']}")
    expect(got["tstype"] == "create" and got["ts"] > 0, f"timestamp {got['tstype']} {got['ts']}")
    found = kcat("-Q", "-t", f"{topic}:0:{got['ts']}")
    expect("offset 0" in found, f"offset for the record's timestamp: {found}")
    end = kcat("-Q", "-t", f"{topic}:0:-1")
    expect("offset 1" in end, f"end offset: {end}")


def group(kcat, topic, records):
    auto_create(kcat, topic)
    kcat("-P", "-t", topic, lines=map(str, range(records)))
    read = kcat("-G", f"{topic}-group", "-c", str(records), "-X", "auto.offset.reset=earliest", "-f", "%s\n", topic)
    expect(sorted(map(int, read.split())) == list(range(records)), f"{len(read.split())} of {records} records")
    return records


def null_and_empty(kcat, topic):
    auto_create(kcat, topic)
    # -Z: an empty key or value is sent as null.
    kcat("-P", "-t", topic, "-p", "0", "-Z", "-K", ":", lines=["k:", ":v"])
    kcat("-P", "-t", topic, "-p", "0", "-K", ":", lines=["k:"])
    read = kcat("-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-f", "%K %S\n").split("\n")[:-1]
    expect(read == ["1 -1", "-1 1", "1 0"], f"{read}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kcat", required=True)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--records", type=int, default=100_000)
    arguments = parser.parse_args()
    kcat, report, run_id = Kcat(arguments.kcat, arguments.bootstrap), Report("kcat"), uuid.uuid4().hex[:8]
    report.check("metadata listing", metadata, kcat, f"kcat-metadata-{run_id}")
    for codec in CODECS:
        for kind in ("keyed", "unkeyed"):
            topic = f"kcat-{codec}-{kind}-{run_id}"
            report.check(f"{codec} {kind}", round_trip, kcat, topic, codec, kind == "keyed", arguments.records)
    report.check("headers, timestamps, offset query", headers, kcat, f"kcat-headers-{run_id}")
    report.check("null and empty keys and values", null_and_empty, kcat, f"kcat-nulls-{run_id}")
    report.check("group consumer", group, kcat, f"kcat-group-{run_id}", min(arguments.records, 10_000))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
