// What only the Java client does or shows: default idempotence and producer state, its admin requests, the
// consumer's look-ups, fencing of a static member.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

final class ClientChecks {
    private final String bootstrap;
    private final Admin admin;
    private final String prefix;

    ClientChecks(String bootstrap, Admin admin, String prefix) {
        this.bootstrap = bootstrap;
        this.admin = admin;
        this.prefix = prefix;
    }

    void runAll() {
        Checks.checkStep("idempotence by default, describeProducers", this::idempotence);
        Checks.checkStep("acks 0 and 1", this::acks);
        Checks.checkStep("headers, timestamps, read_committed", this::headers);
        Checks.checkStep("describeTopics in pages, by name and id", this::describeTopics);
        Checks.checkStep("createTopics answers and errors", this::createTopics);
        Checks.checkStep("listOffsets specs, deleteRecords", this::listOffsets);
        Checks.checkStep("describeCluster, describeLogDirs", this::describeCluster);
        Checks.checkStep("consumer positions", this::positions);
        Checks.checkStep("group admin", this::groupAdmin);
        Checks.checkStep("fencing of a static member", this::fencing);
    }

    private String topic(String name, int partitions) throws Exception {
        String topic = prefix + "-" + name;
        Checks.createTopic(admin, topic, partitions, Map.of());
        return topic;
    }

    private KafkaProducer<String, String> producer(Map<String, Object> extra) {
        Map<String, Object> config = new HashMap<>(extra);
        config.put("bootstrap.servers", bootstrap);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer(Map<String, Object> extra) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", false,
            "auto.offset.reset", "earliest", "heartbeat.interval.ms", 200, "session.timeout.ms", 10_000));
        config.putAll(extra);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    private List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        long deadline = System.nanoTime() + Checks.WAIT_SECONDS * 1_000_000_000L;
        while (records.size() < count) {
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
            Checks.expect(System.nanoTime() < deadline, records.size() + " of " + count + " records in time");
        }
        return records;
    }

    private void idempotence() throws Exception {
        String topic = topic("idempotence", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < 1000; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, "k", String.valueOf(i))));
            }
            for (int i = 0; i < 1000; i++) {
                Checks.expectEquals((long) i, sent.get(i).get().offset(), "offset of record " + i);
            }
            List<ProducerState> active = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
            Checks.expectEquals(1, active.size(), "producers of the partition");
            Checks.expect(active.get(0).producerId() >= 0, "producer id " + active.get(0).producerId());
            Checks.expectEquals(0, active.get(0).producerEpoch(), "producer epoch");
            Checks.expectEquals(999, active.get(0).lastSequence(), "last sequence");
        }
        try (KafkaProducer<String, String> another = producer(Map.of())) {
            another.send(new ProducerRecord<>(topic, "k", "1000")).get();
            long ids = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers().stream()
                .mapToLong(ProducerState::producerId).distinct().count();
            Checks.expectEquals(2L, ids, "producer ids of two producers");
        }
    }

    private void acks() throws Exception {
        String topic = topic("acks", 1);
        for (String acks : List.of("0", "1")) {
            try (KafkaProducer<String, String> producer = producer(Map.of("acks", acks, "enable.idempotence", false))) {
                for (int i = 0; i < 100; i++) {
                    producer.send(new ProducerRecord<>(topic, acks, String.valueOf(i)));
                }
            }
        }
        try (KafkaConsumer<String, String> consumer = consumer(Map.of())) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            List<String> ones = read(consumer, 200).stream().filter(r -> r.key().equals("1")).map(ConsumerRecord::value).toList();
            Checks.expectEquals(100, ones.size(), "records sent with acks=1");
        }
    }

    private void headers() throws Exception {
        String topic = topic("headers", 1);
        long now = System.currentTimeMillis();
        List<Header> headers = List.of(
            new RecordHeader("tag", "first".getBytes(StandardCharsets.UTF_8)), new RecordHeader("other", new byte[] {0, -1}),
            new RecordHeader("tag", "second".getBytes(StandardCharsets.UTF_8)), new RecordHeader("empty", new byte[0]),
            new RecordHeader("null", null));
        try (KafkaProducer<String, String> producer = producer(Map.of("compression.type", "zstd"))) {
            producer.send(new ProducerRecord<>(topic, 0, now - 1, "k", "v", headers));
            producer.send(new ProducerRecord<>(topic, 0, now - 5000, (String) null, (String) null));
            producer.send(new ProducerRecord<>(topic, 0, now, "", "", List.of())).get();
        }
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("isolation.level", "read_committed"))) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            List<ConsumerRecord<String, String>> got = read(consumer, 3);
            Checks.expectEquals(headers, List.of(got.get(0).headers().toArray()), "headers");
            Checks.expectEquals(List.of(now - 1, now - 5000, now), got.stream().map(ConsumerRecord::timestamp).toList(), "timestamps");
            Checks.expect(got.get(1).key() == null && got.get(1).value() == null, "null key and value");
            Checks.expect(got.get(2).key().isEmpty() && got.get(2).value().isEmpty(), "empty key and value");
        }
    }

    private void describeTopics() throws Exception {
        String topic = topic("pages", 7);
        // Two partitions a page: the client follows the cursor.
        DescribeTopicsOptions options = new DescribeTopicsOptions().partitionSizeLimitPerResponse(2);
        TopicDescription described = admin.describeTopics(List.of(topic), options).allTopicNames().get().get(topic);
        Checks.expectEquals(List.of(0, 1, 2, 3, 4, 5, 6), described.partitions().stream().map(p -> p.partition()).toList(), "partitions");
        Checks.expect(described.partitions().stream().allMatch(p -> p.leader() != null && p.isr().size() == 1), "leaders: " + described);
        Uuid id = described.topicId();
        Checks.expect(!id.equals(Uuid.ZERO_UUID), "topic has no id");
        Checks.expectEquals(topic,
            admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get().get(id).name(), "name by id");
        Checks.expectEquals(id, admin.listTopics().namesToListings().get().get(topic).topicId(), "id in the listing");
        admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
        Checks.expectError(UnknownTopicOrPartitionException.class, () -> admin.describeTopics(List.of(topic)).allTopicNames().get());
        Uuid second = admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).topicId(topic).get();
        Checks.expect(!id.equals(second), "an id was used again");
    }

    private void createTopics() throws Exception {
        String topic = prefix + "-created";
        NewTopic wanted = new NewTopic(topic, 3, (short) 1).configs(Map.of("max.message.bytes", "2000000"));
        var validated = admin.createTopics(List.of(wanted), new org.apache.kafka.clients.admin.CreateTopicsOptions().validateOnly(true));
        validated.all().get();
        Checks.expect(!admin.listTopics().names().get().contains(topic), "validateOnly created the topic");
        var created = admin.createTopics(List.of(wanted));
        Checks.expectEquals(3, created.numPartitions(topic).get(), "partitions in the answer");
        Checks.expectEquals(1, created.replicationFactor(topic).get(), "replication factor in the answer");
        Checks.expectEquals("2000000", created.config(topic).get().get("max.message.bytes").value(), "config in the answer");
        Checks.expectError(TopicExistsException.class, () -> admin.createTopics(List.of(wanted)).all().get());
        for (String name : List.of("..", "white space", "x".repeat(250))) {
            Checks.expectError(InvalidTopicException.class,
                () -> admin.createTopics(List.of(new NewTopic(name, 1, (short) 1))).all().get());
        }
        // A dot and an underscore would name the same metric, so Kafka lets only one of them be.
        topic("a.b", 1);
        Checks.expectError(InvalidTopicException.class, () -> topic("a_b", 1));
        Checks.expectError(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(prefix + "-never")).all().get());
    }

    private void listOffsets() throws Exception {
        String topic = topic("offsets", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        long base = System.currentTimeMillis() - 1_000_000;
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            // The greatest timestamp stands in the middle.
            for (int i = 0; i < 10; i++) {
                producer.send(new ProducerRecord<>(topic, 0, base + (i == 4 ? 500_000 : i * 1000L), "k", "v"));
            }
        }
        Checks.expectEquals(0L, offset(partition, OffsetSpec.earliest()).offset(), "earliest");
        Checks.expectEquals(10L, offset(partition, OffsetSpec.latest()).offset(), "latest");
        ListOffsetsResultInfo greatest = offset(partition, OffsetSpec.maxTimestamp());
        Checks.expectEquals(4L, greatest.offset(), "offset of the greatest timestamp");
        Checks.expectEquals(base + 500_000, greatest.timestamp(), "greatest timestamp");
        ListOffsetsResultInfo found = offset(partition, OffsetSpec.forTimestamp(base + 1500));
        Checks.expectEquals(2L, found.offset(), "first at or after a timestamp");
        Checks.expectEquals(base + 2000, found.timestamp(), "its timestamp");
        Checks.expectEquals(-1L, offset(partition, OffsetSpec.forTimestamp(base + 900_000)).offset(), "behind the last");
        Checks.expectEquals(0L, offset(partition, OffsetSpec.earliestLocal()).offset(), "earliest local");
        long low = admin.deleteRecords(Map.of(partition, org.apache.kafka.clients.admin.RecordsToDelete.beforeOffset(-1)))
            .lowWatermarks().get(partition).get().lowWatermark();
        Checks.expectEquals(10L, low, "low watermark after all records are deleted");
        Checks.expectEquals(10L, offset(partition, OffsetSpec.earliest()).offset(), "earliest in an emptied partition");
    }

    private ListOffsetsResultInfo offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get();
    }

    private void describeCluster() throws Exception {
        var cluster = admin.describeCluster();
        Checks.expectEquals(1, cluster.nodes().get().size(), "nodes");
        Checks.expect(!cluster.clusterId().get().isEmpty(), "no cluster id");
        int node = cluster.controller().get().id();
        Checks.expectEquals(node, cluster.nodes().get().iterator().next().id(), "the controller is the only node");
        String topic = topic("log-dirs", 1);
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            producer.send(new ProducerRecord<>(topic, "k", "v".repeat(10_000))).get();
        }
        long size = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node).values().stream()
            .map(dir -> dir.replicaInfos().get(new TopicPartition(topic, 0))).filter(r -> r != null).mapToLong(r -> r.size()).sum();
        Checks.expect(size > 10_000, "size of a partition with 10,000 bytes: " + size);
    }

    private void positions() throws Exception {
        String topic = topic("positions", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        Map<String, Object> group = Map.of("group.id", topic + "-group", "max.poll.records", 10);
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            for (int i = 0; i < 50; i++) {
                producer.send(new ProducerRecord<>(topic, "k", String.valueOf(i)));
            }
        }
        try (KafkaConsumer<String, String> consumer = consumer(group)) {
            consumer.subscribe(List.of(topic));
            Checks.expectEquals("0", read(consumer, 10).get(0).value(), "first value");
            Checks.expectEquals(10L, consumer.position(partition), "position");
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(10, "ten")));
            Checks.expectEquals(40L, consumer.currentLag(partition).orElse(-1), "lag");
            consumer.seek(partition, 30);
            Checks.expectEquals("30", read(consumer, 1).get(0).value(), "value after seek");
            Checks.expectEquals(Map.of(partition, 50L), consumer.endOffsets(List.of(partition)), "end offsets");
        }
        try (KafkaConsumer<String, String> consumer = consumer(group)) {
            consumer.subscribe(List.of(topic));
            Checks.expectEquals("10", read(consumer, 1).get(0).value(), "first value after the committed offset");
            OffsetAndMetadata committed = consumer.committed(Set.of(partition)).get(partition);
            Checks.expectEquals("ten", committed.metadata(), "metadata of the commit");
        }
    }

    private void groupAdmin() throws Exception {
        String topic = topic("group-admin", 2);
        String group = topic + "-group";
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        admin.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(3), one, new OffsetAndMetadata(4))).all().get();
        Checks.expectEquals(4L, committed(group).get(one).offset(), "offset set by the admin client");
        admin.deleteConsumerGroupOffsets(group, Set.of(one)).all().get();
        Checks.expectEquals(Set.of(zero), committed(group).keySet(), "partitions with offsets");
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("group.id", group, "client.id", "describe-me"))) {
            consumer.subscribe(List.of(topic));
            Checks.eventually("the member is assigned", () -> {
                consumer.poll(Duration.ofMillis(50));
                return consumer.assignment().size() == 2;
            });
            var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            Checks.expectEquals("Stable", described.groupState().toString(), "state");
            var member = described.members().iterator().next();
            Checks.expectEquals("describe-me", member.clientId(), "client id of the member");
            Checks.expectEquals(Set.of(zero, one), member.assignment().topicPartitions(), "assignment of the member");
            Checks.expectError(org.apache.kafka.common.errors.GroupNotEmptyException.class,
                () -> admin.deleteConsumerGroups(List.of(group)).all().get());
        }
        Checks.expect(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group)), "group is not listed");
        admin.deleteConsumerGroups(List.of(group)).all().get();
        Checks.expectError(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get());
    }

    private Map<TopicPartition, OffsetAndMetadata> committed(String group) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    }

    /** The second consumer with one instance id takes the place of the first, which must stop. */
    private void fencing() throws Exception {
        String topic = topic("fencing", 1);
        Map<String, Object> config = Map.of("group.id", topic + "-group", "group.instance.id", "only-one");
        try (KafkaConsumer<String, String> first = consumer(config); KafkaConsumer<String, String> second = consumer(config)) {
            first.subscribe(List.of(topic));
            Checks.eventually("the first is assigned", () -> {
                first.poll(Duration.ofMillis(50));
                return !first.assignment().isEmpty();
            });
            second.subscribe(List.of(topic));
            Checks.eventually("the second is assigned", () -> {
                second.poll(Duration.ofMillis(50));
                return !second.assignment().isEmpty();
            });
            Checks.expectError(FencedInstanceIdException.class, () -> first.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1))));
            Checks.expectError(FencedInstanceIdException.class, () -> {
                for (int i = 0; i < 200; i++) {
                    first.poll(Duration.ofMillis(50));
                }
            });
            second.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(0)));
        }
    }
}
