"""Judges what JetStream's clients were told, as ``checker`` does for Kafka's; its operations begin with ``js-``.

| f | value |
|---|---|
| ``js-publish`` | ``{"stream", "id"}``; the ok also ``{"seq", "duplicate"}``; info: in doubt |
| ``js-deliver`` | ``{"stream", "consumer", "id", "seq", "number", "count"}``: a message that a client got |
| ``js-ack``     | ``{"stream", "consumer", "seq"}``; ok: the acknowledgement was confirmed |
| ``js-read``    | ``{stream: {"last", "messages": [[seq, id], …]}}``: a whole read |

| name | what was seen |
|---|---|
| js-inconsistent        | one sequence of a stream had two messages, be it a stream in memory of which a restart leaves none |
| js-dedup-forgotten     | an id got a second sequence, or an acknowledged one was not called a duplicate |
| js-lost-write          | an acknowledged message is gone that nobody has acknowledged to the work queue |
| js-lost-ack            | a message was delivered again after its acknowledgement was confirmed |
| js-undead              | a work queue's message is there after its acknowledgement was confirmed |
| js-number-twice        | two deliveries of a consumer had the same number |
| js-delivered-too-often | a client got a message more often than the consumer's limit allows |
| js-sequence-regression | a stream ends before a sequence that was told |
"""

from collections import Counter, defaultdict

LIMITS = {"limited": 2}
WORK_QUEUES = {"JS_JOBS"}


class _Stream:
    def __init__(self):
        self.by_sequence = {}
        self.by_id = {}
        self.acked = {}       # id -> sequence
        self.acking = set()   # sequences whose acknowledgement was begun
        self.confirmed = set()
        self.end = 0


class JetStreamRules:
    """Fed by the checker, which owns the counts."""

    def __init__(self, anomaly, info):
        self._anomaly, self._info = anomaly, info
        self._streams = defaultdict(_Stream)
        self._confirmed = defaultdict(set)   # consumer -> sequences
        self._numbers = defaultdict(set)
        self._counts = defaultdict(Counter)
        self._repeating = {}                 # process -> whether the id that it publishes was acknowledged before
        self._reading = {}

    def feed(self, op):
        getattr(self, "_on_" + op["f"].replace("-", "_"))(op["type"], op["process"], op["value"])

    def _see(self, name, sequence, identity, where):
        stream = self._streams[name]
        known = stream.by_sequence.setdefault(sequence, identity)
        if known != identity:
            self._anomaly("js-inconsistent", stream=name, seq=sequence, ids=[known, identity], where=where)
        at = stream.by_id.setdefault(identity, sequence)
        if at != sequence:
            self._anomaly("js-dedup-forgotten", stream=name, id=identity, seqs=[at, sequence], where=where)
        stream.end = max(stream.end, sequence)

    def _on_js_publish(self, kind, process, value):
        stream = self._streams[value["stream"]]
        if kind == "invoke":
            self._repeating[process] = value["id"] in stream.acked
            return
        if kind == "info":
            return
        self._info["js-acked"] += 1
        self._info["js-duplicates"] += value["duplicate"]
        self._see(value["stream"], value["seq"], value["id"], "acknowledged")
        if self._repeating.pop(process) and not value["duplicate"]:
            self._anomaly("js-dedup-forgotten", **value)
        stream.acked[value["id"]] = value["seq"]

    def _on_js_deliver(self, _kind, _process, value):
        consumer, sequence = value["consumer"], value["seq"]
        self._info["js-delivered"] += 1
        self._see(value["stream"], sequence, value["id"], "delivered")
        if sequence in self._confirmed[consumer]:
            self._anomaly("js-lost-ack", **value)
        if value["number"] in self._numbers[consumer]:
            self._anomaly("js-number-twice", **value)
        self._numbers[consumer].add(value["number"])
        self._counts[consumer][sequence] += 1
        if self._counts[consumer][sequence] > LIMITS.get(consumer, float("inf")):
            self._anomaly("js-delivered-too-often", times=self._counts[consumer][sequence], **value)

    def _on_js_ack(self, kind, _process, value):
        stream = self._streams[value["stream"]]
        if kind == "invoke":
            stream.acking.add(value["seq"])
        else:
            self._info["js-confirmed"] += 1
            stream.confirmed.add(value["seq"])
            self._confirmed[value["consumer"]].add(value["seq"])

    def _on_js_read(self, kind, process, value):
        if kind == "invoke":
            self._reading[process] = {name: (dict(stream.acked), set(stream.confirmed), stream.end)
                                      for name, stream in self._streams.items()}
            return
        self._info["js-reads"] += 1
        before = self._reading.pop(process)
        for name, read in value.items():
            acked, confirmed, end = before.get(name, ({}, set(), 0))
            there = {sequence for sequence, _ in read["messages"]}
            for sequence, identity in read["messages"]:
                self._see(name, sequence, identity, "read")
            if read["last"] < end:
                self._anomaly("js-sequence-regression", stream=name, last=read["last"], told=end)
            may_go = self._streams[name].acking if name in WORK_QUEUES else set()
            for identity, sequence in acked.items():
                if sequence not in there and sequence not in may_go:
                    self._anomaly("js-lost-write", stream=name, seq=sequence, id=identity)
            if name in WORK_QUEUES:
                for sequence in confirmed & there:
                    self._anomaly("js-undead", stream=name, seq=sequence)
