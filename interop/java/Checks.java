// One line per check on standard output, in the form that interop/run counts; and the waiting that checks share.

import java.io.PrintStream;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

final class Checks {
    /** Far above what any step takes; reaching it is a failure. */
    static final long WAIT_SECONDS = 60;

    /** Kept from before any tool's output is redirected. */
    private static final PrintStream OUT = System.out;

    private static int failed;

    interface Check {
        /** Returns the number of records that were moved, or 0. */
        long run() throws Exception;
    }

    interface Step {
        void run() throws Exception;
    }

    private Checks() {}

    static void check(String name, Check check) {
        long started = System.nanoTime();
        try {
            long records = check.run();
            OUT.printf("ok   java %s (%s%.1f s)%n", name, records > 0 ? records + " records, " : "", seconds(started));
        } catch (Throwable error) {
            failed++;
            Throwable cause = error instanceof ExecutionException && error.getCause() != null ? error.getCause() : error;
            String text = String.valueOf(cause.getMessage()).replace('\n', ' ');
            OUT.printf("FAIL java %s (%.1f s): %s: %s%n", name, seconds(started), cause.getClass().getSimpleName(), text);
            error.printStackTrace();
        }
        OUT.flush();
    }

    /** A check that moves no records worth counting. */
    static void checkStep(String name, Step step) {
        check(name, () -> {
            step.run();
            return 0;
        });
    }

    static int failed() {
        return failed;
    }

    static void expect(boolean condition, String text) {
        if (!condition) {
            throw new AssertionError(text);
        }
    }

    static void expectEquals(Object expected, Object got, String what) {
        expect(expected.equals(got), what + ": got " + got + ", expected " + expected);
    }

    static void expectError(Class<? extends Throwable> wanted, Step step) throws Exception {
        try {
            step.run();
        } catch (Exception error) {
            Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
            expect(wanted.isInstance(cause), "error " + cause + ", expected " + wanted.getSimpleName());
            return;
        }
        throw new AssertionError("no error, expected " + wanted.getSimpleName());
    }

    /**
     * Creates a topic and waits until its partitions answer. A real Kafka tells its parts of a new topic one after
     * the other, and a tool that doesn't retry would see that.
     */
    static void createTopic(Admin admin, String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
        Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
        for (int partition = 0; partition < partitions; partition++) {
            ends.put(new TopicPartition(topic, partition), OffsetSpec.latest());
        }
        eventually("the partitions of " + topic + " answer", () -> {
            try {
                admin.listOffsets(ends).all().get();
                return true;
            } catch (ExecutionException error) {
                if (error.getCause() instanceof UnknownTopicOrPartitionException) {
                    return false;
                }
                throw error;
            }
        });
    }

    static void eventually(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS);
        while (!condition.call()) {
            expect(System.nanoTime() < deadline, "not within " + WAIT_SECONDS + " s: " + what);
            Thread.sleep(20);
        }
    }

    private static double seconds(long since) {
        return (System.nanoTime() - since) / 1e9;
    }
}
