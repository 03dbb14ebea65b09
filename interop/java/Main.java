// Entry point of the Java suite: Main --bootstrap HOST:PORT [--records N]. One JVM for all of it.

import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.admin.Admin;

final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        String bootstrap = null;
        int records = 100_000;
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            switch (arguments[i]) {
                case "--bootstrap" -> bootstrap = arguments[i + 1];
                case "--records" -> records = Integer.parseInt(arguments[i + 1]);
                default -> throw new IllegalArgumentException(arguments[i]);
            }
        }
        String run = UUID.randomUUID().toString().substring(0, 8);
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            new ToolChecks(bootstrap, admin, records, "java-tools-" + run).runAll();
            new VerifiableChecks(bootstrap, admin, records, "java-verifiable-" + run).runAll();
            new ClientChecks(bootstrap, admin, "java-client-" + run).runAll();
            new ConfigChecks(bootstrap, admin, "java-config-" + run).runAll();
        }
        // Not a return: a tool may have left a thread behind.
        System.exit(Checks.failed() > 0 ? 1 : 0);
    }
}
