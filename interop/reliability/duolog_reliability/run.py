"""One run against a broker that dies: the clients, the history, and what a round consists of.

``kill9`` and ``faults`` differ in how the broker dies; what the clients do and what is checked after each restart
is here.
"""

import json
import os
import random
import shutil
import sys
import threading
import time

from duolog_reliability import ledger
from duolog_reliability.brokers import CACHE, Duolog, Kafka, StartFailed
from duolog_reliability.checker import Checker
from duolog_reliability.consumers import Committer, Member, Names, ReadBack, Tailer
from duolog_reliability.history import History
from duolog_reliability.jetstream import JetStreamLoad
from duolog_reliability.load import PLANS, Plan, ProducerThread
from duolog_reliability.topics import Admin, Churn

PROGRESS_TIMEOUT_SECONDS = 40
GENERATION_TOPICS = {"a": 3, "b": 2}


class Run:
    """One run: the broker, the clients, the history, and the rounds."""

    def __init__(self, options, name):
        self.options = options
        self.random = random.Random(options.seed)
        self.directory = CACHE / "runs" / f"{name}-{options.broker}-{options.seed}"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.checker = Checker()
        self.history = History(self.directory / "history.jsonl", self.checker)
        data = self.prepare_data()
        if options.broker == "kafka":
            self.broker = Kafka(self.directory, settings=options.settings or (), data=data)
        else:
            self.broker = Duolog(self.directory, options.binary, options.broker_arg, options.settings, data=data)
        self.broker.format()
        self.names = Names()
        self.admin = Admin(self.broker.address, self.names, self.history, "admin")
        self.reader = ReadBack(self.broker.address, self.names, self.history)
        self.generations = []  # newest last: {"n", "keys", "topics"}
        self.producers = []
        self.perm = None
        self.jetstream = None  # duolog only
        self.tailer = self.committer = self.churn = None
        self.members = []
        self.ready_seconds = 0.3
        self.read_counts = []

    def prepare_data(self):
        """Where the data directory is to be; None for a place of its own."""

    # -- the clients --------------------------------------------------------------------------------------

    def begin(self):
        """The first start: topics, and every client."""
        self.start(0)
        address, history = self.broker.address, self.history
        if not self.admin.create("perm", 0, 1, tries=5):
            raise StartFailed("could not create the first topic")
        self.perm = ProducerThread("perm", Plan(True, "all", "lz4", 8), address, ["perm@0/0"], history, self.seed())
        self.perm.start()
        self.churn = Churn(address, self.names, history, self.seed())
        self.rotate(0)
        self.members = [Member(f"member-{n}", address, "workers", "^(load-|perm)", self.names, history) for n in (0, 1)]
        for thread in [self.churn, *self.members]:
            thread.start()
        if self.options.broker == "duolog":
            self.jetstream = JetStreamLoad(f"nats://127.0.0.1:{self.broker.nats_port}", history, self.seed())
            self.jetstream.start()

    def seed(self):
        return self.random.randrange(1 << 32)

    def rotate(self, number):
        """Moves the load to new topics, and drops those of the generation before the last."""
        topics = {f"load-{number}-{name}": count for name, count in GENERATION_TOPICS.items()}
        for topic, count in topics.items():
            if not self.admin.create(topic, 0, count, tries=5):
                self.fault("stuck-producer", who=f"creation of {topic}")
        keys = [f"{topic}@0/{partition}" for topic, count in topics.items() for partition in range(count)]
        self.stop_clients()
        self.producers = [ProducerThread(f"p{number}-{n}", plan, self.broker.address, keys, self.history, self.seed())
                          for n, plan in enumerate(PLANS)]
        self.tailer = Tailer(f"tailer-{number}", self.broker.address, [*keys, "perm@0/0"], self.names, self.history)
        self.committer = Committer(f"committer-{number}", self.broker.address, f"positions-{number}", self.tailer,
                                   self.history)
        for thread in [*self.producers, self.tailer, self.committer]:
            thread.start()
        self.generations.append({"n": number, "keys": keys, "topics": topics})
        if len(self.generations) > 2:
            for topic, count in self.generations.pop(0)["topics"].items():
                self.admin.delete(topic, 0, count, tries=5)

    def stop_clients(self):
        threads = [*self.producers, *(thread for thread in (self.tailer, self.committer) if thread)]
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join(30)
        self.producers, self.tailer, self.committer = [], None, None

    # -- the broker ---------------------------------------------------------------------------------------

    def start(self, number):
        self.history.op("nemesis", "info", "start", {"round": number})
        self.broker.spawn()
        seconds = self.broker.wait_ready()
        self.ready_seconds = 0.7 * self.ready_seconds + 0.3 * seconds
        self.history.op("nemesis", "info", "ready", {"round": number, "seconds": round(seconds, 3)})
        if self.churn:
            self.churn.ready.set()

    def kill(self, how):
        if self.churn:
            self.churn.ready.clear()
        ended = self.broker.kill()
        self.history.op("nemesis", "info", "kill", {"how": how})
        if ended is not None:
            self.fault("broker-exit", status=ended, how=how)

    def fault(self, name, **detail):
        self.history.op("nemesis", "info", "fault", {"name": name, **detail})

    # -- one round ----------------------------------------------------------------------------------------

    def wait_progress(self):
        """Every client must be served again after a restart: a broker that is up but stuck fails the run."""
        watched = [*self.producers, self.perm, self.committer, *([self.jetstream] if self.jetstream else [])]
        watched = {thread.name: (thread, thread.acked) for thread in watched}
        deadline = time.monotonic() + PROGRESS_TIMEOUT_SECONDS
        while watched and time.monotonic() < deadline and self.broker.process.poll() is None:
            watched = {name: entry for name, entry in watched.items()
                       if entry[0].acked == entry[1] and entry[0].is_alive()}
            time.sleep(0.01)
        for name in watched:
            self.fault("stuck-producer", who=name, seconds=PROGRESS_TIMEOUT_SECONDS)
        for thread in [*self.producers, self.perm]:
            if thread.refused:
                self.fault("refused-for-good", who=thread.name, errors=sorted(thread.refused))

    def verify(self):
        """Reads everything, and asks for what was committed and created."""
        if self.broker.process.poll() is not None:
            return
        with self.churn.steady:
            keys = [key for generation in self.generations for key in generation["keys"]] + ["perm@0/0"]
            self.read_counts.append(self.reader.read_all(keys + self.churn.keys()))
            self.admin.list()
        if self.jetstream:
            self.jetstream.read()
        self.reader.committed("workers", keys)
        for generation in self.generations:
            self.reader.committed(f"positions-{generation['n']}", generation["keys"])

    def finish(self):
        """The load ends; a last kill and a clean stop must both leave all of it."""
        for thread in [self.churn, self.perm, *self.members]:
            thread.stop()
        self.stop_clients()
        for thread in [self.churn, self.perm, *self.members]:
            thread.join(30)
        if self.jetstream:
            self.jetstream.finish()
        self.kill("end")
        self.start(self.options.rounds + 1)
        self.verify()
        if self.options.broker == "duolog":
            status = self.broker.terminate()
            if status != 0:
                self.fault("broker-exit", status=status, how="SIGTERM")
            self.start(self.options.rounds + 2)
            self.verify()
        self.broker.kill()

    def all(self):
        """All rounds; returns the number that were finished."""
        done = 0
        try:
            self.begin()
            for number in range(1, self.options.rounds + 1):
                if number % self.options.rotate == 0:
                    self.rotate(number // self.options.rotate)
                self.wait_progress()
                self.verify()
                self.break_it(number)
                if self.checker.counts:
                    break  # what comes after a broken promise tells little: the history is there to be read
                done = number
                if number % 10 == 0:
                    self.say(number)
            else:
                self.finish()
        except StartFailed as error:
            self.fault("start-failed", error=str(error))
        finally:
            if self.broker.process and self.broker.process.poll() is None:
                self.broker.kill()
        return done

    def break_it(self, number):
        """What is special to a harness: the broker dies in some way, and is started again."""
        raise NotImplementedError

    def say(self, number):
        info = self.checker.info
        print(f"round {number}: {info['acked']} acknowledged, {self.read_counts[-1]} read back in the last round, "
              f"{info['commits']} commits, anomalies: {dict(self.checker.counts) or 'none'}", flush=True)


def close(run, code):
    """Ends the process with the verdict, whatever the clients are still waiting for."""
    run.history.close()
    sys.stdout.flush()
    os._exit(code) if threading.active_count() > 1 else None
    return code


def jetstream(info):
    """What JetStream's clients did, if there were any."""
    if not info.get("js-acked"):
        return ""
    return (f"JetStream: {info['js-acked']} messages acknowledged ({info.get('js-duplicates', 0)} as duplicates), "
            f"{info.get('js-delivered', 0)} delivered, {info.get('js-confirmed', 0)} acknowledgements confirmed, "
            f"{info.get('js-reads', 0)} whole reads, ")


def report(run, name, done, seconds, more=""):
    """Writes results.json, says what was found, and returns the exit code."""
    results = run.history.ask(lambda checker: checker.results())
    options = run.options
    command = f"interop/reliability/{name} --rounds {options.rounds} --seed {options.seed}"
    if options.broker != "duolog":
        command += f" --broker {options.broker}"
    sabotage = getattr(options, "sabotage", None)
    command += f" --sabotage {sabotage}" if sabotage else ""
    for flag, values in (("--set", options.settings or []), ("--broker-arg", options.broker_arg)):
        command += "".join(f" {flag} {value}" for value in values)
    results.update({"command": command, "seed": options.seed, "rounds": done, "seconds": round(seconds, 1),
                    "commit": ledger.commit()})
    (run.directory / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    run.history.flush()
    info = results["info"]
    counts = (f"{done} rounds, {info.get('kills', 0)} kills, {info.get('acked', 0)} records acknowledged, "
              f"{info.get('info', 0)} in doubt, {info.get('whole-reads', 0)} whole reads, "
              f"{info.get('commits', 0)} commits, {info.get('topics-created', 0)}/{info.get('topics-deleted', 0)} "
              f"topics created/deleted, {jetstream(info)}{more}{seconds:.0f} s")
    verdict = {True: "no anomaly", "unknown": "inconclusive: too few sends were acknowledged"}.get(
        results["valid?"], "FAILED: " + ", ".join(f"{name} {n}" for name, n in results["counts"].items()))
    passed = results["valid?"] is True and done == options.rounds
    if sabotage:
        passed = "inconsistent-offsets" in results["counts"]
        verdict = f"found, as it must be: {verdict.removeprefix('FAILED: ')}" if passed else "FAILED: nothing was found"
    print(f"{counts}\n{verdict}")
    print(f"history and results: {run.directory}\nrepeat: {command}")
    if options.ledger:
        ledger.append(command, counts, verdict)
    if passed and not options.keep:
        shutil.rmtree(run.broker.data, ignore_errors=True)
    print(f"{name.split()[0]}: {done if passed else 0} passed, {0 if passed else max(1, options.rounds - done)} failed")
    return 0 if passed else 1
