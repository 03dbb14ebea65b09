"""One line per check on standard output, in the form that interop/run counts; and the waiting that checks share."""

import sys
import time
import traceback

#: UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, and librdkafka's own for the first.
NOT_THERE_YET = {3, 5, 6, -188, -190}


class Report:
    def __init__(self, suite):
        self.suite = suite
        self.failed = 0

    def check(self, name, function, *arguments):
        """Runs one check. It returns the number of records it moved, or None, and fails by raising."""
        started = time.monotonic()
        try:
            records = function(*arguments)
        except Exception as error:  # a failing check must not end the others
            self.failed += 1
            took = time.monotonic() - started
            print(f"FAIL {self.suite} {name} ({took:.1f} s): {type(error).__name__}: {error}", flush=True)
            traceback.print_exc(file=sys.stderr)
            return
        took = time.monotonic() - started
        count = f"{records} records, " if records else ""
        print(f"ok   {self.suite} {name} ({count}{took:.1f} s)", flush=True)


def eventually(what, condition, seconds=20):
    """Waits until `condition()` is truthy and returns its value; a broker's answer may precede what it shows."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def create(admin, topic, partitions, configs=None):
    """Creates a topic and waits until its partitions answer: a real Kafka tells its parts one after the other, and
    a client that has to retry its first requests may lose their order, or not see the topic for minutes."""
    admin.create_topic(topic, partitions, configs or {})
    eventually(f"{topic} in metadata", lambda: admin.partition_count(topic) == partitions)

    def answer():
        try:
            return [admin.watermarks(topic, partition) for partition in range(partitions)]
        except Exception as error:
            if admin.not_there_yet(error):
                return None
            raise

    eventually(f"the partitions of {topic} answer", answer)
