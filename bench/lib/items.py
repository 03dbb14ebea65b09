"""What is measured, item by item. Each ends every process that it starts and removes what it wrote."""

import contextlib
import json
import statistics
import time

import brokers
from brokers import create_topic, run_quietly, start_duolog
from report import AT_LEAST

MIB = 1 << 20
ROUNDS_SPREAD = 5
#: p99 over p50 of the bare disk beyond which somebody else was using it.
BARE_SPREAD_MAX = 4


@contextlib.contextmanager
def running(started):
    try:
        yield started
    finally:
        started.end()


def bench(machine, subcommand, address, **options):
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    return json.loads(run_quietly([machine.bench, subcommand, "--bootstrap", address, *flags]))


def latency(machine, report, scale):
    with running(start_duolog(machine)) as duolog:
        create_topic(machine, duolog, "latency", 1)
        duolog.settle()
        got = bench(machine, "latency", duolog.address, topic="latency", dir=duolog.directory, rounds=max(2, int(20 * scale)))
    bare, raw, client = got["bare_direct"], got["raw"], got["client"]
    # An acknowledgement holds a synced write, so it can't be quicker than one; and a quiet disk's times lie close together.
    disturbed = got["raw_over_bare"] < 1 or bare["p99_us"] > BARE_SPREAD_MAX * bare["p50_us"]
    report.add("latency", "bare write + sync, p50", bare["p50_us"], "µs", note=f"{got['written_bytes']} B, O_DIRECT and O_DSYNC")
    report.add("latency", "bare write + sync, p99", bare["p99_us"], "µs")
    report.add("latency", "bare write + fdatasync, p50", got["bare_fdatasync"]["p50_us"], "µs")
    report.add("latency", "request's last byte to reply's first, p50", raw["p50_us"], "µs", note="raw socket")
    report.add("latency", "request's last byte to reply's first, p99", raw["p99_us"], "µs", note="raw socket")
    report.add("latency", "request's first byte to reply's first, p50", got["raw_with_send"]["p50_us"], "µs", note="raw socket")
    report.add("latency", "seen by librdkafka, p50", client["p50_us"], "µs")
    report.add("latency", "seen by librdkafka, p99", client["p99_us"], "µs")
    report.add("latency", "raw / bare, p50", got["raw_over_bare"], "x", goal=1.5, note="median over rounds", disturbed=disturbed)
    report.add("latency", "raw / bare, p99", raw["p99_us"] / bare["p99_us"], "x")
    report.add("latency", "client / bare, p50", got["client_over_bare"], "x", goal=2.2, note="median over rounds", disturbed=disturbed)


def spread(machine, report, scale):
    """In turns, so that both meet the same noise; the median of the turns' ratios counts."""
    requests = max(20, int(200 * scale))
    rates = {1: [], 1000: []}
    with running(start_duolog(machine)) as duolog:
        for partitions in rates:
            create_topic(machine, duolog, f"spread-{partitions}", partitions)
        duolog.settle()
        for turn in range(ROUNDS_SPREAD + 1):
            for partitions, seen in rates.items():
                got = bench(machine, "load", duolog.address, topic=f"spread-{partitions}", partitions=partitions, requests=requests)
                if turn:  # the first warms up
                    seen.append(got["records_per_second"])
                    last = got["latency"]
                    report.add("spread", f"256 producers over {partitions}, turn {turn}", seen[-1], "records/s", note=f"p50 {last['p50_us']:.0f} µs, p99 {last['p99_us']:.0f} µs")
    ratio = statistics.median(many / one for one, many in zip(rates[1], rates[1000]))
    report.add("spread", "256 producers: 1,000 partitions / 1 partition", ratio, "x", goal=0.85, way=AT_LEAST)


def idle(machine, report, scale):
    del scale
    starts = []
    for _ in range(5):
        with running(start_duolog_timed(machine)) as (duolog):
            starts.append(duolog.ready_seconds)
    report.add("idle", "from exec to the first answer, empty directory", statistics.median(starts) * 1000, "ms", goal=150, note=f"median of {len(starts)}, worst {max(starts) * 1000:.0f}")
    with running(start_duolog(machine)) as duolog:
        duolog.settle()
        empty = duolog.memory_bytes()
        report.add("idle", "memory with an empty directory", empty / MIB, "MiB", goal=40, note=f"peak {duolog.memory_bytes('VmHWM') / MIB:.1f}")
        create_topic(machine, duolog, "idle", 10_000)
        duolog.settle()
        created = duolog.memory_bytes()
        report.add("idle", "memory of an idle partition, just created", (created - empty) / 10_000 / 1024, "KiB", goal=16, note="of 10,000")
        duolog.stop()
        again = start_duolog(machine, directory=duolog.directory)
        try:
            again.settle()
            report.add("idle", "memory of an idle partition, after a restart", (again.memory_bytes() - empty) / 10_000 / 1024, "KiB", goal=16, note="of 10,000")
        finally:
            again.stop()


def start_duolog_timed(machine, directory=None, settings=()):
    """A broker with `ready_seconds`: from exec to its first answer to ApiVersions."""
    began = time.monotonic()
    duolog = start_duolog(machine, directory=directory, settings=settings, wait=False)
    # Bounded by the process's life and a deadline; polled finely, since the result is milliseconds.
    while not brokers.api_keys(duolog.address):
        if duolog.process.poll() is not None or time.monotonic() - began > 120:
            tail = duolog.log_tail()
            duolog.end()
            raise SystemExit(f"duolog doesn't get ready\n{tail}")
        time.sleep(0.001)
    duolog.ready_seconds = time.monotonic() - began
    return duolog


def recovery(machine, report, scale):
    segments, wal = int((4 << 30) * scale), int((1 << 30) * scale)
    needed = 3 * (segments + wal) + (1 << 30)
    if machine.free_bytes() < needed:
        raise SystemExit(f"recovery needs {needed >> 30} GiB free in {machine.directory}")
    never = ["wal.checkpoint_bytes=64GiB", "wal.checkpoint_age=1d"]
    with running(start_duolog(machine, settings=["storage.background_bytes_per_second=0B"])) as duolog:
        create_topic(machine, duolog, "recovery", 10_000)
        got = bench(machine, "fill", duolog.address, topic="recovery", partitions=10_000, bytes=segments)
        report.add("recovery", "written before the last checkpoint", got["bytes"] / MIB, "MiB", note=f"{got['bytes_per_second'] / MIB:.0f} MiB/s over 10,000 partitions")
        began = time.monotonic()
        if code := duolog.stop():
            raise SystemExit(f"a clean stop ended with {code}\n{duolog.log_tail()}")
        report.add("recovery", "clean stop with a checkpoint of what was left", time.monotonic() - began, "s")
        began = time.monotonic()
        second = start_duolog(machine, directory=duolog.directory, settings=never)
        report.add("recovery", "start after a clean stop", time.monotonic() - began, "s")
        try:
            got = bench(machine, "fill", second.address, topic="recovery", partitions=10_000, bytes=wal)
            report.add("recovery", "written and not checkpointed", got["bytes"] / MIB, "MiB", note=f"{got['batches']} batches of {got['batch_bytes']} B")
        finally:
            second.kill()
        times = []
        for _ in range(3):
            third = start_duolog_timed(machine, directory=duolog.directory, settings=never)
            times.append(third.ready_seconds)
            third.kill()
        report.add("recovery", "from exec to the first answer after kill -9", statistics.median(times), "s", goal=2, note=f"median of 3 kills, worst {max(times):.2f}")
        segment_bytes = sum(path.stat().st_size for path in (duolog.directory / "data" / "segments").rglob("*") if path.is_file())
        report.add("recovery", "segment files", segment_bytes / MIB, "MiB")
