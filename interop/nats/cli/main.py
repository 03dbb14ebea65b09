"""Checks with the `nats` command, one line each; exits 1 if any failed. Started by interop/nats/run, which restarts the
server when asked on standard output."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
from report import Report, eventually  # noqa: E402

SECONDS = 60
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def expect(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, expected {wanted!r}")


def expect_in(wanted, text, what):
    if wanted not in text:
        raise AssertionError(f"{what}: no {wanted!r} in {text[-1500:]!r}")


class Nats:
    """The command against one server, with nothing of the user's configuration."""

    def __init__(self, program, url, directory):
        self.program, self.directory = program, directory
        self.environment = {**os.environ, "HOME": str(directory), "XDG_CONFIG_HOME": str(directory), "NATS_URL": url, "NO_COLOR": "1"}

    def run(self, *arguments, stdin=None, refused=False):
        """What it printed; it has to succeed, or to be refused if that is what is wanted (None: either)."""
        done = subprocess.run(
            [self.program, *map(str, arguments)], env=self.environment, cwd=self.directory, timeout=SECONDS, text=True,
            capture_output=True, **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        printed = COLOURS.sub("", done.stdout + done.stderr)
        if refused is not None and bool(done.returncode) != refused:
            raise AssertionError(f"nats {' '.join(map(str, arguments))} ended with {done.returncode}: {printed[-1500:]}")
        return printed

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))

    def start(self, *arguments):
        """Begins one that goes on; see `end` and `output`."""
        path = tempfile.mktemp(dir=self.directory)
        with open(path, "wb") as log:
            process = subprocess.Popen(
                [self.program, *map(str, arguments)], env=self.environment, cwd=self.directory, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT)
        process.output = lambda: COLOURS.sub("", pathlib.Path(path).read_text(errors="replace"))
        return process


def end(process):
    process.kill()
    process.wait()


def messages(stream, nats):
    return nats.json("stream", "info", stream)["state"]["messages"]


def core(nats):
    expect_in("s\n", nats.run("rtt", "1"), "the round trip")
    listener = nats.start("sub", "core.>", "--count=3")
    try:
        # Whether it has subscribed yet, only a message tells.
        eventually("three messages arrive", lambda: (
            nats.run("pub", "core.a", "hello {{Count}}", "-H", "Name:value") and listener.poll() is not None))
        for wanted in ("core.a", "hello 1", "Name: value"):
            expect_in(wanted, listener.output(), "the listener")
    finally:
        end(listener)
    responder = nats.start("reply", "echo.*", "--echo")
    try:
        eventually("the responder is there", lambda: "ping" in nats.run("request", "echo.one", "ping", "--raw"))
        expect_in("from a pipe", nats.run("request", "echo.two", "--raw", stdin="from a pipe"), "the reply")
    finally:
        end(responder)
    expect_in("responders", nats.run("request", "nobody.here", "x", "--timeout=5s").lower(), "a request to nobody")
    return 6


def streams(nats):
    nats.run("stream", "add", "ORDERS", "--subjects=orders.>", "--storage=file", "--max-msgs-per-subject=50", "--allow-direct",
             "--dupe-window=1m", "--defaults")
    expect_in("ORDERS", nats.run("stream", "ls", "--names"), "the list")
    nats.run("pub", "orders.{{Count}}", "order {{Count}}", "--count=100", "--jetstream", "--quiet")
    nats.run("pub", "orders.new", "x", "--jetstream", "-H", "Nats-Msg-Id:once")
    expect_in("duplicate", nats.run("pub", "orders.new", "x", "--jetstream", "-H", "Nats-Msg-Id:once").lower(), "an id again")
    info = nats.json("stream", "info", "ORDERS")
    expect((info["state"]["messages"], info["state"]["num_subjects"], info["config"]["max_msgs_per_subject"]), (101, 101, 50), "the stream")
    expect(nats.json("stream", "get", "ORDERS", 7)["seq"], 7, "a message by its sequence")
    expect(nats.json("stream", "get", "ORDERS", "--last-for=orders.42")["seq"], 42, "the last message of a subject")
    expect(len(nats.json("stream", "subjects", "ORDERS")), 101, "its subjects")
    expect_in("ORDERS", nats.run("stream", "report"), "the report")
    expect_in("ORDERS", nats.run("stream", "ls", "--subject=orders.1", "--names"), "the stream of a subject")
    nats.run("stream", "rmm", "ORDERS", "7", "--force")
    expect_in("7", nats.run("stream", "gaps", "ORDERS", "--force"), "the gap")
    nats.run("stream", "purge", "ORDERS", "--subject=orders.8", "--force")
    nats.run("stream", "purge", "ORDERS", "--keep=50", "--force")
    expect(messages("ORDERS", nats), 50, "messages after the purge")
    nats.run("stream", "edit", "ORDERS", "--max-msgs=20", "--description=small", "--force")
    state = nats.json("stream", "state", "ORDERS")
    expect(state["state"]["messages"], 20, "messages under a new limit")
    nats.run("stream", "copy", "ORDERS", "COPY", "--subjects=copy.>")
    expect(nats.json("stream", "info", "COPY")["config"]["max_msgs"], 20, "the limit of the copy")
    nats.run("stream", "seal", "COPY", "--force")
    expect_in("sealed", nats.run("pub", "copy.x", "x", "--jetstream", refused=True), "a publish to a sealed stream")
    nats.run("stream", "rm", "COPY", "--force")
    expect("COPY" in nats.run("stream", "ls", "--names"), False, "whether the removed stream is there")
    expect(nats.run("sub", "orders.>", "--stream=ORDERS", "--all", "--count=20", "--subjects-only").count("orders."), 21, "all messages of it")
    expect_in("Streams", nats.run("account", "info"), "the account")
    return 103


def consumers(nats):
    nats.run("stream", "add", "JOBS", "--subjects=jobs.*", "--retention=work", "--defaults")
    nats.run("pub", "jobs.a", "job {{Count}}", "--count=30", "--jetstream", "--quiet")
    nats.run("consumer", "add", "JOBS", "worker", "--pull", "--ack=explicit", "--wait=20s", "--max-deliver=5", "--defaults")
    expect(nats.run("consumer", "next", "JOBS", "worker", "--raw", "--nak").strip(), "job 1", "the first job")
    again = nats.run("consumer", "next", "JOBS", "worker")
    for wanted in ("job 1", "tries: 2"):
        expect_in(wanted, again, "the refused job")
    expect(re.findall(r"job (\d+)", nats.run("consumer", "next", "JOBS", "worker", "--count=10", "--raw")),
           [str(number) for number in range(2, 12)], "ten jobs")
    nats.run("consumer", "next", "JOBS", "worker", "--term")
    info = nats.json("consumer", "info", "JOBS", "worker")
    expect((info["num_ack_pending"], info["num_pending"], info["ack_floor"]["stream_seq"]), (0, 18, 12), "the consumer")
    expect(messages("JOBS", nats), 18, "what is left of the queue")
    expect_in("worker", nats.run("consumer", "report", "JOBS"), "the report")
    nats.run("consumer", "edit", "JOBS", "worker", "--description=changed", "--force")
    expect(nats.json("consumer", "info", "JOBS", "worker")["config"]["description"], "changed", "the description")
    expect_in("10099", nats.run("consumer", "add", "JOBS", "other", "--pull", "--ack=explicit", "--defaults", refused=True),
              "a second consumer of a work queue")
    nats.run("consumer", "add", "ORDERS", "pushed", "--target=to.pushed", "--ack=explicit", "--deliver=all", "--heartbeat=1s",
             "--flow-control", "--defaults")
    listener = nats.start("sub", "to.pushed", "--count=20", "--ack")
    try:
        eventually("the pushed messages arrive", lambda: listener.poll() is not None)
        expect_in("order 100", listener.output(), "a pushed message")
    finally:
        end(listener)
    eventually("all that was pushed is acknowledged", lambda: nats.json("consumer", "info", "ORDERS", "pushed")["num_ack_pending"] == 0)
    nats.run("consumer", "add", "ORDERS", "filtered", "--pull", "--filter=orders.99", "--filter=orders.98", "--deliver=subject", "--ack=none",
             "--headers-only", "--defaults")
    expect(nats.json("consumer", "info", "ORDERS", "filtered")["num_pending"], 2, "messages that match the filters")
    nats.run("consumer", "copy", "ORDERS", "filtered", "copied")
    nats.run("consumer", "rm", "ORDERS", "pushed", "--force")
    # Ephemeral ones of `nats sub` above may still be there, too.
    left = set(nats.json("consumer", "ls", "ORDERS", "--names"))
    expect(left & {"pushed", "filtered", "copied"}, {"filtered", "copied"}, "the consumers that are left")
    return 63


def key_values(nats):
    nats.run("kv", "add", "settings", "--history=5", "--description=some")
    nats.run("kv", "put", "settings", "color", "red")
    nats.run("kv", "put", "settings", "color", "blue")
    expect(nats.run("kv", "get", "settings", "color", "--raw"), "blue", "the newest value")
    nats.run("kv", "update", "settings", "color", "green", "2")
    expect_in("wrong last sequence", nats.run("kv", "update", "settings", "color", "x", "2", refused=True), "an update of an old revision")
    nats.run("kv", "create", "settings", "color", "x", refused=True)
    history = nats.run("kv", "history", "settings", "color")
    for wanted in ("red", "blue", "green"):
        expect_in(wanted, history, "the history")
    nats.run("kv", "revert", "settings", "color", "1", "--force")
    expect(nats.run("kv", "get", "settings", "color", "--raw"), "red", "the value after the revert")
    watcher = nats.start("kv", "watch", "settings")
    try:
        eventually("the watcher shows the value", lambda: "color: red" in watcher.output())
        nats.run("kv", "put", "settings", "size", "7")
        nats.run("kv", "del", "settings", "color", "--force")
        eventually("the watcher shows the changes", lambda: "size: 7" in watcher.output() and "DEL" in watcher.output())
    finally:
        end(watcher)
    nats.run("kv", "get", "settings", "color", refused=True)
    nats.run("kv", "create", "settings", "color", "white")
    expect(sorted(nats.run("kv", "ls", "settings").split()), ["color", "size"], "the keys")
    nats.run("kv", "purge", "settings", "size", "--force")
    expect_in("settings", nats.run("kv", "info", "settings"), "the bucket")
    nats.run("kv", "compact", "settings", "--force")
    nats.run("kv", "add", "gone")
    nats.run("kv", "del", "gone", "--force")
    expect("gone" in nats.run("kv", "ls", "--names"), False, "whether the bucket is there")
    return 9


def objects(nats):
    content = bytes(range(256)) * 8192
    (nats.directory / "large.bin").write_bytes(content)
    nats.run("object", "add", "files", "--description=some")
    nats.run("object", "put", "files", "large.bin", "--no-progress", "-H", "Kind:test", "--force")
    nats.run("object", "get", "files", "large.bin", "--output=copy.bin", "--no-progress", "--force")
    expect((nats.directory / "copy.bin").read_bytes() == content, True, "the object")
    expect_in("16", nats.run("object", "info", "files", "large.bin"), "the object's chunks")
    nats.run("object", "put", "files", "--name=piped", "--no-progress", stdin="from a pipe")
    expect_in("piped", nats.run("object", "ls", "files"), "the objects")
    nats.run("object", "del", "files", "large.bin", "--force")
    expect(messages("OBJ_files", nats), 3, "messages of one object and of one that is deleted")
    nats.run("object", "seal", "files", "--force")
    nats.run("object", "put", "files", "--name=late", "--no-progress", stdin="x", refused=True)
    return 19


def services(nats):
    service = nats.start("service", "serve", "demo")
    try:
        eventually("the service is listed", lambda: "demo" in nats.run("service", "ls", refused=None))
        expect_in("demo", nats.run("service", "info", "demo"), "its description")
        expect_in("demo", nats.run("service", "ping", "demo"), "its ping")
        expect(nats.run("service", "request", "demo", "echo", "abc", "--raw").strip().splitlines()[-1], "abc", "the service's answer")
        expect_in("echo", nats.run("service", "stats", "demo"), "its statistics")
    finally:
        end(service)
    return 5


def bench(nats):
    """Many at once: what is checked is that it ends well, with all of it."""
    count = 20_000
    # Not with --create: it asks for batch publishing, which needs a newer API level than ours.
    nats.run("stream", "add", "BENCH", "--subjects=bench.x", "--defaults")
    nats.run("consumer", "add", "BENCH", "fetching", "--pull", "--ack=explicit", "--defaults")
    nats.run("bench", "js", "pub", "async", "bench.x", "--stream=BENCH", f"--msgs={count}", "--size=128", "--clients=2", "--batch=500", "--no-progress")
    expect(messages("BENCH", nats), count, "messages of the bench")
    for arguments in (["consume"], ["fetch", "--consumer=fetching"], ["ordered"]):
        nats.run("bench", "js", *arguments, "--stream=BENCH", f"--msgs={count}", "--no-progress")
    nats.run("kv", "add", "BENCHKV")
    nats.run("bench", "kv", "put", "--bucket=BENCHKV", "--msgs=500", "--size=64", "--no-progress")
    nats.run("bench", "kv", "get", "--bucket=BENCHKV", "--msgs=500", "--no-progress")
    return 4 * count + 1000


def restart(how):
    print(f"restart {how}", flush=True)
    expect(sys.stdin.readline(), "restarted\n", "the answer of interop/nats/run")


def survives(nats, how):
    """What was stored before a restart."""
    name = f"OVER_{how.upper()}"
    nats.run("stream", "add", name, f"--subjects=over.{how}.*", "--retention=work", "--defaults")
    nats.run("consumer", "add", name, "worker", "--pull", "--ack=explicit", "--defaults")
    nats.run("pub", f"over.{how}.m", "job {{Count}}", "--count=20", "--jetstream", "--quiet")
    nats.run("consumer", "next", name, "worker", "--count=10")
    nats.run("pub", f"over.{how}.m", "x", "--jetstream", "-H", "Nats-Msg-Id:once")
    nats.run("kv", "add", f"over_{how}")
    nats.run("kv", "put", f"over_{how}", "key", "1")
    restart(how)
    expect_in("duplicate", nats.run("pub", f"over.{how}.m", "x", "--jetstream", "-H", "Nats-Msg-Id:once").lower(), "an id again")
    info = nats.json("consumer", "info", name, "worker")
    expect((info["num_ack_pending"], info["num_pending"]), (0, 11), "the consumer after the restart")
    expect(nats.run("consumer", "next", name, "worker", "--raw").strip(), "job 11", "the next job")
    expect(nats.run("kv", "get", f"over_{how}", "key", "--raw"), "1", "a value from before")
    return 24


def goes_on(nats):
    """Programs that run over a restart of the server. They take their time: the command waits ever longer between its
    attempts to connect."""
    nats.run("kv", "add", "over")
    nats.run("kv", "put", "over", "before", "1")
    listener = nats.start("sub", "alive", "--count=1")
    responder = nats.start("reply", "echo.over", "--echo")
    watcher = nats.start("kv", "watch", "over")
    try:
        eventually("the responder is there", lambda: "ping" in nats.run("request", "echo.over", "ping", "--raw"))
        eventually("the watcher is there", lambda: "before" in watcher.output())
        restart("kill")
        eventually("the responder is there again", lambda: "ping" in nats.run("request", "echo.over", "ping", "--raw"), 40)
        eventually("the listener gets a message", lambda: nats.run("pub", "alive", "yes") and listener.poll() is not None, 40)
        nats.run("kv", "put", "over", "after", "2")
        eventually("the watcher shows the change", lambda: "after: 2" in watcher.output(), 40)
    finally:
        for process in (listener, responder, watcher):
            end(process)
    return 4


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nats", required=True, help="the command")
    parser.add_argument("--url", required=True)
    arguments = parser.parse_args()
    report = Report("nats command")
    with tempfile.TemporaryDirectory(prefix="duolog-nats-cli-") as directory:
        nats = Nats(arguments.nats, arguments.url, pathlib.Path(directory))
        for name, check in (("core", core), ("streams", streams), ("consumers", consumers), ("key-value", key_values), ("objects", objects),
                            ("services", services), ("bench", bench)):
            report.check(name, check, nats)
        for how in ("stop", "kill"):
            report.check(f"after a restart ({how})", survives, nats, how)
        report.check("going on over a restart (kill)", goes_on, nats)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
