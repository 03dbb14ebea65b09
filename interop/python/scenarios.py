"""What every Python client must be able to do against the broker, written once for all three.

An adapter (one file per client) offers:
    name, codecs, null_headers: whether it can send a header whose value is null
    produce(topic, codec, records, idempotent) -> [(partition, offset)] in the order of the records
    consume(topic, partitions, verifier, deadline): assign all, read from the beginning until verifier.left is 0
    member(topic, group) -> a Member (groups.py)
    error_code(exception) -> the protocol's error number, or None
    admin() -> a context manager with the calls that `admin_checks` makes
"""

import time
import uuid

from groups import group_check
from report import Report, create, eventually, expect
from workload import Verifier, Workload

PARTITIONS = 4
TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS, UNKNOWN_TOPIC, GROUP_ID_NOT_FOUND = 36, 37, 3, 69
#: A client that makes no progress for so long has failed; far above what any check takes.
CHECK_SECONDS = 60


def run_all(client, records):
    report = Report(client.name)
    run_id = uuid.uuid4().hex[:8]
    workload = Workload(records, client.null_headers)
    with client.admin() as admin:
        for codec in client.codecs:
            for keyed in (True, False):
                kind = "keyed" if keyed else "unkeyed"
                topic = f"{client.name}-{codec}-{kind}-{run_id}"
                report.check(f"{codec} {kind}", round_trip, client, admin, topic, codec, keyed, False, workload)
        small = Workload(min(records, 20_000), client.null_headers)
        report.check("idempotent producer", round_trip, client, admin, f"{client.name}-idem-{run_id}", "none", True, True, small)
        report.check("null and empty keys and values", nulls, client, admin, f"{client.name}-nulls-{run_id}")
        report.check("group shares and rebalances", group_check, client, admin, f"{client.name}-group-{run_id}", min(records, 6000))
        admin_checks(report, client, admin, f"{client.name}-admin-{run_id}")
    return report.failed


def round_trip(client, admin, topic, codec, keyed, idempotent, workload):
    create(admin, topic, PARTITIONS)
    acks = client.produce(topic, codec, workload.records(keyed), idempotent)
    expect(len(acks) == workload.count, f"{len(acks)} of {workload.count} records acknowledged")
    verifier = Verifier(workload, keyed, acks)
    client.consume(topic, PARTITIONS, verifier, time.monotonic() + CHECK_SECONDS)
    verifier.finish()
    admin.delete_topic(topic)
    return workload.count


class Collector:
    """In a verifier's place where the records are few and the check compares them whole."""

    def __init__(self, count):
        self.left, self.records = count, []

    def take(self, partition, offset, key, value, timestamp_ms, headers):
        self.records.append((partition, offset, key, value, timestamp_ms, headers))
        self.left -= 1


def nulls(client, admin, topic):
    create(admin, topic, 1)
    now_ms = int(time.time() * 1000)
    sent = [(None, b"v"), (b"", b"v"), (b"k", b""), (b"k", None), (None, b""), (b"\x00\xff", b"\x00\xfe" * 700)]
    client.produce(topic, "none", ((k, v, now_ms, None) for k, v in sent), False)
    got = Collector(len(sent))
    client.consume(topic, 1, got, time.monotonic() + CHECK_SECONDS)
    expect([r[2:4] for r in got.records] == sent, f"got {got.records!r}")
    admin.delete_topic(topic)
    return len(sent)


def admin_checks(report, client, admin, topic):
    """Each line stands on the one before; a failure shows in all that follow."""
    base_ms = int(time.time() * 1000) - 3_600_000
    group = topic + "-positions"

    def expect_code(code, call, *arguments):
        try:
            call(*arguments)
        except Exception as error:
            got = client.error_code(error)
            expect(got == code, f"error code {got} ({error!r}), expected {code}")
            return
        raise AssertionError(f"no error, expected code {code}")

    def create_and_describe():
        create(admin, topic, 3, {"retention.ms": "36000000"})
        expect(topic in admin.list_topics(), "created topic is not listed")
        expect_code(TOPIC_ALREADY_EXISTS, admin.create_topic, topic, 3, {})
        expect(admin.topic_config(topic, "retention.ms") == "36000000", "config given at creation is not described")

    def alter_configs():
        admin.alter_config(topic, "retention.ms", "72000000")
        eventually("altered config", lambda: admin.topic_config(topic, "retention.ms") == "72000000")

    def create_partitions():
        admin.create_partitions(topic, 5)
        eventually("five partitions", lambda: admin.partition_count(topic) == 5)
        expect_code(INVALID_PARTITIONS, admin.create_partitions, topic, 2)

    def offsets_by_timestamp():
        acks = client.produce(topic, "none", ((b"same key", b"%d" % i, base_ms + i * 1000, None) for i in range(100)), False)
        partition = acks[0][0]
        expect([a for a in acks] == [(partition, i) for i in range(100)], "one key went to several partitions")
        found = admin.offsets_for_time
        expect(found(topic, partition, base_ms + 50_000) == 50, "exact timestamp")
        expect(found(topic, partition, base_ms + 50_001) == 51, "timestamp between two records")
        expect(found(topic, partition, base_ms - 1) == 0, "timestamp before the first record")
        expect(found(topic, partition, base_ms + 100_000) is None, "timestamp behind the last record")
        expect(admin.watermarks(topic, partition) == (0, 100), "beginning and end offset")
        admin.partition = partition

    def delete_records():
        admin.delete_records(topic, admin.partition, 40)
        expect(admin.watermarks(topic, admin.partition) == (40, 100), f"watermarks {admin.watermarks(topic, admin.partition)}")
        got = Collector(60)
        client.consume(topic, 5, got, time.monotonic() + CHECK_SECONDS)
        expect([r[1] for r in got.records] == list(range(40, 100)), "offsets read after delete records")

    def commit_with_metadata():
        admin.commit(group, topic, admin.partition, 60, "checkpoint sixty é")
        got = admin.committed(group, topic, admin.partition)
        expect(got == (60, "checkpoint sixty é"), f"committed {got!r}")
        expect(admin.committed(group, topic, (admin.partition + 1) % 5) is None, "offset where none was committed")

    def groups():
        expect(group in admin.list_groups(), "group with a committed offset is not listed")
        expect(admin.group_state(group) == "empty", f"state {admin.group_state(group)}")
        if admin.deletes_groups:
            admin.delete_group(group)
            expect(group not in admin.list_groups(), "deleted group is still listed")
            expect_code(GROUP_ID_NOT_FOUND, admin.delete_group, group)

    def delete_topic():
        admin.delete_topic(topic)
        eventually("deleted topic is gone", lambda: topic not in admin.list_topics())
        expect_code(UNKNOWN_TOPIC, admin.delete_topic, topic)

    report.check("admin create and describe topic", create_and_describe)
    report.check("admin alter configs", alter_configs)
    report.check("admin create partitions", create_partitions)
    report.check("admin offsets by timestamp", offsets_by_timestamp)
    report.check("admin delete records", delete_records)
    report.check("offset commit with metadata", commit_with_metadata)
    report.check("admin list, describe and delete groups" if admin.deletes_groups else "admin list and describe groups", groups)
    report.check("admin delete topic", delete_topic)
