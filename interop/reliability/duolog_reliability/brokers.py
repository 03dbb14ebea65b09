"""Starting and killing the broker under test: duolog, or Apache Kafka as the known-good control.

A broker keeps its port and its data directory through every restart, as a real one would. ``kill`` is SIGKILL
to the one process; nothing here ever stops one politely, except ``terminate``.
"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

REPO = Path(os.environ["DUOLOG_REPO"])
CACHE = Path(os.environ["DUOLOG_CACHE"])


class StartFailed(Exception):
    """The broker exited, or didn't listen in time."""


def free_port():
    """A port the kernel picks."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """One broker process after another on one directory and port."""

    name = "broker"
    ready_timeout_seconds = 30

    def __init__(self, run_directory, data=None):
        self.run_directory = Path(run_directory)
        self.data = Path(data or self.run_directory / "data")
        self.port = free_port()
        self.wrapper = []  # words before the command, such as strace's
        self.process = None
        self._log = open(self.run_directory / "broker.log", "ab")

    def format(self):
        """Prepares an empty data directory."""
        self.data.mkdir(parents=True, exist_ok=True)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def command(self):
        raise NotImplementedError

    def spawn(self):
        """Starts the process and doesn't wait."""
        self._log.write(f"--- start {time.time():.3f}\n".encode())
        self._log.flush()
        self.process = subprocess.Popen(self.wrapper + self.command(), stdout=self._log, stderr=self._log,
                                        stdin=subprocess.DEVNULL, cwd=self.run_directory, start_new_session=True)

    def wait_ready(self):
        """Waits until the Kafka port accepts; returns the seconds that took."""
        began = time.monotonic()
        while time.monotonic() - began < self.ready_timeout_seconds:
            if self.process.poll() is not None:
                raise StartFailed(f"{self.name} exited with {self.process.returncode} before it listened; "
                                  f"see {self.run_directory}/broker.log")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return time.monotonic() - began
            except OSError:
                time.sleep(0.01)
        raise StartFailed(f"{self.name} did not listen within {self.ready_timeout_seconds} s; "
                          f"see {self.run_directory}/broker.log")

    def kill(self):
        """SIGKILL. Returns the exit status if the process had ended by itself before, else None."""
        ended = self.process.poll()
        if ended is None:
            # The whole group: under strace the broker is a child.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.wait_group_gone()
        return ended

    def wait_group_gone(self, seconds=10):
        """strace ends before the broker that it traced: only when that is gone too are its port and directory free."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.01)

    def terminate(self, timeout=30):
        """SIGTERM, for a clean stop at the end; returns the exit status."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                return self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode if self.process else None


# Rolls, checkpoints and reads from disk happen all the time with these, and topics appear only when they are created.
SMALL_FILES = ["wal.file_bytes=1MiB", "wal.checkpoint_bytes=2MiB", "wal.checkpoint_age=1s", "tail.memory_bytes=1MiB",
               "cache.memory_bytes=1MiB", "topics.auto_create=false", "groups.initial_rebalance_delay=0s"]


class Duolog(Broker):
    """``duolog serve``, by default with small files."""

    name = "duolog"

    def __init__(self, run_directory, binary=None, arguments=(), settings=None, **more):
        super().__init__(run_directory, **more)
        self.binary = str(binary or default_binary())
        self.nats_port = free_port()
        self.arguments = list(arguments)
        self.settings = SMALL_FILES if settings is None else list(settings)

    def command(self):
        words = [self.binary, "serve", "--data-dir", str(self.data), "--kafka-listen", self.address,
                 "--nats-listen", f"127.0.0.1:{self.nats_port}", "--http-listen", "127.0.0.1:0", *self.arguments]
        for setting in self.settings:
            words += ["--set", setting]
        return words


def default_binary():
    """The newest of the release and debug binaries; builds a release one if there is none."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target"))
    found = [path for path in (target / "release/duolog", target / "debug/duolog") if path.exists()]
    if not found:
        subprocess.run(["cargo", "build", "--release", "--locked", "--bin", "duolog"], cwd=REPO, check=True)
        return target / "release/duolog"
    return max(found, key=lambda path: path.stat().st_mtime)


KAFKA_VERSION = "4.3.1"
KAFKA_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>duolog</groupId><artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging><dependencies>
%s
</dependencies></project>
"""


def kafka_libs():
    """The directory of Kafka's jars, fetched from Maven Central once."""
    libs = Path(os.environ.get("DUOLOG_KAFKA_LIBS", CACHE / "kafka" / "libs"))
    if not list(libs.glob(f"kafka_2.13-{KAFKA_VERSION}.jar")):
        libs.parent.mkdir(parents=True, exist_ok=True)
        artifacts = ("kafka_2.13", "kafka-tools", "kafka-storage")
        dependencies = "\n".join(
            f"<dependency><groupId>org.apache.kafka</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{KAFKA_VERSION}</version></dependency>" for artifact in artifacts)
        (libs.parent / "pom.xml").write_text(KAFKA_POM % dependencies)
        subprocess.run(["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={libs}",
                        "-DincludeScope=runtime"], cwd=libs.parent, check=True)
    return libs


def kafka_properties(port, controller_port, log_directory, extra=()):
    """A single node that is broker and controller; every internal topic with one replica."""
    return "\n".join([
        "process.roles=broker,controller", "node.id=1", f"controller.quorum.voters=1@127.0.0.1:{controller_port}",
        f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}", "controller.listener.names=CONTROLLER",
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT", f"log.dirs={log_directory}",
        "offsets.topic.replication.factor=1", "offsets.topic.num.partitions=5",
        "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
        "share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
        "group.initial.rebalance.delay.ms=0", "auto.create.topics.enable=false",
        # A killed broker may register again only when its old session has ended.
        "broker.session.timeout.ms=1000", "broker.heartbeat.interval.ms=200", *extra]) + "\n"


class Kafka(Broker):
    """Apache Kafka from its jars. Kill -9 alone loses nothing there: the page cache outlives the process."""

    name = "kafka"
    ready_timeout_seconds = 60

    def __init__(self, run_directory, settings=(), **more):
        super().__init__(run_directory, **more)
        self.libs = kafka_libs()
        self.properties = self.run_directory / "server.properties"
        self.properties.write_text(kafka_properties(self.port, free_port(), self.data, settings))

    def format(self):
        tool = ["java", "-cp", f"{self.libs}/*", "kafka.tools.StorageTool"]
        cluster = subprocess.run([*tool, "random-uuid"], check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run([*tool, "format", "-t", cluster.splitlines()[-1], "-c", str(self.properties)],
                       check=True, capture_output=True)

    def command(self):
        return ["java", "-Xms384M", "-Xmx384M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{self.libs}/*",
                "kafka.Kafka", str(self.properties)]
