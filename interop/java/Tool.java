// Runs the main method of one of Kafka's command line tools inside this JVM: a JVM start per call would take
// most of the suite's time. What a tool would do at the end of its process is done when its main returns.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.common.utils.Exit;

final class Tool {
    interface Main {
        void run(String[] arguments) throws Exception;
    }

    /** Thrown in place of ending the process; an Error, so that no tool's own handler takes it for a failure. */
    private static final class Ended extends Error {
        private static final long serialVersionUID = 1;
        final int code;

        Ended(int code, String message) {
            super(message);
            this.code = code;
        }
    }

    record Result(int code, String out, String err) {
        String text() {
            return out + err;
        }
    }

    private Tool() {}

    /** Runs a tool that must succeed and returns what it printed on standard output. */
    static String run(Main main, String input, String... arguments) throws Exception {
        Result result = call(main, input, arguments);
        String told = result.text();
        Checks.expect(result.code() == 0,
            String.join(" ", arguments) + " ended with " + result.code() + ": " + told.substring(0, Math.min(600, told.length())));
        return result.out();
    }

    static Result call(Main main, String input, String... arguments) throws Exception {
        PrintStream out = System.out;
        PrintStream err = System.err;
        InputStream in = System.in;
        ByteArrayOutputStream gotOut = new ByteArrayOutputStream();
        ByteArrayOutputStream gotErr = new ByteArrayOutputStream();
        List<Runnable> atEnd = new ArrayList<>();
        // The first code counts: a tool that catches everything would turn the Ended of an exit(0) into an exit(1).
        AtomicReference<Integer> firstCode = new AtomicReference<>();
        Exit.Procedure end = (code, message) -> {
            firstCode.compareAndSet(null, code);
            throw new Ended(code, message);
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        Exit.setShutdownHookAdder((name, hook) -> atEnd.add(hook));
        System.setOut(new PrintStream(gotOut, false, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(gotErr, false, StandardCharsets.UTF_8));
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        try {
            main.run(arguments);
        } catch (Ended ended) {
            firstCode.compareAndSet(null, ended.code);
        } finally {
            atEnd.forEach(Runnable::run);
            System.out.flush();
            System.err.flush();
            System.setOut(out);
            System.setErr(err);
            System.setIn(in);
            Exit.resetExitProcedure();
            Exit.resetHaltProcedure();
            Exit.resetShutdownHookAdder();
        }
        int code = firstCode.get() == null ? 0 : firstCode.get();
        return new Result(code, gotOut.toString(StandardCharsets.UTF_8), gotErr.toString(StandardCharsets.UTF_8));
    }
}
