"""Runs inside the machine whose power is cut: an acknowledged load that tells the console what the broker promised.

A line is printed, and flushed, only after the broker's answer, so whatever stands on the console was promised
before the cut. Lines: ``ACK topic partition offset value ;`` (with ``slow`` after the value where it took so long
that a retry may be in it), ``READ topic partition offset value ;`` (shown to
a consumer), ``COMMIT group topic partition offset ;``, ``CREATED topic partitions ;``, ``DELETED topic ;``.
Usage: ack_load.py ADDRESS PREFIX, where PREFIX makes the producers' names unique.
"""

import random
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from duolog_reliability.checker import RETRY_AFTER_NS
from duolog_reliability.load import PATIENCE, Plan, decode, encode

TOPIC, PARTITIONS = "cut", 4
PLANS = [Plan(True, "all", "none"), Plan(True, "all", "zstd"), Plan(False, "all", "lz4"), Plan(False, "1", "none")]
_LOCK = threading.Lock()


def say(lines):
    """One write of whole lines."""
    with _LOCK:
        sys.stdout.write("".join(line + " ;\n" for line in lines))
        sys.stdout.flush()


def ensure_topic(admin, topic, partitions):
    """Creates a topic, through a broker that may still be starting."""
    while True:
        try:
            admin.create_topics([NewTopic(topic, partitions, 1)], request_timeout=5)[topic].result()
            return
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return
            time.sleep(0.02)


def consume(address, prefix):
    """Shows what is readable now, and commits it for a group of its own."""
    group = f"g{prefix}"
    client = Consumer({"bootstrap.servers": address, "group.id": group, "enable.auto.commit": False,
                       "auto.offset.reset": "error", "fetch.wait.max.ms": 50, **PATIENCE})
    starts = [client.get_watermark_offsets(TopicPartition(TOPIC, partition), timeout=10)[1]
              for partition in range(PARTITIONS)]
    client.assign([TopicPartition(TOPIC, partition, start) for partition, start in enumerate(starts)])
    while True:
        newest = {}
        for message in client.consume(500, 0.05):
            if not message.error():
                newest[message.partition()] = message
        if newest:
            say(f"READ {TOPIC} {partition} {message.offset()} {decode(message.value())}"
                for partition, message in newest.items())
            client.commit(offsets=[TopicPartition(TOPIC, partition, message.offset() + 1)
                                   for partition, message in newest.items()], asynchronous=False)
            say(f"COMMIT {group} {TOPIC} {partition} {message.offset() + 1}" for partition, message in newest.items())


def change_topics(admin, prefix):
    """Creates topics, and deletes every second of them."""
    number = 0
    while True:
        topic = f"t{prefix}-{number}"
        ensure_topic(admin, topic, 2)
        say([f"CREATED {topic} 2"])
        time.sleep(0.1)
        if number % 2:
            say([f"DELETING {topic}"])
            admin.delete_topics([topic], request_timeout=5)[topic].result()
            say([f"DELETED {topic}"])
        number += 1


def main(address, prefix):
    admin = AdminClient({"bootstrap.servers": address, **PATIENCE})
    ensure_topic(admin, TOPIC, PARTITIONS)
    done = []
    producers = []
    for n, plan in enumerate(PLANS):
        producers.append([Producer(plan.configuration(address)), f"{prefix}x{n}", 0, 0])
        say([f"PRODUCER {prefix}x{n} {int(plan.idempotent)}"])
    for target, words in ((consume, (address, prefix)), (change_topics, (admin, prefix))):
        threading.Thread(target=target, args=words, daemon=True).start()

    def delivered(producer, value):
        began = time.monotonic_ns()

        def call(error, message):
            producer[3] -= 1
            if error is None and message.offset() >= 0:
                slow = " slow" if time.monotonic_ns() - began >= RETRY_AFTER_NS else ""
                done.append(f"ACK {message.topic()} {message.partition()} {message.offset()} {value}{slow}")
        return call

    while True:
        for producer in producers:
            client, name, sequence, outstanding = producer
            for _ in range(random.choice((1, 1, 4)) if outstanding < 40 else 0):
                value = f"{name}.{producer[2]}"
                producer[2] += 1
                producer[3] += 1
                client.produce(TOPIC, encode(value, random.choice((0, 100, 100, 3000))), on_delivery=delivered(
                    producer, value), partition=random.randrange(PARTITIONS))
            client.poll(0.002)
        if done:
            lines, done[:] = list(done), []
            say(lines)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
