"""The history: what every client tried and what it was told, one JSON object a line.

An operation is ``{"i", "time", "process", "type", "f", "value"}`` as in Jepsen's Kafka test; ``type`` is
``invoke``, ``ok``, ``fail`` (surely not done) or ``info`` (outcome unknown). A *key* is one partition of one
incarnation of a topic, ``topic@incarnation/partition``: a topic that is deleted and made again gets new keys.
A *value* is ``producer.sequence``; sequences of a producer rise.

| f | value |
|---|---|
| ``producer``     | ``{"idempotent": bool}``: declares the process |
| ``send``         | ``[["send", key, [offset or null, value]], …]``; ``slow`` in the op: it took longer than its
                     times say |
| ``poll``         | ``[["poll", {key: [[offset, value], …]}]]``; the op also has ``mode``: assign or subscribe |
| ``read-all``     | ``{key: {"lo", "hi", "keep", "then"}}``: a read of the whole partition by a fresh client, told as a
                     difference: the first ``keep`` entries of the read before, then the entries ``then`` |
| ``commit``       | ``{"group", "offsets": {key: offset}}`` |
| ``committed``    | the same, as the broker tells it (null: none) |
| ``create-topic``, ``delete-topic`` | ``{"topic", "incarnation", "partitions"}`` |
| ``list-topics``  | ``{topic: partitions}`` |
| ``kill``, ``start``, ``ready`` | the nemesis: ``{"round", …}`` |
| ``js-…``          | what JetStream's clients do: see ``jetstream_rules`` |
| ``fault``        | something that is an anomaly by itself: ``{"name", …}`` |
"""

import json
import threading
import time


class History:
    """Writes operations to a file and feeds each to the checker, in one order that both share."""

    def __init__(self, path, checker):
        self._file = open(path, "w", encoding="utf-8", buffering=1 << 20)
        self._checker = checker
        self._lock = threading.Lock()
        self._next = 0
        self._began = time.monotonic_ns()

    def op(self, process, kind, f, value, **more):
        """Records one operation. An invoke must be recorded before the call that it announces."""
        with self._lock:
            op = {"i": self._next, "time": time.monotonic_ns() - self._began, "process": process,
                  "type": kind, "f": f, "value": value, **more}
            self._next += 1
            self._file.write(json.dumps(op, separators=(",", ":")) + "\n")
            self._checker.feed(op)

    def ask(self, question):
        """Runs ``question(checker)`` while no operation is being recorded."""
        with self._lock:
            return question(self._checker)

    def flush(self):
        with self._lock:
            self._file.flush()

    def close(self):
        with self._lock:
            self._file.close()


def read(path):
    """Yields the operations of a stored history."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
