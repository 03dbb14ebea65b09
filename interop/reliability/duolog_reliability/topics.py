"""Topics that come and go while the broker is killed, and the topics that the load writes to."""

import random
import threading

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from duolog_reliability.load import PATIENCE, Plan, encode

CHURN_TOPICS = 6


class Admin:
    """Creates, deletes and lists topics, each step in the history; what is in doubt is asked again."""

    def __init__(self, address, names, history, process):
        self.process = process
        self._names = names
        self._history = history
        self._client = AdminClient({"bootstrap.servers": address, "socket.timeout.ms": 5000, **PATIENCE})

    def create(self, topic, incarnation, partitions, settings=None, tries=1):
        """True once the broker has acknowledged it; False leaves it in doubt."""
        self._names.set(topic, incarnation)
        return self._step("create-topic", KafkaError.TOPIC_ALREADY_EXISTS, topic, incarnation, partitions, tries,
                          lambda: self._client.create_topics(
                              [NewTopic(topic, partitions, 1, config=settings or {})], operation_timeout=5,
                              request_timeout=5))

    def delete(self, topic, incarnation, partitions, tries=1):
        """True once the broker has acknowledged it; False leaves it in doubt."""
        return self._step("delete-topic", KafkaError.UNKNOWN_TOPIC_OR_PART, topic, incarnation, partitions, tries,
                          lambda: self._client.delete_topics([topic], operation_timeout=5, request_timeout=5))

    def _step(self, f, done_before, topic, incarnation, partitions, tries, call):
        value = {"topic": topic, "incarnation": incarnation, "partitions": partitions}
        for _ in range(tries):
            self._history.op(self.process, "invoke", f, value)
            try:
                call()[topic].result()
            except KafkaException as error:
                # An earlier try of the same step, whose answer was lost, may have been the one that did it.
                if error.args[0].code() != done_before:
                    self._history.op(self.process, "info", f, value, error=str(error))
                    continue
            self._history.op(self.process, "ok", f, value)
            return True
        return False

    def list(self, process="reader"):
        """One ``list-topics``."""
        self._history.op(process, "invoke", "list-topics", {})
        try:
            topics = self._client.list_topics(timeout=10).topics
        except KafkaException as error:
            self._history.op(process, "info", "list-topics", {}, error=str(error))
            return
        self._history.op(process, "ok", "list-topics", {
            name: len(topic.partitions) for name, topic in topics.items() if not name.startswith("__")})


class Churn(threading.Thread):
    """Creates topics, writes a little into each, deletes them, and makes some anew under the old name."""

    def __init__(self, address, names, history, seed):
        super().__init__(name="churn", daemon=True)
        self.ready = threading.Event()  # the harness clears it while the broker is down
        self.steady = threading.Lock()  # held during a step, and by whoever needs the topics to stay as they are
        self._address = address
        self._history = history
        self._random = random.Random(seed)
        self._admin = Admin(address, names, history, "churn")
        self._stopping = threading.Event()
        self._topics = {}  # name -> [incarnation, partitions, state]: absent, doubtful-create, there, doubtful-delete
        self._writers = 0

    def stop(self):
        """Asks it to end; join to wait."""
        self._stopping.set()

    def keys(self):
        """The keys that surely exist; call it, and use them, under ``steady``."""
        return [f"{name}@{incarnation}/{partition}"
                for name, (incarnation, partitions, state) in sorted(self._topics.items()) if state == "there"
                for partition in range(partitions)]

    def run(self):
        while not self._stopping.wait(self._random.uniform(0.05, 0.4)):
            if self.ready.wait(0.2):
                with self.steady:
                    self.step()

    def step(self):
        """One random step on one topic."""
        name = f"churn-{self._random.randrange(CHURN_TOPICS)}"
        topic = self._topics.setdefault(name, [-1, 0, "absent"])
        if topic[2] == "absent":
            topic[:] = [topic[0] + 1, self._random.randint(1, 3), "doubtful-create"]
        elif topic[2] == "there":
            if self._random.random() < 0.6:
                self._write(name, topic)
                return
            topic[2] = "doubtful-delete"
        if topic[2] == "doubtful-create":
            if self._admin.create(name, topic[0], topic[1]):
                topic[2] = "there"
                self._write(name, topic)
        elif self._admin.delete(name, topic[0], topic[1]):
            topic[2] = "absent"

    def _write(self, name, topic):
        """A few records by a producer of their own, gone before the topic may be deleted."""
        process = f"w{self._writers}"
        self._writers += 1
        self._history.op(process, "invoke", "producer", {"idempotent": True})
        client = Producer({**Plan(True, "all", "none").configuration(self._address), "message.timeout.ms": 3000})
        acked, unknown = [], []
        for n in range(self._random.randint(1, 10)):
            partition = self._random.randrange(topic[1])
            key, value = f"{name}@{topic[0]}/{partition}", f"{process}.{n}"
            self._history.op(process, "invoke", "send", [["send", key, [None, value]]])

            def delivered(error, message, key=key, value=value):
                offset = None if error or message.offset() < 0 else message.offset()
                (unknown if error else acked).append(["send", key, [offset, value]])

            client.produce(name, encode(value, 20), partition=partition, on_delivery=delivered)
        client.flush(5)
        client.purge()
        client.flush(1)
        if acked:
            self._history.op(process, "ok", "send", acked)
        if unknown:
            self._history.op(process, "info", "send", unknown)
