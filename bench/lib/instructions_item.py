"""Instructions that the broker spends on a produced record, counted by callgrind: the same on a busy machine.

The count begins and ends around the requests (`callgrind_control`), and an idle stretch of the same length is
taken off. Valgrind offers fewer vector instructions than the machine has, so checksums cost more here than they do.
"""

import os
import pathlib
import re
import shutil
import time

from brokers import create_topic, run_quietly, start_duolog
from items import bench

#: Batches of so many records of 1 KiB, and how many requests of each.
SHAPES = [(1, 1000), (16, 500), (100, 200)]


def control(pid, *flags):
    run_quietly(["callgrind_control", *flags, pid], timeout=120)


def dumped(duolog, out, number):
    """Waits for the numbered dump (the control command returns before it is whole) and gives its path."""
    path = pathlib.Path(f"{out}.{number}")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and re.search(r"^totals: \d+", path.read_text(errors="replace"), re.MULTILINE):
            return path
        time.sleep(0.05)
    raise SystemExit(f"callgrind wrote no {path}\n{duolog.log_tail()}")


def total(path):
    return int(re.search(r"^totals: (\d+)", path.read_text(errors="replace"), re.MULTILINE).group(1))


def run(machine, report, scale):
    if shutil.which("valgrind") is None:
        raise SystemExit("instructions needs valgrind on the PATH (Debian: valgrind)")
    directory = machine.scratch("callgrind")
    out = directory / "callgrind.out"
    wrapper = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--separate-threads=no"]
    # Small files, so that zeroing them in advance is soon over and a rotation doesn't come in the middle.
    settings = ["wal.file_bytes=64MiB", "storage.background_bytes_per_second=0B", "wal.checkpoint_age=1d"]
    duolog = start_duolog(machine, directory=directory, settings=settings, wrapper=wrapper)
    try:
        create_topic(machine, duolog, "instructions", 1)
        number = 0

        def counted(requests, records):
            nonlocal number
            control(duolog.pid, "--zero")
            began = time.monotonic()
            if requests:
                bench(machine, "load", duolog.address, topic="instructions", partitions=1, producers=1, requests=requests, batch_records=records)
            else:
                time.sleep(3)
            took = time.monotonic() - began
            control(duolog.pid, "--dump")
            number += 1
            return total(dumped(duolog, out, number)), took

        bench(machine, "load", duolog.address, topic="instructions", partitions=1, producers=1, requests=200, batch_records=1)
        duolog.settle()
        idle, idle_seconds = counted(0, 0)
        report.add("instructions", "idle", idle / idle_seconds, "instructions/s")
        for records, requests in SHAPES:
            requests = max(20, int(requests * scale))
            count, seconds = counted(requests, records)
            count -= idle / idle_seconds * seconds
            report.add("instructions", f"batches of {records}: a request", count / requests, "instructions")
            report.add("instructions", f"batches of {records}: a record of 1 KiB", count / requests / records, "instructions", note=f"{requests} requests, one at a time")
            if keep := os.environ.get("DUOLOG_BENCH_PROFILE"):
                profile = run_quietly(["callgrind_annotate", "--threshold=95", f"{out}.{number}"])
                pathlib.Path(keep).mkdir(parents=True, exist_ok=True)
                (pathlib.Path(keep) / f"batches-of-{records}.txt").write_text(profile)
    finally:
        duolog.end()
