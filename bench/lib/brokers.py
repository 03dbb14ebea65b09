"""Starts the brokers that are measured, and reads what the kernel says about them."""

import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "interop" / "lib"))
import broker as interop_broker  # noqa: E402
import install  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
API_VERSIONS, JOIN_GROUP = 18, 11
HTTP_LINE = re.compile(r"^\s*http\s+(\S+:\d+)\b", re.MULTILINE)
#: /proc/PID/io doesn't change for so long: the broker has nothing left to prepare.
SETTLED_SECONDS, SETTLE_SECONDS_MAX = 1.5, 90


class Machine:
    """Where to measure and with which binaries."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release"
        self.duolog, self.bench = str(target / "duolog"), str(target / "duolog-bench")

    def build(self):
        subprocess.run(["cargo", "build", "--release", "-p", "duolog-server", "-p", "duolog-bench"], cwd=REPOSITORY, check=True)

    def scratch(self, name):
        return pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory))

    def free_bytes(self):
        return shutil.disk_usage(self.directory).free


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


class Running(interop_broker.Broker):
    """A broker process, and what /proc knows of it."""

    @property
    def pid(self):
        return self.process.pid

    def cpu_seconds(self):
        # utime and stime; the command's name, in parentheses, may hold spaces.
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_bytes(self, field="VmRSS"):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise SystemExit(f"/proc has no {field} of {self.name}")

    def written_bytes(self):
        return next(int(line.split()[1]) for line in pathlib.Path(f"/proc/{self.pid}/io").read_text().splitlines() if line.startswith("write_bytes"))

    def settle(self):
        """Waits until it writes nothing of its own accord (files that are filled in advance, checkpoints)."""
        deadline, quiet_since, last = time.monotonic() + SETTLE_SECONDS_MAX, time.monotonic(), self.written_bytes()
        while time.monotonic() < deadline:
            time.sleep(0.1)
            now = self.written_bytes()
            if now - last > 64 << 10:
                quiet_since, last = time.monotonic(), now
            elif time.monotonic() - quiet_since > SETTLED_SECONDS:
                return self
        raise SystemExit(f"{self.name} still writes after {SETTLE_SECONDS_MAX} s without a request")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        """Stops it and removes its data. If an error is on its way up, its log and its last metrics are kept."""
        if sys.exc_info()[0] is not None:
            self.keep_evidence()
        self.stop()
        self.remove()

    def keep_evidence(self):
        kept = pathlib.Path(tempfile.mkdtemp(prefix=f"failed-{self.name}-", dir=self.directory.parent))
        shutil.copy(self.log_path, kept)
        page = HTTP_LINE.search(self.log_path.read_text(errors="replace"))
        if page:
            try:
                with urllib.request.urlopen(f"http://{page.group(1)}/metrics", timeout=5) as metrics:
                    (kept / "metrics").write_bytes(metrics.read())
            except OSError as error:
                (kept / "metrics").write_text(f"{error}\n")
        print(f"{self.name} failed: its log and metrics are kept in {kept}", file=sys.stderr)


def start_duolog(machine, directory=None, settings=(), wrapper=(), wait=True):
    directory = directory or machine.scratch("duolog")
    port = free_port()
    command = [
        *wrapper, machine.duolog, "serve", "--data-dir", str(directory / "data"), "--kafka-listen", f"127.0.0.1:{port}",
        "--nats-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--set", "log.level=warn",
        *(part for one in settings for part in ("--set", one)),
    ]
    running = Running("duolog", command, directory)
    running.address = f"127.0.0.1:{port}"
    return running.wait_until_ready(lambda _log: running_address(running, port)) if wait else running


def running_address(_running, port):
    return f"127.0.0.1:{port}" if api_keys(f"127.0.0.1:{port}") else None


def start_kafka(machine, settings=()):
    jars = install.kafka_jars()
    directory = machine.scratch("kafka")
    port, controller = free_port(), free_port()
    properties = directory / "server.properties"
    properties.write_text(interop_broker.KAFKA_PROPERTIES.format(port=port, controller=controller, directory=directory) + "\n".join(settings) + "\n")
    tool = ["java", "-cp", f"{jars}/*", "kafka.tools.StorageTool"]
    uuid = subprocess.run([*tool, "random-uuid"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([*tool, "format", "-t", uuid, "-c", str(properties)], check=True, capture_output=True)
    command = ["java", "-Xms1G", "-Xmx1G", "-cp", f"{jars}/*", "kafka.Kafka", str(properties)]
    return Running("kafka", command, directory).wait_until_ready(lambda _log: running_address(None, port))


def api_keys(address, timeout=5):
    """Asks ApiVersions v0 and gives the keys that are served; none if the broker doesn't answer yet."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=timeout) as connection:
            body = struct.pack(">hhih", API_VERSIONS, 0, 1, -1)
            connection.sendall(struct.pack(">i", len(body)) + body)
            stream = connection.makefile("rb")
            (length,) = struct.unpack(">i", stream.read(4))
            response = stream.read(length)
    except (OSError, struct.error):
        return set()
    _correlation, _error, count = struct.unpack_from(">ihi", response)
    return {struct.unpack_from(">hhh", response, 10 + 6 * index)[0] for index in range(count)}


def create_topic(machine, running, name, partitions):
    run_quietly([machine.duolog, "topic", "create", name, "--partitions", str(partitions), "--bootstrap", running.address])


def run_quietly(command, timeout=600, **options):
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout
