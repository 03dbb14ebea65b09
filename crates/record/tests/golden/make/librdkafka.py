"""Produces the golden records through librdkafka, one topic for each codec. Usage: librdkafka.py BOOTSTRAP"""

import sys

from confluent_kafka import Producer

FIRST_TIMESTAMP_MS = 1_700_000_000_000


def golden_records(codec):
    """Keep in step with Golden.java and ../../golden.rs."""
    large = "0123456789" * (10 if codec == "none" else 7000)
    return [
        (None, "value-0", []),
        ("key-1", "value-1", [("h", b"1"), ("h", b"2"), ("null", None), ("empty", b"")]),
        ("", "", []),
        ("key-3", None, []),
        (None, "duolog " * 20, [("h", b"4")]),
        ("key-5", large, []),
    ]


def produce(bootstrap, topic, codec, settings):
    # A long linger puts all records into one batch.
    producer = Producer(
        {"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 500, **settings}
    )
    failures = []
    for index, (key, value, headers) in enumerate(golden_records(codec)):
        producer.produce(
            topic,
            key=key,
            value=value,
            headers=headers,
            partition=0,
            timestamp=FIRST_TIMESTAMP_MS + 10 * index,
            on_delivery=lambda error, _message: failures.append(error) if error else None,
        )
    left = producer.flush(20)
    if left or failures:
        sys.exit(f"{topic}: {left} not delivered, {failures}")


if __name__ == "__main__":
    for name in ("none", "gzip", "snappy", "lz4", "zstd"):
        produce(sys.argv[1], f"librdkafka-{name}", name, {})
    produce(sys.argv[1], "librdkafka-idempotent", "lz4", {"enable.idempotence": True})
