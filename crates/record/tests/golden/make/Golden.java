// Makes the topics and produces the golden records through Kafka's Java client.
// Usage: java -cp 'libs/*' Golden.java BOOTSTRAP topics|records

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Golden {
    static final long FIRST_TIMESTAMP_MS = 1_700_000_000_000L;
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");

    public static void main(String[] args) throws Exception {
        if (args[1].equals("topics")) {
            makeTopics(args[0]);
            return;
        }
        for (String codec : CODECS) {
            produce(args[0], "java-" + codec, codec, Map.of("enable.idempotence", "false"));
        }
        produce(args[0], "java-logappendtime", "zstd", Map.of("enable.idempotence", "false"));
        try (var producer = producer(args[0], "gzip", Map.of("transactional.id", "golden"))) {
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, "java-transactions", "gzip");
            producer.commitTransaction();
            producer.beginTransaction();
            send(producer, "java-transactions", "gzip");
            producer.abortTransaction();
        }
    }

    static void makeTopics(String bootstrap) throws Exception {
        var topics = new ArrayList<NewTopic>();
        for (String codec : CODECS) {
            topics.add(new NewTopic("java-" + codec, 1, (short) 1));
            topics.add(new NewTopic("librdkafka-" + codec, 1, (short) 1));
        }
        topics.add(new NewTopic("librdkafka-idempotent", 1, (short) 1));
        topics.add(new NewTopic("java-transactions", 1, (short) 1));
        topics.add(new NewTopic("java-logappendtime", 1, (short) 1)
            .configs(Map.of("message.timestamp.type", "LogAppendTime")));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(topics).all().get();
        }
    }

    static KafkaProducer<byte[], byte[]> producer(String bootstrap, String codec, Map<String, Object> settings) {
        // A long linger puts all records into one batch.
        var all = new java.util.HashMap<String, Object>(Map.of(
            "bootstrap.servers", bootstrap, "compression.type", codec, "linger.ms", "500", "batch.size", "200000"));
        all.putAll(settings);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static void produce(String bootstrap, String topic, String codec, Map<String, Object> settings) throws Exception {
        try (var producer = producer(bootstrap, codec, settings)) {
            send(producer, topic, codec);
        }
    }

    // Keep in step with librdkafka.py and ../../golden.rs.
    static void send(KafkaProducer<byte[], byte[]> producer, String topic, String codec) throws Exception {
        String large = "0123456789".repeat(codec.equals("none") ? 10 : 7000);
        var records = List.of(
            record(topic, 0, null, "value-0"),
            record(topic, 1, "key-1", "value-1"),
            record(topic, 2, "", ""),
            record(topic, 3, "key-3", null),
            record(topic, 4, null, "duolog ".repeat(20)),
            record(topic, 5, "key-5", large));
        records.get(1).headers()
            .add(new RecordHeader("h", bytes("1"))).add(new RecordHeader("h", bytes("2")))
            .add(new RecordHeader("null", (byte[]) null)).add(new RecordHeader("empty", bytes("")));
        records.get(4).headers().add(new RecordHeader("h", bytes("4")));
        var sent = new ArrayList<java.util.concurrent.Future<?>>();
        for (var record : records) {
            sent.add(producer.send(record));
        }
        producer.flush();
        for (var result : sent) {
            result.get();
        }
    }

    static ProducerRecord<byte[], byte[]> record(String topic, int index, String key, String value) {
        return new ProducerRecord<>(topic, 0, FIRST_TIMESTAMP_MS + 10L * index, bytes(key), bytes(value));
    }

    static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }
}
