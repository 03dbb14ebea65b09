"""Beside Apache Kafka, with Kafka's own tools: ours, Kafka's default (no sync) and Kafka with a sync for each request."""

import re
import shutil
import statistics
import subprocess
import time

import install
from brokers import JOIN_GROUP, api_keys, create_topic, run_quietly, start_duolog, start_kafka
from report import AT_LEAST

RECORD_BYTES = 1024
PARTITIONS = 100
#: Never scaled: a JVM that is still compiling would flatter us.
WARM_UP_RECORDS = 1_000_000
PRODUCED = re.compile(r"^(\d+) records sent, ([\d.]+) records/sec .*?, ([\d.]+) ms avg latency, ([\d.]+) ms max latency, (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th", re.MULTILINE)
TOOL_SECONDS = 600
PEERS = {
    "duolog": lambda machine: start_duolog(machine),
    "kafka": lambda machine: start_kafka(machine),
    "kafka flush.messages=1": lambda machine: start_kafka(machine, ["log.flush.interval.messages=1"]),
}


def tool(name, *arguments):
    return run_quietly(["java", "-Xmx512M", "-cp", f"{install.kafka_jars()}/*", f"org.apache.kafka.tools.{name}", *arguments], timeout=TOOL_SECONDS)


def produce(running, records):
    out = tool("ProducerPerformance", "--topic", "perf", "--num-records", records, "--record-size", RECORD_BYTES, "--throughput", -1,
               "--bootstrap-server", running.address, "--command-property", "acks=all", "linger.ms=5", "batch.size=16384")
    found = PRODUCED.findall(out)
    if not found or int(found[-1][0]) != records:
        raise SystemExit(f"ProducerPerformance said something else:\n{out[-2000:]}")
    _count, rate, _average, _most, p50, _p95, p99 = found[-1]
    return {"rate": float(rate), "p50": float(p50), "p99": float(p99)}


def consume(running, records):
    """Records a second by Kafka's own tool, which needs consumer groups; the time of joining isn't counted."""
    out = tool("ConsumerPerformance", "--topic", "perf", "--num-records", records, "--bootstrap-server", running.address,
               "--group", f"perf-{time.monotonic_ns()}", "--hide-header")
    # The columns: start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s.
    return float(out.strip().splitlines()[-1].split(",")[9])


def kcat_rate(running, records):
    """Records a second by a client that needs no group; it ends by itself at the end of all partitions."""
    began = time.monotonic()
    subprocess.run([install.kcat(), "-b", running.address, "-C", "-q", "-e", "-t", "perf", "-o", "beginning"],
                   stdout=subprocess.DEVNULL, check=True, timeout=TOOL_SECONDS)
    return records / (time.monotonic() - began)


def measure(machine, report, name, records):
    with_sync = "flush" in name
    # A tenth of the speed needs a tenth of the records for the same time.
    records, warm_up = (max(20_000, records // 8), WARM_UP_RECORDS // 8) if with_sync else (records, WARM_UP_RECORDS)
    running = PEERS[name](machine)
    try:
        create_topic(machine, running, "perf", PARTITIONS)
        produce(running, warm_up)
        cpu = running.cpu_seconds()
        got = produce(running, records)
        got["cpu"] = (running.cpu_seconds() - cpu) / (records * RECORD_BYTES / 1e9)
        report.add("kafka", f"{name}: produce", got["rate"], "records/s", note=f"p50 {got['p50']:.0f} ms, p99 {got['p99']:.0f} ms, {records} records")
        report.add("kafka", f"{name}: broker CPU", got["cpu"], "s/GB")
        if not with_sync:
            cpu = running.cpu_seconds()
            got["kcat"] = kcat_rate(running, warm_up + records)
            report.add("kafka", f"{name}: consume, kcat without a group", got["kcat"], "records/s", note=f"broker CPU {(running.cpu_seconds() - cpu) / ((warm_up + records) * RECORD_BYTES / 1e9):.2f} s/GB")
            if JOIN_GROUP in api_keys(running.address):
                got["consume"] = consume(running, warm_up + records)
                report.add("kafka", f"{name}: consume, ConsumerPerformance", got["consume"], "records/s", note="without the rebalance")
        report.add("kafka", f"{name}: peak memory", running.memory_bytes("VmHWM") / (1 << 20), "MiB")
        return got
    finally:
        running.end()


def run(machine, report, scale):
    records, rounds = max(50_000, int(2_000_000 * scale)), 1 if scale < 1 else 3
    if shutil.which("java") is None:
        raise SystemExit("kafka needs a JDK (17 or later) on the PATH")
    got = [{name: measure(machine, report, name, records) for name in PEERS} for _ in range(rounds)]

    def ratio(figure, ours, theirs):
        return statistics.median(one[ours][figure] / one[theirs][figure] for one in got)

    report.add("kafka", "produce: duolog / kafka flush.messages=1", ratio("rate", "duolog", "kafka flush.messages=1"), "x", goal=5, way=AT_LEAST)
    report.add("kafka", "produce: duolog / kafka default", ratio("rate", "duolog", "kafka"), "x", goal=0.8, way=AT_LEAST)
    report.add("kafka", "broker CPU per GB: duolog / kafka default", ratio("cpu", "duolog", "kafka"), "x", goal=0.7)
    report.add("kafka", "consume, kcat: duolog / kafka default", ratio("kcat", "duolog", "kafka"), "x")
    if all("consume" in one[name] for one in got for name in ("duolog", "kafka")):
        report.add("kafka", "consume, ConsumerPerformance: duolog / kafka default", ratio("consume", "duolog", "kafka"), "x")
