// Reads our batches with Kafka's own code and says what it found.
// Usage: cargo run -p duolog-record --example batches > FILE; java -cp 'libs/*' Check.java FILE

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.record.internal.*;

public class Check {
    public static void main(String[] args) throws Exception {
        var bytes = ByteBuffer.wrap(Files.readAllBytes(Path.of(args[0])));
        int read = 0;
        for (var batch : MemoryRecords.readableRecords(bytes).batches()) {
            batch.ensureValid();
            read += batch.sizeInBytes();
            int count = 0, valueBytes = 0, headers = 0;
            long lastTimestamp = -1;
            String marker = "";
            for (org.apache.kafka.common.record.internal.Record record : batch) {
                record.ensureValid();
                count++;
                valueBytes += Math.max(record.valueSize(), 0);
                headers += record.headers().length;
                lastTimestamp = record.timestamp();
                if (batch.isControlBatch()) {
                    marker = " " + ControlRecordType.parse(record.key()) + " coordinator epoch "
                        + EndTransactionMarker.deserialize(record).coordinatorEpoch();
                }
            }
            System.out.printf("%d..%d %s %s sequences %d..%d producer %d/%d%s: %d records, %d value bytes, %d headers, last at %d%s%n",
                batch.baseOffset(), batch.lastOffset(), batch.compressionType(), batch.timestampType(), batch.baseSequence(),
                batch.lastSequence(), batch.producerId(), batch.producerEpoch(), batch.isTransactional() ? " transactional" : "",
                count, valueBytes, headers, lastTimestamp, marker);
        }
        if (read != bytes.limit()) {
            throw new AssertionError(read + " of " + bytes.limit() + " bytes read");
        }
    }
}
