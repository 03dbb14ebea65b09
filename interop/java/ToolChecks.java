// Kafka's own command line tools, called by class.

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.tools.ConsoleProducer;
import org.apache.kafka.tools.ConsumerPerformance;
import org.apache.kafka.tools.GetOffsetShell;
import org.apache.kafka.tools.ProducerPerformance;
import org.apache.kafka.tools.TopicCommand;
import org.apache.kafka.tools.consumer.ConsoleConsumer;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

final class ToolChecks {
    private static final int PARTITIONS = 4;
    private static final int KEYS = 64;

    private final String bootstrap;
    private final Admin admin;
    private final int records;
    private final String prefix;

    ToolChecks(String bootstrap, Admin admin, int records, String prefix) {
        this.bootstrap = bootstrap;
        this.admin = admin;
        this.records = records;
        this.prefix = prefix;
    }

    void runAll() {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            for (boolean keyed : new boolean[] {true, false}) {
                String kind = codec + (keyed ? " keyed" : " unkeyed");
                Checks.check("console tools " + kind, () -> consoleRoundTrip(codec, keyed));
            }
        }
        Checks.checkStep("TopicCommand", this::topicCommand);
        Checks.check("ProducerPerformance, ConsumerPerformance", this::performance);
        Checks.checkStep("GetOffsetShell", this::getOffsetShell);
        Checks.checkStep("ConsumerGroupCommand", this::consumerGroupCommand);
    }

    private long consoleRoundTrip(String codec, boolean keyed) throws Exception {
        String topic = prefix + "-" + codec + (keyed ? "-keyed" : "-unkeyed");
        Checks.createTopic(admin, topic, PARTITIONS, Map.of());
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < records; i++) {
            if (keyed) {
                lines.append("key-").append(i % KEYS).append(':');
            }
            lines.append(i).append(" the quick brown fox\n");
        }
        Tool.run(ConsoleProducer::main, lines.toString(), "--bootstrap-server", bootstrap, "--topic", topic,
            "--compression-codec", codec, "--command-property", "linger.ms=5",
            "--reader-property", "parse.key=" + keyed, "--reader-property", "key.separator=:");
        String out = Tool.run(ConsoleConsumer::main, "", "--bootstrap-server", bootstrap, "--topic", topic,
            "--from-beginning", "--max-messages", String.valueOf(records), "--timeout-ms", "30000",
            "--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true",
            "--formatter-property", "print.key=true", "--formatter-property", "key.separator=|");
        verifyConsole(out, keyed);
        admin.deleteTopics(List.of(topic)).all().get();
        return records;
    }

    /** Lines such as `Partition:0|Offset:12|key-3|17 the quick brown fox`. */
    private void verifyConsole(String out, boolean keyed) {
        Set<Integer> seen = new HashSet<>();
        Map<String, Long> nextOffset = new HashMap<>();
        Map<String, Integer> last = new HashMap<>();
        for (String line : out.lines().toList()) {
            String[] part = line.split("\\|", 4);
            int number = Integer.parseInt(part[3].substring(0, part[3].indexOf(' ')));
            Checks.expectEquals(number + " the quick brown fox", part[3], "value");
            Checks.expectEquals(keyed ? "key-" + number % KEYS : "null", part[2], "key of record " + number);
            Checks.expect(seen.add(number), "record " + number + " came twice");
            long offset = Long.parseLong(part[1].substring("Offset:".length()));
            Checks.expectEquals(nextOffset.getOrDefault(part[0], 0L), offset, "offset in " + part[0]);
            nextOffset.put(part[0], offset + 1);
            Checks.expect(number > last.getOrDefault(part[0], -1), "record " + number + " out of order in " + part[0]);
            last.put(part[0], number);
        }
        Checks.expectEquals(records, seen.size(), "records read");
    }

    private String topics(String... arguments) throws Exception {
        return Tool.run(TopicCommand::main, "", with("--bootstrap-server", arguments));
    }

    private String[] with(String first, String... arguments) {
        String[] all = new String[arguments.length + 2];
        all[0] = first;
        all[1] = bootstrap;
        System.arraycopy(arguments, 0, all, 2, arguments.length);
        return all;
    }

    private void topicCommand() throws Exception {
        String topic = prefix + "-topic";
        topics("--create", "--topic", topic, "--partitions", "3", "--replication-factor", "1", "--config", "retention.ms=3600000");
        Checks.eventually("created topic in --list", () -> topics("--list").lines().anyMatch(topic::equals));
        String described = topics("--describe", "--topic", topic);
        Checks.expect(described.contains("PartitionCount: 3"), described);
        Checks.expect(described.contains("retention.ms=3600000"), described);
        topics("--alter", "--topic", topic, "--partitions", "5");
        Checks.eventually("five partitions", () -> topics("--describe", "--topic", topic).contains("PartitionCount: 5"));
        Tool.Result again = Tool.call(TopicCommand::main, "", with("--bootstrap-server", "--create", "--topic", topic));
        Checks.expect(again.code() == 1 && again.text().contains("already exists"), "created twice: " + again.text());
        topics("--delete", "--topic", topic);
        Checks.eventually("deleted topic is gone", () -> topics("--list").lines().noneMatch(topic::equals));
    }

    private long performance() throws Exception {
        String topic = prefix + "-performance";
        Checks.createTopic(admin, topic, PARTITIONS, Map.of());
        String produced = Tool.run(ProducerPerformance::main, "", "--bootstrap-server", bootstrap, "--topic", topic,
            "--num-records", String.valueOf(records), "--record-size", "512", "--throughput", "-1",
            "--command-property", "acks=all", "compression.type=lz4");
        Checks.expect(produced.contains(records + " records sent"), produced);
        String consumed = Tool.run(ConsumerPerformance::main, "", "--bootstrap-server", bootstrap, "--topic", topic,
            "--num-records", String.valueOf(records), "--hide-header", "--timeout", "30000");
        // start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, ...
        long read = Long.parseLong(consumed.strip().split(", ")[4]);
        Checks.expectEquals((long) records, read, "records read");
        return records;
    }

    private void getOffsetShell() throws Exception {
        String topic = prefix + "-performance";
        long latest = sumOffsets(topic, "-1");
        Checks.expectEquals((long) records, latest, "sum of end offsets");
        Checks.expectEquals(0L, sumOffsets(topic, "-2"), "sum of beginning offsets");
        Checks.expect(sumOffsets(topic, "-3") >= 0, "offset of the greatest timestamp");
    }

    private long sumOffsets(String topic, String time) throws Exception {
        String out = Tool.run(GetOffsetShell::main, "", "--bootstrap-server", bootstrap, "--topic", topic, "--time", time);
        List<String> lines = out.lines().toList();
        Checks.expectEquals(PARTITIONS, lines.size(), "lines for time " + time);
        return lines.stream().mapToLong(line -> Long.parseLong(line.substring(line.lastIndexOf(':') + 1))).sum();
    }

    private String groups(String... arguments) throws Exception {
        return Tool.run(ConsumerGroupCommand::main, "", with("--bootstrap-server", arguments));
    }

    private void consumerGroupCommand() throws Exception {
        String topic = prefix + "-performance";
        String group = prefix + "-group";
        int read = Math.min(records, 1000);
        Tool.run(ConsoleConsumer::main, "", "--bootstrap-server", bootstrap, "--topic", topic, "--group", group,
            "--from-beginning", "--max-messages", String.valueOf(read), "--timeout-ms", "30000");
        Checks.expect(groups("--list").lines().anyMatch(group::equals), "group is not listed");
        Checks.expectEquals((long) read, committed(group).values().stream().mapToLong(Long::longValue).sum(), "committed");
        Checks.expect(groups("--describe", "--group", group, "--state").contains("Empty"), "state of a group without members");
        groups("--reset-offsets", "--group", group, "--topic", topic, "--to-latest", "--execute");
        Checks.expectEquals((long) records, committed(group).values().stream().mapToLong(Long::longValue).sum(), "reset to the end");
        groups("--reset-offsets", "--group", group, "--topic", topic + ":0", "--to-offset", "7", "--execute");
        Checks.expectEquals(7L, committed(group).get(0), "partition 0 reset to 7");
        groups("--delete-offsets", "--group", group, "--topic", topic + ":0");
        Checks.expect(!committed(group).containsKey(0), "offset of partition 0 is deleted");
        groups("--delete", "--group", group);
        Checks.expect(groups("--list").lines().noneMatch(group::equals), "deleted group is still listed");
    }

    /** Partition to committed offset, from the columns GROUP TOPIC PARTITION CURRENT-OFFSET ... */
    private Map<Integer, Long> committed(String group) throws Exception {
        Map<Integer, Long> offsets = new TreeMap<>();
        for (String line : groups("--describe", "--group", group).lines().toList()) {
            String[] column = line.trim().split("\\s+");
            if (column.length > 3 && column[0].equals(group) && !column[3].equals("-")) {
                offsets.put(Integer.parseInt(column[2]), Long.parseLong(column[3]));
            }
        }
        return offsets;
    }
}
