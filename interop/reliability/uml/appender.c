/* A stand-in for a broker, to prove the power-cut harness itself: appends numbered lines to a file and says
 * "ACK topic partition offset value ;" for each, after an fdatasync ("sync": may lose nothing) or without one
 * ("nosync": must lose). Usage: appender FILE sync|nosync PRODUCER
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    int sync = strcmp(argv[2], "sync") == 0;
    int file = open(argv[1], O_CREAT | O_RDWR, 0644);
    if (file < 0)
        return 1;
    /* What a cut tore off at the end of the last line is given up. */
    long offset = 0, good = 0, at = 0;
    char buffer[65536];
    for (ssize_t n; (n = read(file, buffer, sizeof buffer)) > 0; at += n)
        for (ssize_t i = 0; i < n; i++)
            if (buffer[i] == '\n') {
                offset++;
                good = at + i + 1;
            }
    if (ftruncate(file, good) != 0 || lseek(file, good, SEEK_SET) != good || fsync(file) != 0)
        return 1;
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    if (directory < 0 || fsync(directory) != 0)
        return 1;
    for (long sequence = 0;; sequence++, offset++) {
        int length = snprintf(buffer, sizeof buffer, "%s.%ld\n", argv[3], sequence);
        if (write(file, buffer, length) != length || (sync && fdatasync(file) != 0))
            return 1;
        printf("ACK cut 0 %ld %s.%ld ;\n", offset, argv[3], sequence);
        fflush(stdout);
    }
}
