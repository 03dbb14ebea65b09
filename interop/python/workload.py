"""The records that every Python client produces, and the check of what came back.

Record `i` is a function of `i` alone, so a consumer can tell a lost, doubled, changed or misplaced
record without keeping what was sent. Owns no client; the adapters turn it into their own calls.
"""

import time

KEY_COUNT = 64
#: Every so many records one carries headers; enough to test them, too few to slow the clients down.
HEADER_EVERY = 1000
#: The third key stands twice: headers are a list, not a map. A null value is not an empty one.
HEADERS = [("trace", b"\x00\xff\xfe"), ("tag", b"first"), ("tag", b"second"), ("empty", b""), ("null", None)]

_FILLER = b"the quick brown fox jumps over the lazy dog; " * 3


class Mismatch(Exception):
    """What was consumed is not what was produced."""


class Workload:
    """`count` records with values, keys and timestamps that follow from their number."""

    def __init__(self, count, null_headers=True):
        self.count = count
        self.sent_headers = HEADERS if null_headers else HEADERS[:-1]
        # Recent, so that a broker's time-based retention has no reason to drop them.
        self.base_ms = int(time.time() * 1000) - 600_000
        self.values = [b"%08d:%s" % (i, _FILLER[: (i * 37) % 120]) for i in range(count)]
        self.keys = [b"key-%d" % k for k in range(KEY_COUNT)]

    def timestamp_ms(self, i):
        return self.base_ms + i // 10

    def headers(self, i):
        return self.sent_headers if i % HEADER_EVERY == 0 else None

    def records(self, keyed):
        """Yields (key, value, timestamp in ms, headers or None)."""
        for i, value in enumerate(self.values):
            yield (self.keys[i % KEY_COUNT] if keyed else None), value, self.base_ms + i // 10, self.headers(i)


class Verifier:
    """Takes consumed records one by one and raises `Mismatch` at the first that is wrong."""

    def __init__(self, workload, keyed, acks):
        self.workload, self.keyed, self.acks = workload, keyed, acks
        self.seen = bytearray(workload.count)
        self.left = workload.count
        self.last_number = {}
        self.next_offset = {}
        self.partition_of_key = {}

    def take(self, partition, offset, key, value, timestamp_ms, headers):
        w = self.workload
        i = int(value[:8])
        if value != w.values[i]:
            raise Mismatch(f"value at {partition}/{offset} differs from record {i}")
        if self.seen[i]:
            raise Mismatch(f"record {i} came twice, now at {partition}/{offset}")
        self.seen[i] = 1
        self.left -= 1
        if offset != self.next_offset.get(partition, 0):
            raise Mismatch(f"offset {offset} in partition {partition}, expected {self.next_offset.get(partition, 0)}")
        self.next_offset[partition] = offset + 1
        if i < self.last_number.get(partition, -1):
            raise Mismatch(f"record {i} behind {self.last_number[partition]} in partition {partition}: order lost")
        self.last_number[partition] = i
        if self.acks[i] != (partition, offset):
            raise Mismatch(f"record {i} acknowledged at {self.acks[i]}, read at {(partition, offset)}")
        if timestamp_ms != w.base_ms + i // 10:
            raise Mismatch(f"record {i} has timestamp {timestamp_ms}, expected {w.timestamp_ms(i)}")
        if self.keyed:
            if key != w.keys[i % KEY_COUNT]:
                raise Mismatch(f"record {i} has key {key!r}")
            if self.partition_of_key.setdefault(key, partition) != partition:
                raise Mismatch(f"key {key!r} in partitions {self.partition_of_key[key]} and {partition}")
        elif key is not None:
            raise Mismatch(f"record {i} has key {key!r}, expected none")
        if i % HEADER_EVERY == 0:
            if list(headers or []) != w.sent_headers:
                raise Mismatch(f"record {i} has headers {headers!r}")
        elif headers:
            raise Mismatch(f"record {i} has headers {headers!r}, expected none")

    def finish(self):
        if self.left:
            raise Mismatch(f"{self.left} of {self.workload.count} records missing, first {self.seen.index(0)}")
