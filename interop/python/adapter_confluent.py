"""confluent-kafka (librdkafka) as scenarios.py wants it."""

import contextlib
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType,
)

from groups import Member
from report import NOT_THERE_YET
from workload import Mismatch


class Client:
    name = "confluent-kafka"
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    null_headers = True

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def produce(self, topic, codec, records, idempotent):
        producer = Producer({
            "bootstrap.servers": self.bootstrap, "compression.codec": codec, "enable.idempotence": idempotent,
            "linger.ms": 5, "acks": "all", "queue.buffering.max.messages": 200_000,
        })
        acks, errors = [], []

        def on_delivery(number):
            def delivered(error, message):
                if error:
                    errors.append(error)
                else:
                    acks[number] = (message.partition(), message.offset())
            return delivered

        for number, (key, value, timestamp_ms, headers) in enumerate(records):
            acks.append(None)
            while True:
                try:
                    producer.produce(topic, value, key, on_delivery=on_delivery(number), timestamp=timestamp_ms, headers=headers)
                    break
                except BufferError:
                    producer.poll(0.1)
            if number % 1000 == 0:
                producer.poll(0)
        left = producer.flush(120)
        if errors or left:
            raise KafkaException(errors[0] if errors else KafkaError(KafkaError._TIMED_OUT))
        return acks

    def consume(self, topic, partitions, verifier, deadline):
        consumer = self.consumer(None, {"check.crcs": True})
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        try:
            while verifier.left:
                for m in consumer.consume(10_000, 0.05):
                    if m.error():
                        raise KafkaException(m.error())
                    verifier.take(m.partition(), m.offset(), m.key(), m.value(), m.timestamp()[1], m.headers())
                if time.monotonic() > deadline:
                    raise Mismatch(f"timed out with {verifier.left} records to come")
        finally:
            consumer.close()

    def consumer(self, group_id, extra):
        return Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": group_id or "no-group", "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100, **extra,
        })

    def member(self, group, label, topic, group_id):
        return ConfluentMember(self, group, label, topic, group_id)

    @staticmethod
    def error_code(error):
        return error.args[0].code() if isinstance(error, KafkaException) else None

    @contextlib.contextmanager
    def admin(self):
        yield Admin(self)


class ConfluentMember(Member):
    def __init__(self, client, group, label, topic, group_id):
        super().__init__(group, label)
        self.topic = topic
        self.consumer = client.consumer(group_id, {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 200})

    def commit(self):
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:  # nothing read since the last commit
                raise

    def poll_loop(self):
        self.consumer.subscribe([self.topic], on_revoke=lambda _consumer, _partitions: self.commit())
        while not self.stopping.is_set():
            messages = self.consumer.consume(500, 0.05)
            for m in messages:
                if m.error():
                    raise KafkaException(m.error())
            assigned = {p.partition for p in self.consumer.assignment()}
            self.note(assigned, [(m.partition(), m.offset(), m.value()) for m in messages])
        self.consumer.close()  # revokes, and so commits


class Admin:
    deletes_groups = True

    def __init__(self, client):
        self.client = client
        self.calls = AdminClient({"bootstrap.servers": client.bootstrap})
        # Asks for offsets and nothing else; never joins.
        self.reader = client.consumer(None, {})

    @staticmethod
    def result(futures):
        return next(iter(futures.values())).result(30)

    def not_there_yet(self, error):
        return self.client.error_code(error) in NOT_THERE_YET

    def create_topic(self, topic, partitions, configs):
        self.result(self.calls.create_topics([NewTopic(topic, partitions, 1, config=configs)]))

    def delete_topic(self, topic):
        self.result(self.calls.delete_topics([topic]))

    def list_topics(self):
        return set(self.calls.list_topics(timeout=30).topics)

    def partition_count(self, topic):
        try:
            return len(self.result(self.calls.describe_topics(TopicCollection([topic]))).partitions)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return 0
            raise

    def topic_config(self, topic, key):
        return self.result(self.calls.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))[key].value

    def alter_config(self, topic, key, value):
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        self.result(self.calls.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]))

    def create_partitions(self, topic, count):
        self.result(self.calls.create_partitions([NewPartitions(topic, count)]))

    def delete_records(self, topic, partition, before):
        self.result(self.calls.delete_records([TopicPartition(topic, partition, before)]))

    def offsets_for_time(self, topic, partition, timestamp_ms):
        asked = {TopicPartition(topic, partition): OffsetSpec.for_timestamp(timestamp_ms)}
        offset = self.result(self.calls.list_offsets(asked)).offset
        return offset if offset >= 0 else None

    def watermarks(self, topic, partition):
        return self.reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)

    def commit(self, group, topic, partition, offset, metadata):
        consumer = self.client.consumer(group, {})
        position = TopicPartition(topic, partition, offset, metadata)
        consumer.commit(offsets=[position], asynchronous=False)
        consumer.close()

    def committed(self, group, topic, partition):
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition)])
        position = self.result(self.calls.list_consumer_group_offsets([asked])).topic_partitions[0]
        return (position.offset, position.metadata or "") if position.offset >= 0 else None

    def list_groups(self):
        return {g.group_id for g in self.calls.list_consumer_groups().result(30).valid}

    def group_state(self, group):
        return self.result(self.calls.describe_consumer_groups([group])).state.name.lower()

    def delete_group(self, group):
        self.result(self.calls.delete_consumer_groups([group]))
