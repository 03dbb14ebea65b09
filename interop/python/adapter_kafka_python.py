"""kafka-python (pure Python) as scenarios.py wants it."""

import contextlib
import time

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition, errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from groups import Member
from report import NOT_THERE_YET
from workload import Mismatch


class Client:
    name = "kafka-python"
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    null_headers = False

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def produce(self, topic, codec, records, idempotent):
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap, compression_type=None if codec == "none" else codec, acks="all",
            enable_idempotence=idempotent, max_in_flight_requests_per_connection=5 if idempotent else 1,
            linger_ms=5, batch_size=65_536, metrics_enabled=False,
        )
        try:
            sent = [
                producer.send(topic, value=value, key=key, headers=headers, timestamp_ms=timestamp_ms)
                for key, value, timestamp_ms, headers in records
            ]
            producer.flush(120)
            return [(m.partition, m.offset) for m in (future.get(30) for future in sent)]
        finally:
            producer.close(10)

    def consume(self, topic, partitions, verifier, deadline):
        consumer = self.consumer(None, {"check_crcs": True})
        assigned = [TopicPartition(topic, p) for p in range(partitions)]
        consumer.assign(assigned)
        consumer.seek_to_beginning(*assigned)
        try:
            while verifier.left:
                for batch in consumer.poll(timeout_ms=200, max_records=10_000).values():
                    for r in batch:
                        verifier.take(r.partition, r.offset, r.key, r.value, r.timestamp, r.headers)
                if time.monotonic() > deadline:
                    raise Mismatch(f"timed out with {verifier.left} records to come")
        finally:
            consumer.close()

    def consumer(self, group_id, extra):
        return KafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=group_id, enable_auto_commit=False, metrics_enabled=False,
            auto_offset_reset="earliest", fetch_max_wait_ms=100, **extra,
        )

    def member(self, group, label, topic, group_id):
        return KafkaPythonMember(self, group, label, topic, group_id)

    @staticmethod
    def error_code(error):
        return getattr(error, "errno", None)

    @contextlib.contextmanager
    def admin(self):
        admin = Admin(self)
        try:
            yield admin
        finally:
            admin.reader.close()
            admin.calls.close()


class KafkaPythonMember(Member):
    """Commits after every poll: this client's listeners run on its event loop, where a commit can't be waited for."""

    def __init__(self, client, group, label, topic, group_id):
        super().__init__(group, label)
        self.topic = topic
        self.consumer = client.consumer(group_id, {"session_timeout_ms": 10_000, "heartbeat_interval_ms": 200})

    def poll_loop(self):
        self.consumer.subscribe([self.topic])
        while not self.stopping.is_set():
            polled = self.consumer.poll(timeout_ms=50)
            if polled:
                self.consumer.commit()
            assigned = {p.partition for p in self.consumer.assignment()}
            self.note(assigned, [(r.partition, r.offset, r.value) for batch in polled.values() for r in batch])
        self.consumer.close()


class Admin:
    deletes_groups = True

    def __init__(self, client):
        self.client = client
        self.calls = KafkaAdminClient(bootstrap_servers=client.bootstrap)
        self.reader = client.consumer(None, {})

    def not_there_yet(self, error):
        return self.client.error_code(error) in NOT_THERE_YET

    def create_topic(self, topic, partitions, configs):
        self.calls.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}})

    def delete_topic(self, topic):
        self.calls.delete_topics([topic])

    def list_topics(self):
        return set(self.calls.list_topics())

    def partition_count(self, topic):
        try:
            return len(self.calls.describe_topics([topic])[0]["partitions"])
        except errors.UnknownTopicOrPartitionError:
            return 0

    def topic_config(self, topic, key):
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, configs={key: None})
        return self.calls.describe_configs([asked], config_filter="all")["topic"][topic][key]["value"]

    def alter_config(self, topic, key, value):
        self.calls.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={key: value})])

    def create_partitions(self, topic, count):
        self.calls.create_partitions({topic: count})

    def delete_records(self, topic, partition, before):
        self.calls.delete_records({TopicPartition(topic, partition): before})

    def offsets_for_time(self, topic, partition, timestamp_ms):
        position = TopicPartition(topic, partition)
        found = self.reader.offsets_for_times({position: timestamp_ms})[position]
        return found.offset if found is not None and found.offset >= 0 else None

    def watermarks(self, topic, partition):
        position = TopicPartition(topic, partition)
        return self.reader.beginning_offsets([position])[position], self.reader.end_offsets([position])[position]

    def commit(self, group, topic, partition, offset, metadata):
        consumer = self.client.consumer(group, {})
        consumer.commit({TopicPartition(topic, partition): OffsetAndMetadata(offset, metadata, -1)})
        consumer.close()

    def committed(self, group, topic, partition):
        position = TopicPartition(topic, partition)
        found = self.calls.list_group_offsets({group: [position]})[group].get(position)
        return (found.offset, found.metadata) if found is not None and found.offset >= 0 else None

    def list_groups(self):
        return {g["group_id"] for g in self.calls.list_groups()}

    def group_state(self, group):
        return str(self.calls.describe_groups([group])[group]["group_state"]).lower()

    def delete_group(self, group):
        outcome = self.calls.delete_groups([group])[group]  # "OK" or the name of an error's class
        if outcome != "OK":
            raise getattr(errors, outcome)(group)
