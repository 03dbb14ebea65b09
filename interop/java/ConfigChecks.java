// Topic configs through the Java admin client, and that the ones which are accepted are obeyed.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConfigEntry.ConfigSource;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

final class ConfigChecks {
    private final String bootstrap;
    private final Admin admin;
    private final String prefix;

    ConfigChecks(String bootstrap, Admin admin, String prefix) {
        this.bootstrap = bootstrap;
        this.admin = admin;
        this.prefix = prefix;
    }

    void runAll() {
        Checks.checkStep("incrementalAlterConfigs", this::incremental);
        Checks.checkStep("describeConfigs of topic and broker", this::describe);
        Checks.checkStep("log append time", this::logAppendTime);
        Checks.checkStep("max.message.bytes", this::maxMessageBytes);
    }

    private String topic(String name, Map<String, String> configs) throws Exception {
        String topic = prefix + "-" + name;
        Checks.createTopic(admin, topic, 1, configs);
        return topic;
    }

    private ConfigEntry entry(String topic, String key) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get(key);
    }

    private void alter(String topic, OpType op, String key, String value, boolean validateOnly) throws Exception {
        Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry(key, value), op));
        Map<ConfigResource, Collection<AlterConfigOp>> request = Map.of(new ConfigResource(ConfigResource.Type.TOPIC, topic), ops);
        admin.incrementalAlterConfigs(request, new AlterConfigsOptions().validateOnly(validateOnly)).all().get();
    }

    private void expectValue(String topic, String key, String value) throws Exception {
        Checks.eventually(key + " is " + value, () -> entry(topic, key).value().equals(value));
    }

    private void incremental() throws Exception {
        String topic = topic("incremental", Map.of("retention.ms", "1000000000"));
        String defaultBytes = entry(topic, "retention.bytes").value();
        alter(topic, OpType.SET, "retention.bytes", "123456789", false);
        expectValue(topic, "retention.bytes", "123456789");
        expectValue(topic, "retention.ms", "1000000000");
        Checks.expectEquals(ConfigSource.DYNAMIC_TOPIC_CONFIG, entry(topic, "retention.bytes").source(), "source of a changed config");
        alter(topic, OpType.SET, "retention.bytes", "1", true);
        Checks.expectEquals("123456789", entry(topic, "retention.bytes").value(), "value after validateOnly");
        alter(topic, OpType.DELETE, "retention.bytes", "", false);
        expectValue(topic, "retention.bytes", defaultBytes);
        Checks.expectError(InvalidConfigurationException.class, () -> alter(topic, OpType.SET, "retention.ms", "soon", false));
        Checks.expectError(InvalidConfigurationException.class, () -> alter(topic, OpType.SET, "no.such.config", "1", false));
        Checks.expectError(UnknownTopicOrPartitionException.class,
            () -> alter(prefix + "-never", OpType.SET, "retention.ms", "1000", false));
    }

    private void describe() throws Exception {
        String topic = topic("describe", Map.of());
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, String.valueOf(admin.describeCluster().controller().get().id()));
        DescribeConfigsOptions options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        var described = admin.describeConfigs(List.of(resource, broker), options).all().get();
        ConfigEntry retention = described.get(resource).get("retention.ms");
        Checks.expectEquals("604800000", retention.value(), "default of retention.ms");
        Checks.expect(retention.isDefault(), "a config that nobody set is no default: " + retention);
        Checks.expectEquals(ConfigEntry.ConfigType.LONG, retention.type(), "type of retention.ms");
        for (String key : List.of("cleanup.policy", "retention.bytes", "segment.bytes", "max.message.bytes", "message.timestamp.type")) {
            Checks.expect(described.get(resource).get(key) != null, key + " is not described");
        }
        Checks.expect(!described.get(broker).entries().isEmpty(), "the broker describes no config");
    }

    private KafkaProducer<String, String> producer() {
        return new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap), new StringSerializer(), new StringSerializer());
    }

    private void logAppendTime() throws Exception {
        String topic = topic("append-time", Map.of("message.timestamp.type", "LogAppendTime"));
        long before = System.currentTimeMillis();
        try (KafkaProducer<String, String> producer = producer()) {
            RecordMetadata sent = producer.send(new ProducerRecord<>(topic, 0, 12345L, "k", "v")).get();
            Checks.expect(sent.timestamp() >= before, "acknowledged with timestamp " + sent.timestamp());
            producer.send(new ProducerRecord<>(topic, 0, 12345L, "k", "w")).get();
        }
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "auto.offset.reset", "earliest", "enable.auto.commit", false);
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            List<ConsumerRecord<String, String>> got = new ArrayList<>();
            Checks.eventually("two records", () -> {
                consumer.poll(Duration.ofMillis(100)).forEach(got::add);
                return got.size() == 2;
            });
            for (ConsumerRecord<String, String> record : got) {
                Checks.expectEquals(TimestampType.LOG_APPEND_TIME, record.timestampType(), "timestamp type");
                Checks.expect(record.timestamp() >= before, "timestamp " + record.timestamp());
            }
        }
    }

    private void maxMessageBytes() throws Exception {
        String topic = topic("small", Map.of("max.message.bytes", "2000"));
        try (KafkaProducer<String, String> producer = producer()) {
            producer.send(new ProducerRecord<>(topic, "k", "v".repeat(1000))).get();
            Checks.expectError(RecordTooLargeException.class,
                () -> producer.send(new ProducerRecord<>(topic, "k", "v".repeat(5000))).get());
            alter(topic, OpType.SET, "max.message.bytes", "10000", false);
            expectValue(topic, "max.message.bytes", "10000");
            Checks.expectEquals(1L, producer.send(new ProducerRecord<>(topic, "k", "v".repeat(5000))).get().offset(),
                "offset after one that was refused");
        }
    }
}
