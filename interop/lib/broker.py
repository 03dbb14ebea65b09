"""Starts and ends the broker under test: duolog, or a real Apache Kafka for comparison.

The one place that knows how duolog is started and how its start-up lines are read.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import install

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
READY_SECONDS = 60
#: After SIGTERM; a clean stop checkpoints.
STOP_SECONDS = 60
#: As duolog prints them: the label, spaces, the address that it listens on.
KAFKA_LINE = re.compile(r"^\s*kafka\s+(\S+:\d+)\b", re.MULTILINE)


class Broker:
    """A running broker process with a log file and a directory that is removed at the end."""

    def __init__(self, name, command, directory, environment=None):
        self.name, self.directory = name, directory
        self.log_path = directory / "broker.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )
        self.address = None

    def wait_until_ready(self, find_address):
        """`find_address(log text)` gives HOST:PORT or None; ready is when a connection is accepted."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            self.address = find_address(self.log_path.read_text(errors="replace"))
            if self.address and accepts(self.address):
                return self
            time.sleep(0.02)
        code = self.process.poll()
        reason = f"is not ready after {READY_SECONDS} s" if code is None else f"ended with {code} at start"
        tail = self.log_tail()
        self.stop()
        self.remove()
        raise SystemExit(f"{self.name} {reason}\n{tail}")

    def log_tail(self, lines=60):
        text = self.log_path.read_text(errors="replace").splitlines()
        return "\n".join([f"--- last lines of {self.name}'s log", *text[-lines:], "---"])

    def stop(self):
        """Ends the process by its id; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def accepts(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
        return True
    except OSError:
        return False


def duolog_binary():
    """$DUOLOG_BIN, or the release build of this tree."""
    given = os.environ.get("DUOLOG_BIN")
    if given:
        return given
    subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "duolog"], cwd=REPOSITORY, check=True)
    return str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release" / "duolog")


def start_duolog():
    binary = duolog_binary()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="duolog-interop-"))
    command = [
        binary, "serve", "--data-dir", str(directory / "data"),
        "--kafka-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
    ]

    def printed_address(log):
        found = KAFKA_LINE.search(log)
        return found.group(1) if found else None

    return Broker("duolog", command, directory).wait_until_ready(printed_address)


KAFKA_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def start_kafka():
    jars = install.kafka_jars()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="kafka-interop-"))
    # Kafka can't be told "any port" for its controller, so the kernel picks both beforehand.
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        port, controller = one.getsockname()[1], two.getsockname()[1]
    properties = directory / "server.properties"
    properties.write_text(KAFKA_PROPERTIES.format(port=port, controller=controller, directory=directory))
    java = ["java", "-Xmx1G", "-cp", f"{jars}/*"]
    uuid = subprocess.run([*java, "kafka.tools.StorageTool", "random-uuid"], check=True, capture_output=True, text=True)
    subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", uuid.stdout.strip(), "-c", str(properties)],
        check=True, capture_output=True,
    )
    return Broker("kafka", [*java, "kafka.Kafka", str(properties)], directory).wait_until_ready(
        lambda _log: f"127.0.0.1:{port}")
