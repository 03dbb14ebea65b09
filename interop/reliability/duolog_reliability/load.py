"""The writing half of the load: producers that never stop, whatever happens to the broker.

Every record carries ``producer.sequence.length|padding`` with a sequence that rises by producer, so that a
value is unique, its place in its producer's order is known, and damage to its bytes shows.
"""

import random
import threading
import time

from confluent_kafka import KafkaException, Producer

PADDING = (b"0123456789abcdefghijklmnopqrstuvwxyz" * 2000)[:65536]
OUTSTANDING_MAX = 300
GIVEN_UP = {"_PURGE_QUEUE", "_PURGE_INFLIGHT"}  # by the harness itself, at the end


def encode(value, length):
    """The record's bytes: `length` of padding after the value's text."""
    return f"{value}.{length}|".encode() + PADDING[:length]


def decode(data):
    """The value in a record's bytes, or None where they aren't as they were sent."""
    head, bar, padding = (data or b"").partition(b"|")
    try:
        value, _, length = head.decode("ascii").rpartition(".")
        intact = bar == b"|" and padding == PADDING[:int(length)] and value.rpartition(".")[2].isdigit()
    except ValueError:
        return None
    return value if intact else None


class Plan:
    """How one producer behaves."""

    def __init__(self, idempotent, acks, codec, bursts_per_second=25):
        self.idempotent, self.acks, self.codec, self.bursts_per_second = idempotent, acks, codec, bursts_per_second

    def configuration(self, address):
        """Retries until the broker is back: what a producer gives up on tells little."""
        return {
            "bootstrap.servers": address, "enable.idempotence": self.idempotent, "acks": self.acks,
            "compression.type": self.codec, "linger.ms": 3, "message.timeout.ms": 120000,
            # Without idempotence more than one request at a time would lose the order at any retry.
            "max.in.flight.requests.per.connection": 5 if self.idempotent else 1,
            # The checker relies on 200: see RETRY_AFTER_NS.
            "retries": 1000000, "retry.backoff.ms": 20 if self.idempotent else 200, "retry.backoff.max.ms": 200,
            **PATIENCE}


# Settings of every client: come back at once, and say nothing on stderr while the broker is down.
PATIENCE = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100, "topic.metadata.refresh.interval.ms": 5000,
            "topic.metadata.refresh.fast.interval.ms": 50, "log_level": 0}

PLANS = [
    Plan(True, "all", "none"), Plan(True, "all", "gzip"), Plan(True, "all", "snappy"), Plan(True, "all", "lz4"),
    Plan(True, "all", "zstd"), Plan(False, "all", "none"), Plan(False, "all", "lz4"), Plan(False, "1", "zstd"),
    Plan(False, "1", "gzip"),
]


class ProducerThread(threading.Thread):
    """One producer process of the history, with its own client."""

    def __init__(self, name, plan, address, keys, history, seed):
        super().__init__(name=f"producer-{name}", daemon=True)
        self.process = name
        self.plan = plan
        self.acked = 0  # read by the harness: has this one been served since the restart?
        self.refused = set()  # errors that ended a send although the broker must leave every error retriable
        self._keys = list(keys)
        self._history = history
        self._random = random.Random(seed)
        self._sequence = 0
        self._outstanding = 0
        self._done = []
        self._stopping = threading.Event()
        self._client = Producer(plan.configuration(address))
        history.op(name, "invoke", "producer", {"idempotent": plan.idempotent})

    def run(self):
        try:
            self._work()
        except KafkaException as error:
            # Only a fatal error is raised: the broker forgot what an idempotent producer relies on.
            self._history.op(self.process, "info", "fault", {"name": "producer-fatal", "error": str(error)})

    def _work(self):
        next_burst = time.monotonic()
        while not self._stopping.is_set():
            wait = next_burst - time.monotonic()
            if wait <= 0 and self._outstanding < OUTSTANDING_MAX:
                self._burst()
                wait = self._random.expovariate(self.plan.bursts_per_second)
                next_burst = time.monotonic() + wait
            self._serve(min(max(wait, 0.005), 0.2))
        deadline = time.monotonic() + 20
        while self._outstanding and time.monotonic() < deadline:
            self._serve(0.05)
        self._client.purge()
        self._serve(0.05)

    def stop(self):
        """Asks it to finish what is outstanding and end; join to wait."""
        self._stopping.set()

    def _burst(self):
        name = self._random.choice(self._keys)
        topic, _, partition = name.rpartition("/")
        topic = topic.partition("@")[0]
        size = self._random.choice((1, 1, 2, 5, 20))
        values = [f"{self.process}.{self._sequence + n}" for n in range(size)]
        self._sequence += size
        self._history.op(self.process, "invoke", "send", [["send", name, [None, value]] for value in values])
        refused = []
        for value in values:
            length = self._random.choice((0, 10, 100, 100, 300, 1000))
            if self._random.random() < 0.01:
                length = self._random.randrange(65536)
            try:
                self._client.produce(topic, encode(value, length), key=value if length % 20 else None,
                                     partition=int(partition), headers=[("n", value)] if length == 300 else None,
                                     on_delivery=lambda error, message, value=value: self._delivered(
                                         name, value, error, message))
                self._outstanding += 1
            except BufferError:
                refused.append(["send", name, [None, value]])
        if refused:
            self._history.op(self.process, "fail", "send", refused)

    def _delivered(self, name, value, error, message):
        self._outstanding -= 1
        if error is None:
            offset = message.offset()
            self._done.append(("ok", ["send", name, [offset if offset is not None and offset >= 0 else None, value]]))
        else:
            self._done.append(("info", ["send", name, [None, value]], error.name()))
            if error.name() not in GIVEN_UP:
                self.refused.add(error.name())

    def _serve(self, seconds):
        """Lets the client call back, and writes down what it said."""
        self._client.poll(seconds)
        done, self._done = self._done, []
        acked = [entry[1] for entry in done if entry[0] == "ok"]
        if acked:
            self._history.op(self.process, "ok", "send", acked)
            self.acked += len(acked)
        unknown = [entry for entry in done if entry[0] == "info"]
        if unknown:
            self._history.op(self.process, "info", "send", [entry[1] for entry in unknown],
                             error=sorted({entry[2] for entry in unknown}))
