"""Single faults at chosen system calls, and a full disk, under the same load and checks as kill9.

kill    SIGKILL at the k-th write, sync, rename, … that the broker makes (strace -e inject), start-up included
eio     EIO at the k-th write or sync: the broker must stop by itself with a status that isn't 0, its clients must see
        nothing that they can't retry, and after a restart nothing acknowledged may be missing
enospc  a real full disk (a small ext4): producing is refused with a retriable error, reads and commits go on, a
        kill -9 and restart there loses nothing, and producing goes on when there is room again
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter

from confluent_kafka import Producer

from duolog_reliability import uml
from duolog_reliability.brokers import SMALL_FILES, StartFailed
from duolog_reliability.load import PATIENCE, encode
from duolog_reliability.run import Run, close, report

WRITES = ["pwrite64", "pwritev", "pwritev2"]
SYNCS = ["fdatasync", "fsync", "syncfs", "sync_file_range"]
NAMES = ["rename", "renameat", "renameat2", "unlink", "unlinkat", "ftruncate", "fallocate"]
RETRIABLE = {"KAFKA_STORAGE_ERROR", "NOT_ENOUGH_REPLICAS", "THROTTLING_QUOTA_EXCEEDED", "REQUEST_TIMED_OUT"}
DISK_MEGABYTES = 4096  # sparse: only what is written takes room on the host


def arguments(argv):
    parser = argparse.ArgumentParser(prog="interop/reliability/faults", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fault", choices=["kill", "eio", "enospc"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--rotate", type=int, default=12)
    parser.add_argument("--broker", choices=["duolog", "kafka"], default="duolog")
    parser.add_argument("--binary", help="the duolog binary; by default the newest under target/")
    parser.add_argument("--set", action="append", default=None, dest="settings", metavar="KEY=VALUE",
                        help=f"the broker's settings (default: {' '.join(SMALL_FILES)} for duolog)")
    parser.add_argument("--broker-arg", action="append", default=[])
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--ledger", action="store_true", help="append the result to docs/reliability.md")
    return parser.parse_args(argv)


class Injected(Run):
    """Faults by strace, at a system call chosen among those that the broker was seen to make."""

    def __init__(self, options, name):
        super().__init__(options, name)
        self.trace = self.directory / "trace"
        self.calls = SYNCS + WRITES + (NAMES if options.fault == "kill" else [])
        self.seen = Counter()  # system call -> how many of it one thread made in a round
        self.hits = Counter()

    def start_traced(self, number, *inject):
        """Starts the broker under strace; only the calls of interest stop it."""
        self.trace.unlink(missing_ok=True)
        self.broker.wrapper = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", str(self.trace), "-e",
                               f"trace={','.join(self.calls)}", *inject]
        try:
            self.start(number)
            return True
        except StartFailed:
            if self.was_injected():
                return False
            raise
        finally:
            self.broker.wrapper = []

    def was_injected(self):
        """Whether the fault came to pass, by strace's own record."""
        text = self.trace.read_text(errors="replace") if self.trace.exists() else ""
        return "(INJECTED)" in text or "killed by SIGKILL" in text

    def calibrate(self):
        """One start without a fault, to learn which calls there are and how many."""
        self.kill("calibration")
        self.start_traced(0)
        self.wait_progress()
        time.sleep(1.5)
        self.kill("calibration")
        # strace counts to k by thread, so what matters is the busiest thread.
        text = self.trace.read_text(errors="replace")
        for (_, call), count in Counter(re.findall(r"^(\d+) +(\w+)\(", text, re.MULTILINE)).items():
            self.seen[call] = max(self.seen[call], count)
        if not self.seen:
            raise StartFailed(f"the broker made none of {self.calls}: strace sees nothing")
        print(f"seen in one round: {dict(self.seen)}", flush=True)
        self.start(0)

    def break_it(self, number):
        if not self.seen:
            self.calibrate()
        self.kill("before the fault")
        call = self.random.choice(sorted(self.seen))
        most = self.seen[call]
        k = self.random.randint(1, min(most, 25) if self.random.random() < 0.4 else most)
        what = "signal=SIGKILL" if self.options.fault == "kill" else "error=EIO"
        self.history.op("nemesis", "info", "start", {"round": number, "fault": f"{call}:{what}:when={k}"})
        self.start_traced(number, "-e", f"inject={call}:{what}:when={k}")
        ended = self.wait_end(6.0)
        injected = self.was_injected()
        if injected:
            self.hits[call] += 1
            if self.options.fault == "eio" and not ended:
                self.fault("eio-survived", call=call, k=k)
            elif self.options.fault == "eio" and self.broker.process.returncode == 0:
                self.fault("eio-exit-zero", call=call, k=k)
            elif self.options.fault == "eio" and self.broker.process.returncode < 0:
                self.fault("eio-no-clean-exit", call=call, k=k, signal=-self.broker.process.returncode)
        elif ended:
            self.fault("broker-exit", status=self.broker.process.returncode, how="no fault was injected")
        self.churn.ready.clear()
        self.broker.kill()
        self.history.op("nemesis", "info", "kill", {"how": f"{call} {k}", "injected": injected})
        self.start(number)

    def wait_end(self, seconds):
        """Waits until the broker has ended, or for `seconds`; after the fault came, 10 s more for its exit."""
        deadline = time.monotonic() + seconds
        extended = False
        while time.monotonic() < deadline:
            if self.broker.process.poll() is not None:
                return True
            if not extended and self.was_injected():
                extended, deadline = True, time.monotonic() + 10
            time.sleep(0.02)
        return False


class FullDisk(Run):
    """The data directory on a small ext4 that is filled up and freed again."""

    def __init__(self, options, name):
        uml.require_root()
        self.probes = 0
        self.told = Counter()  # error -> how often the prober was told it
        super().__init__(options, name)

    def prepare_data(self):
        self.disk = uml.Disk(self.directory, DISK_MEGABYTES)
        self.disk.format()
        self.disk.mount()
        return self.disk.path / "data"

    def break_it(self, number):
        filler = self.disk.path / "filler"
        free = shutil.disk_usage(self.disk.path).free
        left = self.random.randint(1 << 20, 12 << 20)
        subprocess.run(["fallocate", "-l", str(max(free - left, 4096)), str(filler)], check=True)
        self.history.op("nemesis", "info", "start", {"round": number, "fault": f"{left} bytes left on the disk"})
        refused = self.wait_refusal()
        if refused:
            self.check_full()
            if self.random.random() < 0.5:
                self.kill("while the disk is full")
                self.start(number)
                self.check_full()
        if self.broker.process.poll() is not None:
            self.fault("broker-exit", status=self.broker.process.returncode, how="disk full")
        filler.unlink()
        self.wait_progress()  # without a restart: producing resumes by itself
        self.verify()
        self.kill("after the disk was full")
        self.start(number)

    def wait_refusal(self):
        """Produces until the broker refuses; judges the error that a client without retries is told."""
        client = Producer({"bootstrap.servers": self.broker.address, "acks": "all", "retries": 0,
                           "message.timeout.ms": 10000, **PATIENCE})
        errors = []
        key = self.generations[-1]["keys"][0]
        topic = key.partition("@")[0]
        self.history.op("prober", "invoke", "producer", {"idempotent": False})
        deadline = time.monotonic() + 60
        while not errors and time.monotonic() < deadline and self.broker.process.poll() is None:
            self.probes += 1
            value = f"prober.{self.probes}"
            self.history.op("prober", "invoke", "send", [["send", key, [None, value]]])
            offsets = []

            def told(error, message, offsets=offsets):
                (errors if error else offsets).append(error or message.offset())

            client.produce(topic, encode(value, 60000), partition=0, on_delivery=told)
            client.flush(12)
            self.history.op("prober", "info" if errors else "ok", "send",
                            [["send", key, [offsets[0] if offsets else None, value]]])
        for error in errors:
            self.told[error.name()] += 1
            if error.code() < 0:
                self.fault("stuck-producer", who="prober: no answer while the disk is full", error=error.name())
            elif error.name() not in RETRIABLE and not error.retriable():
                self.fault("refused-for-good", who="prober", errors=[error.name()])
        return bool(errors)

    def check_full(self):
        """While nothing can be produced: everything can be read, and commits are taken."""
        before = self.committer.acked
        self.verify()
        self.committer.again.set()
        deadline = time.monotonic() + 15
        while self.committer.acked == before and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.committer.acked == before:
            self.fault("stuck-consumer", who="commits while the disk is full")

    def all(self):
        try:
            return super().all()
        finally:
            self.disk.unmount()


def main(argv):
    options = arguments(argv)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    name = f"faults {options.fault}"
    try:
        uml.require_tools({"strace": "strace"} if options.fault != "enospc" else {"mkfs.ext4": "e2fsprogs"})
        run = (FullDisk if options.fault == "enospc" else Injected)(options, name.replace(" ", "-"))
    except uml.Unavailable as reason:
        print(f"SKIPPED: {reason}\nfaults: 0 passed, 0 failed, 1 skipped")
        return 0
    began = time.monotonic()
    print(f"{name}: {options.rounds} rounds on {options.broker}, seed {options.seed}", flush=True)
    done = run.all()
    extra = f"hits {dict(run.hits)}, " if options.fault != "enospc" else f"refused {dict(run.told)}, "
    return close(run, report(run, name, done, time.monotonic() - began, extra))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
