"""Kill -9 of the broker under load from real clients, round after round, on one directory and port.

Producers, consumers and topic changes go on through every kill, as they would in the field; after each restart
everything is read from the beginning by a fresh client and judged (see ``checker``). The broker dies at a random
moment of the load, while it starts, or just when a file of its data directory appears or goes (a checkpoint,
a roll).
"""

import argparse
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

from duolog_reliability import selftest
from duolog_reliability.brokers import SMALL_FILES
from duolog_reliability.checker import Checker
from duolog_reliability.history import read
from duolog_reliability.run import Run, close, report


def arguments(argv):
    parser = argparse.ArgumentParser(prog="interop/reliability/kill9", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=None, help="of all choices; the run's own is printed")
    parser.add_argument("--seconds-per-round", type=float, default=0.6, help="longest load after each check")
    parser.add_argument("--rotate", type=int, default=12, help="rounds after which the load moves to new topics")
    parser.add_argument("--broker", choices=["duolog", "kafka"], default="duolog")
    parser.add_argument("--binary", help="the duolog binary; by default the newest under target/")
    parser.add_argument("--set", action="append", default=None, dest="settings", metavar="KEY=VALUE",
                        help=f"the broker's settings (default: {' '.join(SMALL_FILES)} for duolog)")
    parser.add_argument("--broker-arg", action="append", default=[], help="passed on to `duolog serve`")
    parser.add_argument("--sabotage", choices=["restore"], help="negative control: put an older copy of the data "
                        "directory back after a kill, which the checks must notice")
    parser.add_argument("--keep", action="store_true", help="keep the data directory of a run that passed")
    parser.add_argument("--ledger", action="store_true", help="append the result to docs/reliability.md")
    parser.add_argument("--self-test", action="store_true", help="only run the checker against known histories")
    parser.add_argument("--check", metavar="HISTORY", help="only judge a stored history.jsonl")
    return parser.parse_args(argv)


class Kill9(Run):
    """The broker is killed at a random moment, sometimes again while it starts."""

    copy = None

    def break_it(self, number):
        mode = self.random.choice(["load", "load", "file", "startup"])
        time.sleep(self.random.uniform(0, self.options.seconds_per_round))
        if mode == "file" and self.wait_for_a_file(2.0):
            time.sleep(self.random.choice((0, 0.001, 0.005)) * self.random.random())
        self.kill(mode)
        self.sabotage(number)
        for _ in range(self.random.randint(1, 2) if mode == "startup" else 0):
            self.broker.spawn()
            time.sleep(self.random.uniform(0, 1.3 * self.ready_seconds))
            self.kill("startup")
        self.start(number)

    def sabotage(self, number):
        """The negative control: the directory of two rounds ago comes back, as if the disk had forgotten."""
        if self.options.sabotage and number == 2:
            self.copy = self.directory / "older"
            shutil.copytree(self.broker.data, self.copy)
        elif self.options.sabotage and number == 4:
            shutil.rmtree(self.broker.data)
            shutil.copytree(self.copy, self.broker.data)

    def wait_for_a_file(self, seconds):
        """Returns when a file under the data directory appears or goes, or after `seconds`."""
        deadline = time.monotonic() + seconds
        before = None
        while time.monotonic() < deadline:
            now = {os.path.join(at, name) for at, _, files in os.walk(self.broker.data) for name in files}
            if before is not None and now != before:
                return True
            before = now
            time.sleep(0.0005)
        return False


def main(argv):
    options = arguments(argv)
    if options.self_test:
        return 1 if selftest.run() else 0
    if options.check:
        checker = Checker()
        for op in read(Path(options.check)):
            checker.feed(op)
        print(json.dumps(checker.results(), indent=1))
        return 0 if checker.results()["valid?"] is True else 1
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    began = time.monotonic()
    run = Kill9(options, "kill9")
    print(f"kill9: {options.rounds} rounds on {options.broker}, seed {options.seed}", flush=True)
    done = run.all()
    return close(run, report(run, "kill9", done, time.monotonic() - began))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
