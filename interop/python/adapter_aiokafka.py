"""aiokafka (asyncio) as scenarios.py wants it: each call runs in an event loop of its own thread."""

import asyncio
import contextlib
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.structs import OffsetAndMetadata

from groups import Member
from report import NOT_THERE_YET
from workload import Mismatch


class Client:
    name = "aiokafka"
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    null_headers = True

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def produce(self, topic, codec, records, idempotent):
        async def run():
            producer = AIOKafkaProducer(
                bootstrap_servers=self.bootstrap, compression_type=None if codec == "none" else codec, acks="all",
                enable_idempotence=idempotent, linger_ms=5, max_batch_size=65_536,
            )
            await producer.start()
            try:
                sent = [
                    await producer.send(topic, value, key, timestamp_ms=timestamp_ms, headers=headers)
                    for key, value, timestamp_ms, headers in records
                ]
                await producer.flush()
                return [(m.partition, m.offset) for m in [await future for future in sent]]
            finally:
                await producer.stop()
        return asyncio.run(run())

    def consume(self, topic, partitions, verifier, deadline):
        async def run():
            consumer = self.consumer(None, {"check_crcs": True})
            await consumer.start()
            try:
                assigned = [TopicPartition(topic, p) for p in range(partitions)]
                consumer.assign(assigned)
                await consumer.seek_to_beginning(*assigned)
                while verifier.left:
                    for batch in (await consumer.getmany(timeout_ms=200, max_records=10_000)).values():
                        for r in batch:
                            verifier.take(r.partition, r.offset, r.key, r.value, r.timestamp, r.headers)
                    if time.monotonic() > deadline:
                        raise Mismatch(f"timed out with {verifier.left} records to come")
            finally:
                await consumer.stop()
        asyncio.run(run())

    def consumer(self, group_id, extra):
        return AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=group_id, enable_auto_commit=False,
            auto_offset_reset="earliest", fetch_max_wait_ms=100, **extra,
        )

    def member(self, group, label, topic, group_id):
        return AiokafkaMember(self, group, label, topic, group_id)

    @staticmethod
    def error_code(error):
        return getattr(error, "errno", None)

    @contextlib.contextmanager
    def admin(self):
        with asyncio.Runner() as runner:
            admin = Admin(self, runner)
            runner.run(admin.start())
            try:
                yield admin
            finally:
                runner.run(admin.stop())


class AiokafkaMember(Member, ConsumerRebalanceListener):
    def __init__(self, client, group, label, topic, group_id):
        super().__init__(group, label)
        self.client, self.topic, self.group_id = client, topic, group_id

    async def on_partitions_revoked(self, revoked):
        if revoked:
            await self.consumer.commit()

    async def on_partitions_assigned(self, assigned):
        pass

    def poll_loop(self):
        asyncio.run(self.poll_async())

    async def poll_async(self):
        self.consumer = self.client.consumer(
            self.group_id, {"session_timeout_ms": 10_000, "heartbeat_interval_ms": 200})
        await self.consumer.start()
        self.consumer.subscribe([self.topic], listener=self)
        while not self.stopping.is_set():
            polled = await self.consumer.getmany(timeout_ms=50)
            assigned = {p.partition for p in self.consumer.assignment()}
            self.note(assigned, [(r.partition, r.offset, r.value) for batch in polled.values() for r in batch])
        await self.consumer.commit()
        await self.consumer.stop()


class Admin:
    #: aiokafka's admin client has no call for it.
    deletes_groups = False

    def __init__(self, client, runner):
        self.client, self.run = client, runner.run

    async def start(self):
        self.calls = AIOKafkaAdminClient(bootstrap_servers=self.client.bootstrap)
        await self.calls.start()
        self.reader = self.client.consumer(None, {})
        await self.reader.start()

    async def stop(self):
        await self.reader.stop()
        await self.calls.close()

    @staticmethod
    def raise_for(code, text):
        if code:
            raise for_code(code)(text)

    def not_there_yet(self, error):
        return self.client.error_code(error) in NOT_THERE_YET

    def create_topic(self, topic, partitions, configs):
        answer = self.run(self.calls.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)]))
        for name, code, *_ in answer.topic_errors:
            self.raise_for(code, name)

    def delete_topic(self, topic):
        for name, code in self.run(self.calls.delete_topics([topic])).topic_error_codes:
            self.raise_for(code, name)

    def list_topics(self):
        return set(self.run(self.calls.list_topics()))

    def partition_count(self, topic):
        return len(self.run(self.calls.describe_topics([topic]))[0]["partitions"])

    def topic_config(self, topic, key):
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, configs={key: None})
        for code, message, _type, _name, entries in self.run(self.calls.describe_configs([asked]))[0].resources:
            self.raise_for(code, message)
            return next(entry[1] for entry in entries if entry[0] == key)

    def alter_config(self, topic, key, value):
        # The older AlterConfigs request, which the other clients no longer send.
        answers = self.run(self.calls.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={key: value})]))
        for code, message, *_ in answers[0].resources:
            self.raise_for(code, message)

    def create_partitions(self, topic, count):
        self.run(self.calls.create_partitions({topic: NewPartitions(count)}))

    def delete_records(self, topic, partition, before):
        self.run(self.calls.delete_records({TopicPartition(topic, partition): RecordsToDelete(before)}))

    def offsets_for_time(self, topic, partition, timestamp_ms):
        position = TopicPartition(topic, partition)
        found = self.run(self.reader.offsets_for_times({position: timestamp_ms}))[position]
        return found.offset if found is not None else None

    def watermarks(self, topic, partition):
        position = TopicPartition(topic, partition)
        beginning = self.run(self.reader.beginning_offsets([position]))[position]
        return beginning, self.run(self.reader.end_offsets([position]))[position]

    def commit(self, group, topic, partition, offset, metadata):
        async def run():
            consumer = self.client.consumer(group, {})
            await consumer.start()
            consumer.assign([TopicPartition(topic, partition)])
            await consumer.commit({TopicPartition(topic, partition): OffsetAndMetadata(offset, metadata)})
            await consumer.stop()
        self.run(run())

    def committed(self, group, topic, partition):
        position = TopicPartition(topic, partition)
        found = self.run(self.calls.list_consumer_group_offsets(group, partitions=[position])).get(position)
        return (found.offset, found.metadata) if found is not None and found.offset >= 0 else None

    def list_groups(self):
        return {g[0] for g in self.run(self.calls.list_consumer_groups())}

    def group_state(self, group):
        code, _group, state, *_ = self.run(self.calls.describe_consumer_groups([group]))[0].groups[0]
        self.raise_for(code, group)
        return state.lower()
