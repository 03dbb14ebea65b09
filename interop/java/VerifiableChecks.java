// VerifiableProducer and VerifiableConsumer, the tools that Kafka's own system tests stand on, and the rebalances of
// two VerifiableConsumers of one group: eager, cooperative, static.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import net.sourceforge.argparse4j.inf.ArgumentParser;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.server.util.ThroughputThrottler;
import org.apache.kafka.tools.VerifiableConsumer;
import org.apache.kafka.tools.VerifiableProducer;

final class VerifiableChecks {
    private static final int PARTITIONS = 4;
    private static final int KEYS = 64;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String bootstrap;
    private final Admin admin;
    private final int records;
    private final String prefix;

    VerifiableChecks(String bootstrap, Admin admin, int records, String prefix) {
        this.bootstrap = bootstrap;
        this.admin = admin;
        this.records = records;
        this.prefix = prefix;
    }

    void runAll() {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            for (boolean keyed : new boolean[] {true, false}) {
                String kind = codec + (keyed ? " keyed" : " unkeyed");
                Checks.check("verifiable " + kind, () -> roundTrip(codec, keyed));
            }
        }
        Checks.check("group of two, range", () -> dynamicGroup("range", RangeAssignor.class));
        Checks.check("group of two, cooperative-sticky", () -> dynamicGroup("cooperative", CooperativeStickyAssignor.class));
        Checks.check("group of two, static members", this::staticGroup);
    }

    private String topic(String name) throws Exception {
        String topic = prefix + "-" + name;
        Checks.createTopic(admin, topic, PARTITIONS, Map.of());
        return topic;
    }

    private long roundTrip(String codec, boolean keyed) throws Exception {
        String topic = topic(codec + (keyed ? "-keyed" : "-unkeyed"));
        Path config = Files.createTempFile("producer", ".properties");
        Files.writeString(config, "compression.type=" + codec + "\nlinger.ms=5\n");
        List<String> arguments = new ArrayList<>(List.of("--bootstrap-server", bootstrap, "--topic", topic,
            "--max-messages", String.valueOf(records), "--command-config", config.toString()));
        if (keyed) {
            arguments.addAll(List.of("--repeating-keys", String.valueOf(KEYS)));
        }
        String produced = Tool.run(VerifiableChecks::producerMain, "", arguments.toArray(String[]::new));
        Files.delete(config);
        Map<Integer, String> acked = new HashMap<>();
        for (String line : produced.lines().toList()) {
            JsonNode event = JSON.readTree(line);
            if (event.get("name").asText().equals("producer_send_success")) {
                acked.put(event.get("value").asInt(), event.get("partition") + "/" + event.get("offset"));
            }
        }
        Checks.expectEquals(records, acked.size(), "records acknowledged");

        String consumed = Tool.run(VerifiableChecks::consumerMain, "", "--bootstrap-server", bootstrap, "--topic", topic,
            "--group-id", topic + "-readers", "--max-messages", String.valueOf(records), "--verbose");
        BitSet seen = new BitSet(records);
        Map<Integer, Integer> last = new HashMap<>();
        for (String line : consumed.lines().toList()) {
            JsonNode event = JSON.readTree(line);
            if (event.get("name").asText().equals("record_data")) {
                int number = event.get("value").asInt();
                int partition = event.get("partition").asInt();
                Checks.expect(!seen.get(number), "record " + number + " came twice");
                seen.set(number);
                Checks.expectEquals(acked.get(number), partition + "/" + event.get("offset"), "place of record " + number);
                Checks.expect(number > last.getOrDefault(partition, -1), "record " + number + " out of order");
                last.put(partition, number);
                String key = event.get("key").isNull() ? "none" : event.get("key").asText();
                Checks.expectEquals(keyed ? String.valueOf(number % KEYS) : "none", key, "key of record " + number);
            }
        }
        Checks.expectEquals(records, seen.cardinality(), "records read");
        admin.deleteTopics(List.of(topic)).all().get();
        return records;
    }

    // What these tools' own main methods do, but closing when done: theirs leave it to the end of the process, and only
    // then are the last records sent.

    private static void producerMain(String[] arguments) throws Exception {
        try (VerifiableProducer producer = VerifiableProducer.createFromArgs(parserOf(VerifiableProducer.class), arguments)) {
            producer.run(new ThroughputThrottler(-1, System.currentTimeMillis()));
        }
    }

    private static void consumerMain(String[] arguments) throws Exception {
        try (VerifiableConsumer consumer = VerifiableConsumer.createFromArgs(parserOf(VerifiableConsumer.class), arguments)) {
            consumer.run();
        }
    }

    private static ArgumentParser parserOf(Class<?> tool) throws Exception {
        Method parser = tool.getDeclaredMethod("argParser");
        parser.setAccessible(true);
        return (ArgumentParser) parser.invoke(null);
    }

    /** A VerifiableConsumer in a thread, with its events read back as it prints them. */
    private final class Member {
        private final ByteArrayOutputStream printed = new ByteArrayOutputStream();
        private final VerifiableConsumer consumer;
        private final Thread thread;

        Member(String topic, String group, Class<?> assignor, String instance) {
            Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "group.id", group,
                "enable.auto.commit", false, "auto.offset.reset", "earliest", "session.timeout.ms", 10_000,
                "heartbeat.interval.ms", 200, "partition.assignment.strategy", assignor.getName()));
            if (instance != null) {
                config.put("group.instance.id", instance);
            }
            KafkaConsumer<String, String> kafka = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
            consumer = new VerifiableConsumer(kafka, new PrintStream(printed, true, StandardCharsets.UTF_8), topic, -1, false, false, true);
            thread = new Thread(consumer::run, "member");
            thread.start();
        }

        List<JsonNode> events() throws Exception {
            String text = printed.toString(StandardCharsets.UTF_8);
            List<JsonNode> events = new ArrayList<>();
            // The last line may be half printed.
            for (String line : text.substring(0, text.lastIndexOf('\n') + 1).lines().toList()) {
                events.add(JSON.readTree(line));
            }
            return events;
        }

        /** Every partition that this member was told to give up, in order. */
        List<Integer> revoked() throws Exception {
            List<Integer> partitions = new ArrayList<>();
            for (JsonNode event : events()) {
                if (event.get("name").asText().equals("partitions_revoked")) {
                    event.get("partitions").forEach(p -> partitions.add(p.get("partition").asInt()));
                }
            }
            return partitions;
        }

        Set<Integer> assigned() throws Exception {
            Set<Integer> assigned = new HashSet<>();
            for (JsonNode event : events()) {
                String name = event.get("name").asText();
                if (name.equals("partitions_assigned")) {
                    event.get("partitions").forEach(p -> assigned.add(p.get("partition").asInt()));
                } else if (name.equals("partitions_revoked")) {
                    event.get("partitions").forEach(p -> assigned.remove(p.get("partition").asInt()));
                }
            }
            return assigned;
        }

        List<String> values() throws Exception {
            List<String> values = new ArrayList<>();
            for (JsonNode event : events()) {
                if (event.get("name").asText().equals("record_data")) {
                    values.add(event.get("value").asText());
                }
            }
            return values;
        }

        void close() throws Exception {
            consumer.close();
            thread.join(Checks.WAIT_SECONDS * 1000);
            Checks.expect(!thread.isAlive(), "a member does not end");
        }
    }

    /** Sends numbered records in rounds and knows how many were sent. */
    private final class Source implements AutoCloseable {
        private final KafkaProducer<String, String> producer = new KafkaProducer<>(
            Map.of("bootstrap.servers", bootstrap), new StringSerializer(), new StringSerializer());
        private final String topic;
        private int sent;

        Source(String topic) {
            this.topic = topic;
        }

        void send(int count) {
            for (int i = 0; i < count; i++, sent++) {
                producer.send(new ProducerRecord<>(topic, String.valueOf(sent), String.valueOf(sent)));
            }
            producer.flush();
        }

        void awaitRead(Member... members) throws Exception {
            Checks.eventually(sent + " records read", () -> values(members).size() >= sent);
        }

        void expectOnce(Member... members) throws Exception {
            List<String> values = values(members);
            Checks.expectEquals(sent, values.size(), "records handed out");
            Checks.expectEquals(sent, new HashSet<>(values).size(), "different records handed out");
        }

        private List<String> values(Member... members) throws Exception {
            List<String> values = new ArrayList<>();
            for (Member member : members) {
                values.addAll(member.values());
            }
            return values;
        }

        @Override
        public void close() {
            producer.close();
        }
    }

    private long dynamicGroup(String name, Class<?> assignor) throws Exception {
        String topic = topic(name);
        String group = topic + "-members";
        int round = Math.min(records, 8000) / 4;
        try (Source source = new Source(topic)) {
            Member a = new Member(topic, group, assignor, null);
            Checks.eventually("the only member holds all partitions", () -> a.assigned().size() == PARTITIONS);
            source.send(round);
            source.awaitRead(a);
            // Not waited for: the second member joins while the first one reads.
            source.send(round);
            Member b = new Member(topic, group, assignor, null);
            Checks.eventually("both members hold two partitions", () -> a.assigned().size() == 2 && b.assigned().size() == 2);
            if (assignor == CooperativeStickyAssignor.class) {
                Checks.expectEquals(b.assigned(), new HashSet<>(a.revoked()), "partitions revoked from the first member");
            }
            source.awaitRead(a, b);
            source.send(round);
            source.awaitRead(a, b);
            Checks.expect(!b.values().isEmpty(), "the second member got nothing");
            a.close();
            Checks.eventually("the one that stayed holds all partitions", () -> b.assigned().size() == PARTITIONS);
            source.send(round);
            source.awaitRead(a, b);
            b.close();
            source.expectOnce(a, b);
            expectCommitted(group, source.sent);
            return source.sent;
        }
    }

    private void expectCommitted(String group, long sent) throws Exception {
        long committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().values().stream()
            .mapToLong(position -> position.offset()).sum();
        Checks.expectEquals(sent, committed, "sum of committed offsets");
    }

    /** A static member that leaves and returns in time keeps its partitions, and nobody else notices. */
    private long staticGroup() throws Exception {
        String topic = topic("static");
        String group = topic + "-members";
        int round = Math.min(records, 8000) / 4;
        try (Source source = new Source(topic)) {
            Member a = new Member(topic, group, RangeAssignor.class, "instance-a");
            Checks.eventually("the only member holds all partitions", () -> a.assigned().size() == PARTITIONS);
            Member b = new Member(topic, group, RangeAssignor.class, "instance-b");
            Checks.eventually("both members hold two partitions", () -> a.assigned().size() == 2 && b.assigned().size() == 2);
            source.send(round);
            source.awaitRead(a, b);
            Set<Integer> before = a.assigned();
            int revokedBefore = b.revoked().size();
            a.close();
            source.send(round);
            Member again = new Member(topic, group, RangeAssignor.class, "instance-a");
            Checks.eventually("the member that returned has its partitions", () -> again.assigned().equals(before));
            source.awaitRead(a, b, again);
            Checks.expectEquals(revokedBefore, b.revoked().size(), "partitions revoked from the other member meanwhile");
            source.send(round);
            source.awaitRead(a, b, again);
            again.close();
            admin.removeMembersFromConsumerGroup(group,
                new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("instance-a")))).all().get();
            Checks.eventually("the one that stayed holds all partitions", () -> b.assigned().size() == PARTITIONS);
            source.send(round);
            source.awaitRead(a, b, again);
            b.close();
            source.expectOnce(a, b, again);
            expectCommitted(group, source.sent);
            admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions()).all().get();
            return source.sent;
        }
    }
}
