"""JetStream and core NATS beside nats-server: its default, which syncs every two minutes, and `sync_interval: always`.

The servers run at the same time and are measured in turns; a ratio is the median of its turns. The client is
`duolog-bench nats`, the same for all: raw sockets, so that the server is what limits.
"""

import contextlib
import json
import statistics
import time

import brokers
from brokers import Running, run_quietly
from report import AT_LEAST

import nats_server  # noqa: E402  (beside install, which brokers put on the path)

TURNS = 3
MILLION = 1_000_000
ALWAYS, DEFAULT, DUOLOG = "nats-server, sync always", "nats-server", "duolog"
MIB = 1 << 20
CHECKPOINT_SECONDS = 10
CONFIG = """
jetstream {{
  store_dir: "{directory}/data"
  sync_interval: always
}}
"""


def start_nats_server(machine, directory=None, always=False):
    directory = directory or machine.scratch("nats-server")
    command = [str(nats_server.nats_server_binary()), "-a", "127.0.0.1", "-p", "-1", "-n", "server",
               "--ports_file_dir", str(directory)]
    if always:
        config = directory / "server.conf"
        config.write_text(CONFIG.format(directory=directory))
        command += ["-c", str(config)]
    else:
        command += ["-js", "-sd", str(directory / "data")]
    for stale in directory.glob("*.ports"):
        stale.unlink()

    def written_address(_log):
        for path in directory.glob("*.ports"):
            text = path.read_text()
            if text.endswith("}"):
                return json.loads(text)["nats"][0].removeprefix("nats://")
        return None

    running = Running(ALWAYS if always else DEFAULT, command, directory)
    running.nats = running.wait_until_ready(written_address).address
    return running


def start_duolog(machine, directory=None, settings=()):
    running = brokers.start_duolog(machine, directory=directory, settings=settings)
    running.nats = nats_server.NATS_LINE.search(running.log_path.read_text()).group(1)
    return running


def bench(machine, running, command, *positional, **options):
    flags = [part for name, value in options.items() for part in ((f"--{name.replace('_', '-')}", value) if value is not True else (f"--{name}",))]
    return json.loads(run_quietly([machine.bench, "nats", command, "--server", running.nats, *positional, *flags]))


@contextlib.contextmanager
def all_of(*started):
    try:
        yield {one.name: one for one in started}
    finally:
        for one in started:
            one.end()


class Turns:
    """Runs the same on each server in turns, and compares."""

    def __init__(self, report, scale):
        self.report, self.scale, self.rates = report, scale, {}

    def take(self, what, running, measure, turns=TURNS):
        """`measure(running, turn)` gives a rate; `running` are the servers that take part."""
        rates = {name: [] for name in running}
        for turn in range(turns):
            for name, one in running.items():
                rates[name].append(measure(one, turn))
        for name, seen in rates.items():
            self.report.add("nats", f"{what}: {name}", statistics.median(seen), "/s",
                            note="turns: " + ", ".join(f"{rate:,.0f}" for rate in seen))
        self.rates[what] = rates

    def compare(self, what, other, goal, note=""):
        rates = self.rates[what]
        ratio = statistics.median(ours / theirs for ours, theirs in zip(rates[DUOLOG], rates[other]))
        self.report.add("nats", f"{what}: duolog / {other}", ratio, "x", goal=goal, way=AT_LEAST, note=note)


def settled(servers):
    if DUOLOG in servers:
        servers[DUOLOG].settle()


def publish(machine, report, scale):
    """Publishing into file streams, acknowledged."""
    turns = Turns(report, scale)
    with all_of(start_duolog(machine), start_nats_server(machine), start_nats_server(machine, always=True)) as servers:
        settled(servers)

        def rate(**options):
            def measure(running, turn):
                prefix = f"p{len(turns.rates)}t{turn}"
                counts = {**options, "messages": scaled(options["messages"][running.name], scale)}
                return bench(machine, running, "publish", prefix=prefix, **counts)["messages_per_second"]
            return measure

        many = {DUOLOG: 1_000_000, DEFAULT: 1_000_000, ALWAYS: 20_000}
        turns.take("warm-up, 128 B asynchronous", servers, rate(messages={name: 50_000 if name != ALWAYS else 2_000 for name in many}, window=4000), turns=1)
        turns.take("publish 128 B asynchronous, durable", servers, rate(messages=many, window=4000))
        turns.compare("publish 128 B asynchronous, durable", ALWAYS, 30)
        turns.compare("publish 128 B asynchronous, durable", DEFAULT, 0.8)
        unsynced = {name: servers[name] for name in (DUOLOG, DEFAULT)}
        turns.take("publish 1 KiB asynchronous", unsynced, rate(messages={DUOLOG: 300_000, DEFAULT: 300_000}, window=4000, bytes=1024))
        turns.compare("publish 1 KiB asynchronous", DEFAULT, None)
        turns.take("publish 128 B asynchronous with message ids", unsynced, rate(messages={DUOLOG: 300_000, DEFAULT: 300_000}, window=4000, ids=True))
        turns.compare("publish 128 B asynchronous with message ids", DEFAULT, None)
        durable = {name: servers[name] for name in (DUOLOG, ALWAYS)}
        turns.take("8 streams, one synchronous publisher each", durable, rate(messages={DUOLOG: 5_000, ALWAYS: 2_000}, streams=8))
        turns.compare("8 streams, one synchronous publisher each", ALWAYS, 2.5)
        turns.take("one synchronous publisher", durable, rate(messages={DUOLOG: 10_000, ALWAYS: 5_000}))
        turns.compare("one synchronous publisher", ALWAYS, 1.5)


def scaled(count, scale):
    return max(100, int(count * scale))


def consume(machine, report, scale):
    """Reading a stream, and core NATS."""
    turns = Turns(report, scale)
    with all_of(start_duolog(machine), start_nats_server(machine)) as servers:
        messages = scaled(1_000_000, scale)
        for running in servers.values():
            bench(machine, running, "publish", prefix="read", messages=messages, window=4000)
        settled(servers)

        def reading(mode, ack, count):
            return lambda running, _turn: bench(machine, running, "consume", stream="read-0", mode=mode, ack=ack, messages=count)["messages_per_second"]

        turns.take("replay to a push consumer", servers, reading("push", "none", messages))
        turns.compare("replay to a push consumer", DEFAULT, 0.8)
        turns.take("pull by 500, explicit acks", servers, reading("pull", "explicit", messages // 2))
        turns.compare("pull by 500, explicit acks", DEFAULT, 1)
        turns.take("pull by 500, no acks", servers, reading("pull", "none", messages))
        turns.compare("pull by 500, no acks", DEFAULT, None)

        def core(scene, count, window=1):
            return lambda running, _turn: bench(machine, running, "core", scene=scene, messages=scaled(count, scale), window=window)["messages_per_second"]

        turns.take("core publish to nobody", servers, core("nobody", 10_000_000))
        turns.compare("core publish to nobody", DEFAULT, 0.7)
        turns.take("core publish to a subscriber", servers, core("subscriber", 3_000_000))
        turns.compare("core publish to a subscriber", DEFAULT, 0.7)
        turns.take("request and reply, one at a time", servers, core("request", 30_000))
        turns.compare("request and reply, one at a time", DEFAULT, 0.7)
        turns.take("request and reply, 100 on their way", servers, core("request", 300_000, window=100))
        turns.compare("request and reply, 100 on their way", DEFAULT, 0.7)


def subjects(machine, report, scale):
    """A million subjects: memory, filtered reading, restart, and what checkpoints write when few of them change."""
    turns = Turns(report, scale)
    count = scaled(MILLION, scale)
    with all_of(start_duolog(machine, settings=[f"wal.checkpoint_age={CHECKPOINT_SECONDS}s"]), start_nats_server(machine)) as servers:
        settled(servers)
        for name, running in servers.items():
            before = running.memory_bytes()
            got = bench(machine, running, "publish", prefix="many", messages=count, window=4000, subjects=count, per_subject=1)
            report.add("nats", f"publish to {count:,} subjects: {name}", got["messages_per_second"], "/s")
            report.add("nats", f"memory a subject: {name}", (running.memory_bytes() - before) / count, "B", note="as they were published")
        # Another filter each turn: what one made warm doesn't help the next.
        for what, pattern, matches in (("spread, *.N", "many-0.*.{turn}", count // 1000), ("together, N.*", "many-0.{turn}.*", min(1000, count)), ("a single one", "many-0.{turn}.7", 1)):
            def measure(running, turn):
                got = bench(machine, running, "consume", stream="many-0", mode="pull", ack="explicit", messages=matches, filter=pattern.format(turn=turn))
                return got["messages_per_second"]
            turns.take(f"filtered reading of {matches:,} ({what})", servers, measure, turns=7)
            turns.compare(f"filtered reading of {matches:,} ({what})", DEFAULT, 5 if what.startswith("spread") else None, note="with the consumer's creation")
        checkpoints(machine, report, servers[DUOLOG])
        ready, memory = {}, {}
        for name, running in list(servers.items()):
            running.kill()
            times = []
            for _ in range(3):
                again, seconds = restarted(machine, running)
                times.append(seconds)
                memory[name] = again.memory_bytes()
                again.kill()
            ready[name] = statistics.median(times)
            report.add("nats", f"restart after kill -9 with {count:,} subjects: {name}", ready[name], "s", note=f"worst of 3: {max(times):.2f}")
            report.add("nats", f"memory after the restart: {name}", memory[name] / MIB, "MiB")
        report.add("nats", "restart with a million subjects: nats-server's time / duolog's", ready[DEFAULT] / ready[DUOLOG], "x", goal=1, way=AT_LEAST)
        report.add("nats", "memory a subject: duolog / nats-server", memory[DUOLOG] / memory[DEFAULT], "x", goal=1, note="whole process, after the restart")


def restarted(machine, running):
    """The server again on the same directory, and the seconds from exec to the first whole answer about the stream."""
    began = time.monotonic()
    again = start_duolog(machine, directory=running.directory) if running.name == DUOLOG else start_nats_server(machine, directory=running.directory)
    bench(machine, again, "info", stream="many-0")
    return again, time.monotonic() - began


def checkpoints(machine, report, duolog):
    """Bytes that the broker writes a minute with all subjects idle but one that gets a message now and then."""
    # What was published before belongs to the checkpoint before.
    time.sleep(2 * CHECKPOINT_SECONDS)
    duolog.settle()
    before, began = duolog.written_bytes(), time.monotonic()
    sent = 0
    while time.monotonic() - began < 60:
        bench(machine, duolog, "publish", "--existing", prefix="many", messages=10)
        sent += 10
        time.sleep(1)
    minutes = (time.monotonic() - began) / 60
    report.add("nats", "written a minute with a million idle subjects and ten messages a second", (duolog.written_bytes() - before) / minutes / MIB, "MiB",
               note=f"{sent} messages, a checkpoint every 10 s; log and checkpoints")


def cross(machine, report, scale):
    """Two streams with the same messages, one written by each protocol; each is read by both."""
    producers, records = 4, 100
    requests = max(5, int(1_000 * scale))
    messages = producers * records * requests
    writing = {"NATS": [], "Kafka": []}
    reading = {(reader, writer): [] for reader in writing for writer in writing}
    with all_of(start_duolog(machine)) as servers:
        duolog = servers[DUOLOG]
        for name in ("by-nats", "by-kafka"):
            bench(machine, duolog, "publish", prefix=name, messages=1)
        writing["NATS"].append(bench(machine, duolog, "publish", "--existing", prefix="by-nats", messages=messages, window=4000)["messages_per_second"])
        kafka = [machine.bench, "load", "--bootstrap", duolog.address, "--topic", "by-kafka-0", "--partitions", 1, "--key", "by-kafka-0.0.0",
                 "--producers", producers, "--requests", requests, "--batch-records", records, "--value-bytes", 128]
        writing["Kafka"].append(json.loads(run_quietly(kafka))["records_per_second"])
        duolog.settle()
        for _ in range(TURNS):
            for writer, topic in (("NATS", "by-nats-0"), ("Kafka", "by-kafka-0")):
                got = bench(machine, duolog, "consume", stream=topic, mode="push", ack="none", messages=messages)
                reading["NATS", writer].append(got["messages_per_second"])
                got = json.loads(run_quietly([machine.bench, "consume", "--bootstrap", duolog.address, "--topic", topic, "--messages", messages]))
                reading["Kafka", writer].append(got["messages_per_second"])
    for writer, seen in writing.items():
        report.add("nats", f"both protocols: written by {writer}", statistics.median(seen), "/s", note="Kafka: 4 producers, batches of 100")
    for (reader, writer), seen in reading.items():
        report.add("nats", f"both protocols: written by {writer}, read by {reader}", statistics.median(seen), "/s")
    for reader, other in (("NATS", "Kafka"), ("Kafka", "NATS")):
        ratio = statistics.median(theirs / own for theirs, own in zip(reading[reader, other], reading[reader, reader]))
        report.add("nats", f"read by {reader}: written by {other} / by {reader}", ratio, "x", goal=0.8, way=AT_LEAST)


def run(machine, report, scale):
    publish(machine, report, scale)
    consume(machine, report, scale)
    cross(machine, report, scale)
    subjects(machine, report, scale)
