"""Negative control of the checker: histories with one fault each, which must be found by name, and sound ones.

Each case is a function of a ``Script``; the checker's set of anomaly names must be exactly the expected one, so
a checker that finds too much fails as well as one that finds too little.
"""

from duolog_reliability.checker import Checker

K = "t@0/0"


class Script:
    """Writes a short history of one key."""

    def __init__(self):
        self.checker = Checker()
        self._i = 0
        self.time = 0
        self._log = {}
        self.op("a", "invoke", "producer", {"idempotent": True})
        self.op("p", "invoke", "producer", {"idempotent": False})

    def op(self, process, kind, f, value, **more):
        self._i += 1
        self.time += 1
        self.checker.feed({"i": self._i, "time": self.time, "process": process, "type": kind, "f": f,
                           "value": value, **more})

    def send(self, value, offset, kind="ok", key=K):
        process = value.split(".")[0]
        self.op(process, "invoke", "send", [["send", key, [None, value]]])
        if kind != "open":
            self.op(process, kind, "send", [["send", key, [offset, value]]])
        return self

    def ack(self, value, offset):
        self.op(value.split(".")[0], "ok", "send", [["send", K, [offset, value]]])
        return self

    def wait(self, seconds):
        self.time += int(seconds * 1e9)
        return self

    def poll(self, *entries, process="c", mode="assign"):
        self.op(process, "invoke", "poll", [], mode=mode)
        self.op(process, "ok", "poll", [["poll", {K: [list(entry) for entry in entries]}]], mode=mode)
        return self

    def read(self, *entries, lo=0, hi=None, key=K):
        entries = list(entries)
        before = self._log.get(key, [])
        keep = 0
        while keep < min(len(before), len(entries)) and before[keep] == entries[keep]:
            keep += 1
        self._log[key] = entries
        hi = (entries[-1][0] + 1 if entries else 0) if hi is None else hi
        self.op("v", "invoke", "read-all", {})
        self.op("v", "ok", "read-all", {key: {"lo": lo, "hi": hi, "keep": keep, "then": entries[keep:]}})
        return self

    def kill(self):
        self.op("nemesis", "info", "kill", {})
        return self

    def commit(self, offset, kind="ok"):
        self.op("g", "invoke", "commit", {"group": "g", "offsets": {K: offset}})
        if kind != "open":
            self.op("g", kind, "commit", {"group": "g", "offsets": {K: offset}})
        return self

    def committed(self, offset):
        self.op("v", "invoke", "committed", {"group": "g", "offsets": {}})
        self.op("v", "ok", "committed", {"group": "g", "offsets": {K: offset}})
        return self

    def topic(self, f, kind="ok", topic="x", incarnation=0):
        for step in ["invoke", kind]:
            self.op("admin", step, f, {"topic": topic, "incarnation": incarnation, "partitions": 2})
        return self

    def list(self, **topics):
        self.op("v", "invoke", "list-topics", {})
        self.op("v", "ok", "list-topics", topics)
        return self

    def publish(self, identity, seq, duplicate=False, stream="JS_JOBS"):
        self.op("jp", "invoke", "js-publish", {"stream": stream, "id": identity})
        self.op("jp", "ok", "js-publish", {"stream": stream, "id": identity, "seq": seq, "duplicate": duplicate})
        return self

    def deliver(self, identity, seq, number, stream="JS_JOBS", consumer="worker"):
        self.op("w", "ok", "js-deliver", {"stream": stream, "consumer": consumer, "id": identity, "seq": seq,
                                          "number": number, "count": 1})
        return self

    def confirm(self, seq, kind="ok"):
        self.op("w", "invoke", "js-ack", {"stream": "JS_JOBS", "consumer": "worker", "seq": seq})
        if kind != "open":
            self.op("w", kind, "js-ack", {"stream": "JS_JOBS", "consumer": "worker", "seq": seq})
        return self

    def browse(self, *entries, last, stream="JS_JOBS"):
        self.op("jr", "invoke", "js-read", {})
        self.op("jr", "ok", "js-read", {stream: {"last": last, "messages": [list(entry) for entry in entries]}})
        return self


def three(script):
    """Three acknowledged values, all read back."""
    return script.send("a.1", 0).send("a.2", 1).send("a.3", 2)


FULL = [(0, "a.1"), (1, "a.2"), (2, "a.3")]

# (what happened, the history, the names that must be found)
CASES = [
    ("all is well", lambda s: three(s).poll(*FULL).read(*FULL).kill().read(*FULL), []),
    ("well after restart with more", lambda s: three(s).read(*FULL).kill().send("a.4", 3).read(*FULL, (3, "a.4")), []),
    ("acknowledged during the read", lambda s: (s.op("v", "invoke", "read-all", {}), s.send("a.1", 0), s.op(
        "v", "ok", "read-all", {K: {"lo": 0, "hi": 0, "keep": 0, "then": []}}), s.read((0, "a.1"))), []),
    ("unknown outcome, absent", lambda s: three(s).send("a.4", None, "info").read(*FULL), []),
    ("unknown outcome, present", lambda s: three(s).send("a.4", None, "info").read(*FULL, (3, "a.4")), []),
    ("retried after a kill without idempotence", lambda s: s.send("p.1", None, "open").kill().ack("p.1", 1).read(
        (0, "p.1"), (1, "p.1")), []),
    ("retried after an error without idempotence", lambda s: s.send("p.1", None, "open").send("p.2", 0).wait(0.2).ack(
        "p.1", 1).read((0, "p.2"), (1, "p.1")), []),
    ("acknowledged without an offset", lambda s: s.send("a.1", None).read((0, "a.1")), []),
    ("a gap that holds nothing", lambda s: s.send("a.1", 0).send("a.2", 5).poll((0, "a.1"), (5, "a.2")).read(
        (0, "a.1"), (5, "a.2")), []),
    ("commit known", lambda s: s.commit(3).committed(3), []),
    ("commit in doubt, took", lambda s: s.commit(3).commit(5, "info").committed(5), []),
    ("commit in doubt, did not", lambda s: s.commit(3).commit(5, "open").committed(3), []),
    ("no commit yet", lambda s: s.commit(3, "info").committed(None), []),
    ("topic made, dropped, in doubt", lambda s: s.topic("create-topic").list(x=2).topic("delete-topic").list().topic(
        "create-topic", "info", incarnation=1).list(x=2).list(), []),

    ("JetStream, all is well", lambda s: s.send("a.1", 0).publish("m", 1).publish("n", 2).publish("m", 1, True).deliver(
        "m", 1, 1).confirm(1).kill().browse((2, "n"), last=2).deliver("n", 2, 4097), []),
    ("acknowledgement in doubt, took", lambda s: s.send("a.1", 0).publish("m", 1).deliver("m", 1, 1).confirm(
        1, "open").kill().browse(last=1), []),
    ("acknowledgement in doubt, did not", lambda s: s.send("a.1", 0).publish("m", 1).deliver("m", 1, 1).confirm(
        1, "open").kill().browse((1, "m"), last=1).deliver("m", 1, 2), []),
    ("message lost", lambda s: s.publish("m", 1).publish("n", 2).kill().browse((2, "n"), last=2), ["js-lost-write"]),
    ("job gone without acknowledgement", lambda s: s.publish("m", 1).deliver("m", 1, 1).kill().browse(last=1),
     ["js-lost-write"]),
    ("confirmed acknowledgement undone", lambda s: s.publish("m", 1).deliver("m", 1, 1).confirm(1).kill().browse(
        (1, "m"), last=1).deliver("m", 1, 2), ["js-lost-ack", "js-undead"]),
    ("id forgotten", lambda s: s.publish("m", 1).confirm(1).kill().publish("m", 2), ["js-dedup-forgotten"]),
    ("id forgotten, sequence kept", lambda s: s.publish("m", 1).kill().publish("m", 1), ["js-dedup-forgotten"]),
    ("sequence used twice", lambda s: s.publish("m", 1).kill().publish("n", 1), ["js-inconsistent"]),
    ("stream ends too early", lambda s: s.publish("m", 1).publish("n", 2).confirm(2).kill().browse((1, "m"), last=1),
     ["js-sequence-regression"]),
    ("delivery number used twice", lambda s: s.publish("m", 1).deliver("m", 1, 1).kill().deliver("m", 1, 1),
     ["js-number-twice"]),
    ("delivered too often", lambda s: s.publish("m", 1, stream="JS_EVENTS").deliver("m", 1, 1, "JS_EVENTS", "limited")
     .deliver("m", 1, 2, "JS_EVENTS", "limited").kill().deliver("m", 1, 3, "JS_EVENTS", "limited"),
     ["js-delivered-too-often"]),

    ("tail lost", lambda s: three(s).kill().read(*FULL[:2]), ["hw-regression", "unseen"]),
    ("tail lost, high watermark kept", lambda s: three(s).kill().read(*FULL[:2], hi=3), ["unseen"]),
    ("middle lost", lambda s: three(s).kill().read(FULL[0], FULL[2]), ["lost-write"]),
    ("lost after it was verified", lambda s: three(s).read(*FULL).kill().read(FULL[0], FULL[2]),
     ["lost-write", "revealed-lost"]),
    ("polled, unacknowledged, gone", lambda s: s.send("a.1", 0).send("a.2", None, "info").poll(
        (0, "a.1"), (1, "a.2")).read((0, "a.1"), hi=2), ["revealed-lost"]),
    ("offset used twice", lambda s: s.send("a.1", 0).read((0, "a.1")).kill().send("b.1", 0).read((0, "b.1")),
     ["inconsistent-offsets", "revealed-lost", "unseen"]),
    ("acknowledged elsewhere than it stands", lambda s: s.send("a.1", 0).send("a.2", 1).read(
        (0, "a.2"), (1, "a.1")), ["duplicate", "inconsistent-offsets", "nonmonotonic-send"]),
    ("idempotent duplicate", lambda s: s.send("a.1", None, "open").kill().ack("a.1", 1).read(
        (0, "a.1"), (1, "a.1")), ["duplicate"]),
    ("duplicate without a kill", lambda s: s.send("p.1", 0).read((0, "p.1"), (1, "p.1")), ["duplicate"]),
    ("order of a producer", lambda s: s.send("a.1", None).send("a.2", None).read((0, "a.2"), (1, "a.1")),
     ["nonmonotonic-send"]),
    ("order of a producer without idempotence", lambda s: s.send("p.1", None, "open").send("p.2", 0).wait(0.1).ack(
        "p.1", 1).read((0, "p.2"), (1, "p.1")), ["nonmonotonic-send"]),
    ("order of an idempotent one, slow", lambda s: s.send("a.1", None, "open").send("a.2", 0).wait(1).ack(
        "a.1", 1).read((0, "a.2"), (1, "a.1")), ["nonmonotonic-send"]),
    ("order of acknowledgements", lambda s: s.send("a.1", 1).send("a.2", 0), ["nonmonotonic-send"]),
    ("failed but there", lambda s: s.send("a.1", None, "fail").read((0, "a.1")), ["G1a"]),
    ("nobody sent it", lambda s: s.send("a.1", 0).read((0, "a.1"), (1, "z.9")), ["unexpected"]),
    ("in the wrong partition", lambda s: s.send("a.1", 0, key="t@0/1").read((0, "a.1")), ["unexpected"]),
    ("poll left one out", lambda s: three(s).poll(FULL[0]).poll(FULL[2]).read(*FULL), ["poll-skip"]),
    ("poll went back", lambda s: three(s).poll(*FULL).poll(FULL[1]).read(*FULL), ["nonmonotonic-poll"]),
    ("one poll left one out", lambda s: three(s).poll(FULL[0], FULL[2]).read(*FULL), ["int-poll-skip"]),
    ("one poll went back", lambda s: three(s).poll(FULL[1], FULL[0]).read(*FULL), ["int-nonmonotonic-poll"]),
    ("log start moved", lambda s: three(s).read(*FULL, lo=1), ["retention-early-delete"]),
    ("commit lost", lambda s: s.commit(3).commit(5).kill().committed(3), ["offset-regression"]),
    ("commits all lost", lambda s: s.commit(3).kill().committed(None), ["offset-regression"]),
    ("a commit nobody made", lambda s: s.commit(3).committed(4), ["unexpected-commit"]),
    ("topic lost", lambda s: s.topic("create-topic").kill().list(), ["topic-lost"]),
    ("topic with fewer partitions", lambda s: s.topic("create-topic").list(x=1), ["topic-lost"]),
    ("topic came back", lambda s: s.topic("create-topic").topic("delete-topic").kill().list(x=2),
     ["topic-resurrected"]),
    ("old data in a new incarnation", lambda s: s.send("a.1", 0, key="x@0/0").topic("create-topic").topic(
        "delete-topic").topic("create-topic", incarnation=1).read((0, "a.1"), key="x@1/0"), ["unexpected"]),
    ("the broker died by itself", lambda s: s.op("nemesis", "info", "fault", {"name": "broker-exit"}), ["broker-exit"]),
]


def run():
    """Runs every case and prints the failures; returns how many there were."""
    failed = 0
    for title, story, expected in CASES:
        script = Script()
        story(script)
        found = script.checker.results()["anomaly-types"]
        if found != sorted(expected):
            failed += 1
            print(f"FAILED {title}: expected {sorted(expected)}, found {found}")
    print(f"checker self-test: {len(CASES) - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    raise SystemExit(1 if run() else 0)
