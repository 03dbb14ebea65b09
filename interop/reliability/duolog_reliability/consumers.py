"""The reading half of the load: a tailing consumer, a committing group, and a committer of positions."""

import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from duolog_reliability.load import PATIENCE, decode


#: A restarted broker knows its topics from the start; what it doesn't know for so long is lost.
UNKNOWN_TOPIC_SECONDS = 10


class Names:
    """Which key a topic and partition stand for now: topics are deleted and made again."""

    def __init__(self):
        self._incarnation = {}

    def set(self, topic, incarnation):
        self._incarnation[topic] = incarnation

    def key(self, topic, partition):
        return f"{topic}@{self._incarnation[topic]}/{partition}"


def split(key):
    """Topic and partition of a key."""
    name, _, partition = key.rpartition("/")
    return name.partition("@")[0], int(partition)


def entries_of(messages, names, history, process):
    """Messages as ``{key: [[offset, value], …]}``; damage and errors go to the history."""
    polled = {}
    for message in messages:
        if message.error():
            if message.error().code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                history.op(process, "info", "fault", {"name": "hw-regression", "error": str(message.error())})
            continue
        key = names.key(message.topic(), message.partition())
        value = decode(message.value())
        if value is None:
            history.op(process, "info", "fault", {"name": "corrupt-value", "key": key, "offset": message.offset(),
                                                  "bytes": repr(message.value()[:60])})
            continue
        polled.setdefault(key, []).append([message.offset(), value])
    return polled


class _Client(threading.Thread):
    def __init__(self, process, history):
        super().__init__(name=process, daemon=True)
        self.process = process
        self._history = history
        self._stopping = threading.Event()

    def stop(self):
        """Asks it to end; join to wait."""
        self._stopping.set()


class Tailer(_Client):
    """Follows all keys by assignment from the beginning, through every restart, and never resets by itself."""

    def __init__(self, process, address, keys, names, history):
        super().__init__(process, history)
        self._names = names
        self.positions = {key: 0 for key in keys}
        self._client = Consumer({"bootstrap.servers": address, "group.id": f"unused-{process}",
                                 "enable.auto.commit": False, "auto.offset.reset": "error", "check.crcs": True,
                                 "fetch.wait.max.ms": 100, "fetch.error.backoff.ms": 20, **PATIENCE})
        self._client.assign([TopicPartition(*split(key), 0) for key in keys])

    def run(self):
        while not self._stopping.is_set():
            polled = entries_of(self._client.consume(1000, 0.1), self._names, self._history, self.process)
            if polled:
                self._history.op(self.process, "ok", "poll", [["poll", polled]], mode="assign")
                for key, entries in polled.items():
                    self.positions[key] = entries[-1][0] + 1
        self._client.close()


class Committer(_Client):
    """Commits a tailer's positions for a group that has no members, as often as the broker answers."""

    def __init__(self, process, address, group, tailer, history):
        super().__init__(process, history)
        self.acked = 0
        self.again = threading.Event()  # asks for one more commit of the same positions
        self._tailer = tailer
        self._group = group
        self._client = Consumer({"bootstrap.servers": address, "group.id": group, "enable.auto.commit": False,
                                 "socket.timeout.ms": 5000, **PATIENCE})

    def run(self):
        committed = {}
        while not self._stopping.is_set():
            again = self.again.is_set()
            self.again.clear()
            moved = {key: end for key, end in self._tailer.positions.items() if again or end > committed.get(key, 0)}
            if not moved:
                self._stopping.wait(0.02)
                continue
            value = {"group": self._group, "offsets": moved}
            self._history.op(self.process, "invoke", "commit", value)
            try:
                answers = self._client.commit(
                    offsets=[TopicPartition(*split(key), end) for key, end in moved.items()], asynchronous=False)
                refused = [answer.error for answer in answers if answer.error]
            except KafkaException as error:
                refused = [error.args[0]]
            if refused:
                self._history.op(self.process, "info", "commit", value, error=str(refused[0]))
                self._stopping.wait(0.05)
                continue
            self._history.op(self.process, "ok", "commit", value)
            committed.update(moved)
            self.acked += 1
            self._stopping.wait(0.01)
        self._client.close()


class Member(_Client):
    """One member of a subscribing group; commits what it has read, by hand, after each poll."""

    def __init__(self, process, address, group, pattern, names, history):
        super().__init__(process, history)
        self.polled = 0
        self.committed = 0
        self._names = names
        self._group = group
        self._client = Consumer({"bootstrap.servers": address, "group.id": group, "enable.auto.commit": False,
                                 "auto.offset.reset": "earliest", "session.timeout.ms": 6000,
                                 "heartbeat.interval.ms": 500, "fetch.wait.max.ms": 100, "socket.timeout.ms": 5000,
                                 "fetch.error.backoff.ms": 20, **PATIENCE})
        self._client.subscribe([pattern])

    def run(self):
        while not self._stopping.is_set():
            polled = entries_of(self._client.consume(500, 0.1), self._names, self._history, self.process)
            if not polled:
                continue
            self._history.op(self.process, "ok", "poll", [["poll", polled]], mode="subscribe")
            self.polled += 1
            value = {"group": self._group, "offsets": {key: entries[-1][0] + 1 for key, entries in polled.items()}}
            self._history.op(self.process, "invoke", "commit", value)
            try:
                self._client.commit(offsets=[TopicPartition(*split(key), end)
                                             for key, end in value["offsets"].items()], asynchronous=False)
                self._history.op(self.process, "ok", "commit", value)
                self.committed += 1
            except KafkaException as error:
                self._history.op(self.process, "info", "commit", value, error=str(error.args[0]))
        self._client.close()


class ReadBack:
    """Reads every partition whole, by a client that knows nothing from before."""

    def __init__(self, address, names, history):
        self._address = address
        self._names = names
        self._history = history
        self._logs = {}  # key -> [[offset, value], …] of the read before

    def read_all(self, keys, timeout=60, process="reader"):
        """One ``read-all`` over `keys`: from the start to the high watermark as of now."""
        history = self._history
        for gone in set(self._logs) - set(keys):
            del self._logs[gone]
        history.op(process, "invoke", "read-all", {})
        client = Consumer({"bootstrap.servers": self._address, "group.id": "unused-reader", "enable.auto.commit": False,
                           "auto.offset.reset": "error", "check.crcs": True, "fetch.wait.max.ms": 5,
                           "queued.min.messages": 100000, "fetch.error.backoff.ms": 20, **PATIENCE})
        deadline = time.monotonic() + timeout
        try:
            ends = {key: self._watermarks(client, key, deadline) for key in keys}
            logs = {key: [] for key in keys}
            waiting = {key for key, (low, high) in ends.items() if high > low}
            client.assign([TopicPartition(*split(key), ends[key][0]) for key in sorted(waiting)])
            while waiting and time.monotonic() < deadline:
                for key, entries in entries_of(client.consume(5000, 0.1), self._names, history, process).items():
                    logs[key].extend(entries)
                    if entries[-1][0] + 1 >= ends[key][1]:
                        waiting.discard(key)
            if waiting:
                history.op(process, "info", "fault", {
                    "name": "stuck-consumer", "who": "reader",
                    "keys": {key: [logs[key][-1][0] + 1 if logs[key] else 0, ends[key][1]] for key in sorted(waiting)}})
            history.op(process, "ok", "read-all", {key: self._difference(key, *ends[key], logs[key]) for key in keys})
            return sum(map(len, logs.values()))
        except KafkaException as error:
            history.op(process, "info", "read-all", {}, error=str(error))
            history.op(process, "info", "fault", {"name": "stuck-consumer", "who": "reader", "error": str(error)})
            return 0
        finally:
            client.close()

    @staticmethod
    def _watermarks(client, key, deadline):
        # A topic that is gone is said to be so at once, and each question costs the client memory.
        unknown_until = time.monotonic() + UNKNOWN_TOPIC_SECONDS
        while True:
            try:
                return client.get_watermark_offsets(TopicPartition(*split(key)), timeout=5, cached=False)
            except KafkaException as error:
                gone = error.args[0].code() in (KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART)
                if time.monotonic() > (min(unknown_until, deadline) if gone else deadline):
                    raise
                time.sleep(0.1)

    def _difference(self, key, low, high, log):
        before = self._logs.get(key, [])
        keep = len(before) if log[:len(before)] == before else next(
            n for n, entry in enumerate(before) if n >= len(log) or log[n] != entry)
        self._logs[key] = log
        return {"lo": low, "hi": high, "keep": keep, "then": log[keep:]}

    def committed(self, group, keys, process="reader"):
        """One ``committed``: what the broker says the group has committed."""
        client = Consumer({"bootstrap.servers": self._address, "group.id": group, "enable.auto.commit": False,
                           **PATIENCE})
        self._history.op(process, "invoke", "committed", {"group": group})
        try:
            answers = client.committed([TopicPartition(*split(key)) for key in keys], timeout=20)
            failed = [answer.error for answer in answers if answer.error]
            if failed:
                raise KafkaException(failed[0])
            offsets = {self._names.key(answer.topic, answer.partition): answer.offset if answer.offset >= 0 else None
                       for answer in answers}
            self._history.op(process, "ok", "committed", {"group": group, "offsets": offsets})
        except KafkaException as error:
            self._history.op(process, "info", "committed", {"group": group}, error=str(error))
            self._history.op(process, "info", "fault", {"name": "stuck-consumer", "who": f"committed of {group}",
                                                        "error": str(error)})
        finally:
            client.close()
