"""Starts, kills and restarts the server behind the NATS suites: duolog, or the real nats-server from its Python package.

A restart keeps the data directory and the port, so that clients find their way back by themselves.
"""

import json
import pathlib
import re
import signal
import sys
import tempfile

import broker
import install

KINDS = ("duolog", "nats-server")
#: As duolog prints it: the label, spaces, the address that it listens on.
NATS_LINE = re.compile(r"^\s*nats\s+(\S+:\d+)\b", re.MULTILINE)
SYNC_ALWAYS = "jetstream { store_dir: %s, sync_interval: always }\n"


def nats_server_binary():
    """The real server, pinned, in a virtual environment of its own."""
    return install.venv("venv-nats-server", install.INTEROP / "nats" / "server-requirements.txt") / "nats-server"


def prepare(kind):
    """Builds or installs the server, which several starts at once shouldn't do."""
    return broker.duolog_binary() if kind == "duolog" else nats_server_binary()


class NatsServer:
    """A server with a directory and ports that outlive its process."""

    def __init__(self, kind, sync_always=False):
        self.kind, self.sync_always = kind, sync_always
        self.binary = prepare(kind)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{kind}-interop-"))
        self.address = self.kafka = None
        self.starts = 0
        self.start()

    @property
    def url(self):
        return f"nats://{self.address}"

    @property
    def process(self):
        return self.running.process

    def start(self):
        if self.starts:
            self.running.log_path.rename(self.directory / f"broker-{self.starts}.log")
        self.starts += 1
        command, find = (self._duolog if self.kind == "duolog" else self._nats_server)()
        self.running = broker.Broker(self.kind, list(map(str, command)), self.directory).wait_until_ready(find)
        self.address = self.running.address
        if self.kind == "duolog":
            self.kafka = broker.KAFKA_LINE.search(self.running.log_path.read_text()).group(1)

    def _duolog(self):
        command = [self.binary, "serve", "--data-dir", self.directory / "data", "--kafka-listen", self.kafka or "127.0.0.1:0",
                   "--http-listen", "127.0.0.1:0", "--nats-listen", self.address or "127.0.0.1:0"]

        def printed_address(log):
            found = NATS_LINE.search(log)
            return found.group(1) if found else None

        return command, printed_address

    def _nats_server(self):
        for path in self.directory.glob("*.ports"):
            path.unlink()
        data = self.directory / "data"
        port = self.address.rsplit(":", 1)[1] if self.address else -1
        command = [self.binary, "-a", "127.0.0.1", "-p", port, "-n", "server", "--ports_file_dir", self.directory]
        if self.sync_always:
            config = self.directory / "server.conf"
            config.write_text(SYNC_ALWAYS % json.dumps(str(data)))
            command += ["-c", config]
        else:
            command += ["-js", "-sd", data]

        def written_address(_log):
            for path in self.directory.glob("*.ports"):
                text = path.read_text()
                if text.endswith("}"):
                    return json.loads(text)["nats"][0].removeprefix("nats://")
            return None

        return command, written_address

    def restart(self, how=signal.SIGKILL):
        """SIGKILL, or SIGTERM for a clean stop; returns once the server accepts connections again."""
        died = self.process.poll()
        if died is not None:
            raise RuntimeError(f"{self.kind} ended by itself with {died}\n{self.log_tail()}")
        self.process.send_signal(how)
        code = self.process.wait(broker.STOP_SECONDS)
        if how == signal.SIGTERM and code not in (0, 1 if self.kind == "nats-server" else 0):
            raise RuntimeError(f"{self.kind} ended with {code} after SIGTERM\n{self.log_tail()}")
        self.start()

    def stop(self):
        return self.running.stop()

    def remove(self):
        self.running.remove()

    def log_tail(self):
        return self.running.log_tail()
