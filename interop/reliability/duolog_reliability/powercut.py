"""Power cuts of a real kernel and file system under acknowledged load: what was promised must be there afterwards.

Each cut boots user-mode Linux, starts the broker on its ext4 data disk with a load client beside it, and cuts the
power at a random moment after some acknowledgements. Then the host mounts the disk, the broker recovers there,
and a fresh client reads all back. A disk lives through several cuts; some cuts hit the recovery itself, with
no look at the disk in between.

With --expect-loss the run passes only if something was lost: the negative control, for a broker that doesn't
sync. With --stand-in a small appender takes the broker's place, to prove the harness itself.
"""

import argparse
import json
import os
import random
import re
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from duolog_reliability import ledger, uml
from duolog_reliability.brokers import CACHE, SMALL_FILES, Duolog, Kafka, StartFailed
from duolog_reliability.checker import Checker
from duolog_reliability.consumers import Names, ReadBack
from duolog_reliability.history import History
from duolog_reliability.run import close
from duolog_reliability.topics import Admin

LOSSES = {"lost-write", "unseen", "revealed-lost", "hw-regression", "offset-regression", "topic-lost",
          "topic-resurrected", "inconsistent-offsets"}
LOAD_PARTITIONS = 4
LINE = re.compile(r"(ACK|READ|COMMIT|CREATED|DELETING|DELETED|PRODUCER) (.*) ;")


def arguments(argv):
    parser = argparse.ArgumentParser(prog="interop/reliability/powercut", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=10, help="verified cuts")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--chain", type=int, default=8, help="cuts that one disk lives through")
    parser.add_argument("--broker", choices=["duolog", "kafka"], default="duolog")
    parser.add_argument("--stand-in", choices=["sync", "nosync"], help="an appender in the broker's place")
    parser.add_argument("--binary", help="the duolog binary; by default the newest under target/")
    parser.add_argument("--durability", help="passed on to `duolog serve`; os implies --expect-loss")
    parser.add_argument("--set", action="append", default=None, dest="settings", metavar="KEY=VALUE",
                        help=f"the broker's settings (default: {' '.join(SMALL_FILES)} for duolog)")
    parser.add_argument("--broker-arg", action="append", default=[], help="passed on to `duolog serve`")
    parser.add_argument("--expect-loss", action="store_true", help="stop at the first loss, and pass only with one")
    parser.add_argument("--memory", default=None, help="of the machine (512M; for kafka 1200M)")
    parser.add_argument("--ledger", action="store_true", help="append the result to docs/reliability.md")
    options = parser.parse_args(argv)
    if options.durability:
        options.broker_arg += ["--durability", options.durability]
    options.expect_loss |= options.durability == "os" or options.stand_in == "nosync"
    options.memory = options.memory or ("1200M" if options.broker == "kafka" else "512M")
    return options


class StandIn:
    """The appender of uml/appender.c and how its file is judged."""

    name = "stand-in"

    def __init__(self, mode, data):
        self._binary = uml.compiled(Path(__file__).parent.parent / "uml" / "appender.c")
        self._mode, self._data = mode, data

    def format(self):
        self._data.mkdir()

    def inside(self, prefix):
        return f"#!/bin/sh\ncd {self._data} && exec {self._binary} log {self._mode} {prefix}x0\n"

    def verify(self, run):
        values = (self._data / "log").read_bytes().decode("ascii", "replace").split("\n")[:-1]
        entries = [[offset, value] for offset, value in enumerate(values)]
        run.adopt(value for _, value in entries)
        keep = len(os.path.commonprefix([run.seen, entries]))
        run.seen = entries
        run.history.op("reader", "invoke", "read-all", {})
        run.history.op("reader", "ok", "read-all", {run.keys[0]: {
            "lo": 0, "hi": len(entries), "keep": keep, "then": entries[keep:]}})


class Served:
    """A broker with the load client of uml/ack_load.py."""

    def __init__(self, broker):
        self.broker = broker
        self.name = broker.name

    def format(self):
        self.broker.format()

    def inside(self, prefix):
        reliability = Path(__file__).parent.parent
        command = " ".join(f"'{word}'" for word in self.broker.command())
        return (f"#!/bin/sh\ncd /tmp\n{command} </dev/null 2>&1 | sed -u 's/^/BROKER /' &\n"
                f"export PYTHONPATH={reliability} PYTHONDONTWRITEBYTECODE=1\n"
                f"exec {sys.executable} {reliability}/uml/ack_load.py {self.broker.address} {prefix}\n")

    def verify(self, run):
        """The broker recovers on the host and is read."""
        self.broker.spawn()
        try:
            seconds = self.broker.wait_ready()
            run.history.op("nemesis", "info", "ready", {"seconds": round(seconds, 3)})
            run.find_unacknowledged(self.broker.address)
            run.admin.list()
            run.reader.read_all(run.keys, timeout=60)
            for group, keys in sorted(run.groups.items()):
                run.history.op(group, "info", "commit", {"group": group, "offsets": dict.fromkeys(sorted(keys))})
                run.reader.committed(group, sorted(keys))
            status = self.broker.terminate()
            if status not in (0, 143):  # a JVM that is told to end says 143
                run.fault("broker-exit", status=status, how="SIGTERM on the host")
        except StartFailed as error:
            run.fault("start-failed", error=str(error))
        finally:
            self.broker.kill()


class Recording:
    """Stands in for a history whose operations are only looked at."""

    def __init__(self):
        self.ops = []

    def op(self, *words, **_more):
        self.ops.append(words)


class Run:
    """One run: disks, machines, and the history that their consoles tell."""

    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        kind = f"standin-{options.stand_in}" if options.stand_in else options.broker
        self.directory = CACHE / "runs" / f"powercut-{kind}-{options.seed}"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.disk = uml.Disk(self.directory)
        self.checker = Checker()
        self.history = History(self.directory / "history.jsonl", self.checker)
        self.names = Names()
        data = self.disk.path / "data"
        settings = options.settings
        if options.stand_in:
            self.subject = StandIn(options.stand_in, data)
        elif options.broker == "kafka":
            self.subject = Served(Kafka(self.directory, settings=settings or (), data=data))
        else:
            self.subject = Served(Duolog(self.directory, options.binary, options.broker_arg, settings, data=data))
        self.admin = self.reader = None
        if not options.stand_in:
            self.admin = Admin(self.subject.broker.address, self.names, self.history, "admin")
            self.reader = ReadBack(self.subject.broker.address, self.names, self.history)
        self.boots = 0
        self.disks = 0
        self.told = Counter()
        self.losses = 0
        self.failed_boots = 0

    def fault(self, name, **detail):
        self.history.op("nemesis", "info", "fault", {"name": name, **detail})

    def new_disk(self):
        self.disk.format()
        self.disk.mount()
        self.subject.format()
        self.disk.unmount()
        # What the old disk held is no longer asked for.
        if self.disks:
            incarnation = self.disks - 1
            self.history.op("admin", "ok", "delete-topic", {"topic": "cut", "incarnation": incarnation,
                                                            "partitions": LOAD_PARTITIONS})
            # The load makes it again on the new disk, before it tells the console anything.
            self.history.op("admin", "info", "create-topic", {"topic": "cut", "incarnation": self.disks,
                                                              "partitions": LOAD_PARTITIONS})
        self.names.set("cut", self.disks)
        self.keys = [f"cut@{self.disks}/{partition}" for partition in range(LOAD_PARTITIONS)]
        self.disks += 1
        self.groups = {}  # group -> keys it committed, on this disk
        self.topics = []  # made by the load on this disk
        self.sent = set()
        self.seen = []

    # -- one boot -----------------------------------------------------------------------------------------

    def boot_and_cut(self, early):
        """Boots, lets the load run, cuts. `early`: soon after the broker was started, to hit its recovery."""
        self.boots += 1
        prefix = f"c{self.boots}"
        machine = uml.Machine(self.directory, self.disk, self.subject.inside(prefix), self.options.memory)
        machine.wait_boot()
        if early:
            time.sleep(self.random.uniform(0, 1.2))
        else:
            wanted = self.random.randint(1, 400)
            count = iter(range(1, wanted + 1))
            enough = machine.wait_for(lambda line: line.startswith("ACK ") and next(count, wanted) >= wanted, 90)
            if enough:
                time.sleep(self.random.uniform(0, 0.4))
        machine.cut()
        self.take(machine.lines)
        if not early and not enough:
            self.fault("stuck-producer", wanted=wanted, console=machine.lines[-10:])
        self.history.op("nemesis", "info", "kill", {"how": "power cut", "early": early})

    def take(self, lines):
        """Turns what the console said into operations."""
        for line in lines:
            match = LINE.fullmatch(line)
            if match is None:
                continue
            kind, words = match[1], match[2].split(" ")
            self.told[kind] += 1
            getattr(self, "_take_" + kind.lower())(*words)

    def key(self, topic, partition):
        return self.names.key(topic, int(partition))

    def _take_producer(self, name, idempotent):
        self.history.op(name, "invoke", "producer", {"idempotent": idempotent == "1"})

    def _take_ack(self, topic, partition, offset, value, *slow):
        process = value.rpartition(".")[0]
        if value not in self.sent:
            self.sent.add(value)
            self.history.op(process, "invoke", "send", [["send", self.key(topic, partition), [None, value]]])
        self.history.op(process, "ok", "send", [["send", self.key(topic, partition), [int(offset), value]]],
                        **({"slow": True} if slow else {}))

    def _take_read(self, topic, partition, offset, value):
        self.adopt([value], self.key(topic, partition))
        self.history.op(f"console-{self.boots}", "ok", "poll",
                        [["poll", {self.key(topic, partition): [[int(offset), value]]}]], mode="subscribe")

    def _take_commit(self, group, topic, partition, offset):
        self.groups.setdefault(group, set()).add(self.key(topic, partition))
        value = {"group": group, "offsets": {self.key(topic, partition): int(offset)}}
        self.history.op(group, "invoke", "commit", value)
        self.history.op(group, "ok", "commit", value)

    def _take_created(self, topic, partitions):
        self._topic("create-topic", "ok", topic, int(partitions))

    def _take_deleting(self, topic):
        self._topic("delete-topic", "invoke", topic, 2)

    def _take_deleted(self, topic):
        self._topic("delete-topic", "ok", topic, 2)

    def _topic(self, f, kind, topic, partitions):
        self.topics.append(topic)
        self.history.op("load", kind, f, {"topic": topic, "incarnation": self.disks, "partitions": partitions})

    # -- after the cut ------------------------------------------------------------------------------------

    def adopt(self, values, key=None):
        """Values that the load may have sent without being told an answer: sends of unknown outcome.

        The console names only what was acknowledged; but a value must be the load's own, from a boot of this run.
        """
        for value in values:
            if value not in self.sent and re.fullmatch(r"c[1-9]\d*x\d\.\d+", value) \
                    and int(value[1:].partition("x")[0]) <= self.boots:
                self.sent.add(value)
                self.history.op(value.rpartition(".")[0], "invoke", "send",
                                [["send", key or self.keys[0], [None, value]]])
                self.history.op(value.rpartition(".")[0], "info", "send",
                                [["send", key or self.keys[0], [None, value]]])

    def find_unacknowledged(self, address):
        """A first read whose values, where the console didn't name them, are adopted as sent."""
        recording = Recording()
        ReadBack(address, self.names, recording).read_all(self.keys)
        for _, kind, f, value in recording.ops:
            if (kind, f) == ("ok", "read-all"):
                for key, read in value.items():
                    self.adopt((entry[1] for entry in read["then"]), key)

    def verify(self):
        self.disk.mount()
        try:
            self.subject.verify(self)
        finally:
            self.disk.unmount()
        self.losses = sum(self.checker.counts[name] for name in LOSSES)

    def all(self):
        """All cuts; returns how many were verified."""
        done = 0
        while done < self.options.cuts:
            if done % self.options.chain == 0:
                self.forget_topics()
                self.new_disk()
            try:
                while self.random.random() < 0.25 and not self.options.stand_in:
                    self.boot_and_cut(early=True)
                self.boot_and_cut(early=False)
            except uml.BootFailed as error:
                self.failed_boots += 1
                if self.failed_boots > 3:
                    raise
                print(f"the machine didn't boot, again: {error}", flush=True)
                continue
            self.history.op("nemesis", "info", "start", {"round": done + 1})
            self.verify()
            done += 1
            if done % 10 == 0:
                print(f"{done} cuts: {dict(self.told)}, anomalies: {dict(self.checker.counts) or 'none'}", flush=True)
            if self.checker.counts:
                break
        return done

    def forget_topics(self):
        """The next disk is empty: nothing that was created may be asked for."""
        for topic in set(getattr(self, "topics", ())):
            self.history.op("load", "info", "delete-topic", {"topic": topic, "incarnation": self.disks,
                                                             "partitions": 2})


def report(run, done, seconds):
    """Writes results.json, says what was found, and returns the exit code."""
    options = run.options
    results = run.checker.results()
    run.history.flush()
    command = f"interop/reliability/powercut --cuts {options.cuts} --seed {options.seed}"
    for flag, value in (("--stand-in", options.stand_in), ("--durability", options.durability),
                        ("--broker", options.broker if options.broker != "duolog" else None)):
        command += f" {flag} {value}" if value else ""
    command += "".join(f" --set {value}" for value in options.settings or [])
    command += " --expect-loss" if options.expect_loss and not (options.stand_in or options.durability) else ""
    results.update({"command": command, "seed": options.seed, "cuts": done, "boots": run.boots,
                    "seconds": round(seconds, 1), "commit": ledger.commit(), "told": dict(run.told)})
    (run.directory / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    counts = (f"{done} verified cuts of {run.subject.name} in {run.boots} boots, {run.told['ACK']} records, "
              f"{run.told['COMMIT']} commits, {run.told['CREATED']}/{run.told['DELETED']} topics created/deleted "
              f"acknowledged before a cut, {seconds:.0f} s")
    found = ", ".join(f"{name} {count}" for name, count in results["counts"].items())
    if options.expect_loss:
        passed = run.losses > 0
        verdict = f"lost, as it must without a sync: {found}" if passed else "FAILED: the negative control lost nothing"
    else:
        passed = not results["counts"] and done == options.cuts and run.told["ACK"] > 0
        verdict = "nothing lost" if passed else f"FAILED: {found or 'too little was acknowledged'}"
    print(f"{counts}\n{verdict}\nhistory, results and disk: {run.directory}\nrepeat: {command}")
    if options.ledger:
        ledger.append(command, counts, verdict)
    if passed:
        run.disk.image.unlink(missing_ok=True)
    print(f"powercut: {done if passed else 0} passed, {0 if passed else 1} failed")
    return 0 if passed else 1


def main(argv):
    options = arguments(argv)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    try:
        uml.require()
    except uml.Unavailable as reason:
        print(f"SKIPPED: no power cuts on this machine: {reason}\npowercut: 0 passed, 0 failed, 1 skipped")
        return 0
    began = time.monotonic()
    run = Run(options)
    print(f"powercut: {options.cuts} cuts of {run.subject.name}, seed {options.seed}", flush=True)
    done = run.all()
    return close(run, report(run, done, time.monotonic() - began))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
