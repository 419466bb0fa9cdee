/* The raw cost of a durable write on this disk: overwrites 4 KiB blocks of a file written before,
 * O_DIRECT and O_DSYNC, one at a time, with new random bytes, and prints the latency. This is the
 * least that any durable write can cost here, and what a PUT is measured against.
 *
 *     disk_sync DIRECTORY [WRITES] */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "tests/bench/histogram.h"

enum { BLOCK_BYTES = 4096, FILE_BLOCKS = 4096, WRITES = 2000 };

static _Noreturn void fail(const char *what, const char *path)
{
    (void)fprintf(stderr, "disk_sync: %s %s: %s\n", what, path, strerror(errno));
    exit(EXIT_FAILURE);
}

/* Blocks that exist: the file system then has nothing to allocate, as in a recycled log segment. */
static void prepare(const char *path, uint8_t *block)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        fail("cannot create", path);
    }
    for (int i = 0; i < FILE_BLOCKS; i++) {
        if (write(fd, block, BLOCK_BYTES) != BLOCK_BYTES) {
            fail("cannot write", path);
        }
    }
    if (fsync(fd) != 0 || close(fd) != 0) {
        fail("cannot sync", path);
    }
}

static void measure(int fd, uint8_t *block, unsigned long writes, struct histogram *h)
{
    for (unsigned long i = 0; i < writes; i++) {
        random_bytes(block, BLOCK_BYTES);
        uint64_t start_ns = clock_mono_ns();
        off_t at = (off_t)(i % FILE_BLOCKS) * BLOCK_BYTES;
        if (pwrite(fd, block, BLOCK_BYTES, at) != BLOCK_BYTES) {
            fail("cannot write", "a block");
        }
        histogram_add(h, clock_mono_ns() - start_ns);
    }
}

int main(int argc, char **argv)
{
    static struct histogram h;
    if (argc < 2 || argc > 3) {
        (void)fputs("usage: disk_sync DIRECTORY [WRITES]\n", stderr);
        return 64;
    }
    unsigned long writes = argc == 3 ? strtoul(argv[2], NULL, 10) : WRITES;
    random_init();
    struct buf path = {0};
    buf_printf(&path, "%s/disk_sync.%ld", argv[1], (long)getpid());
    buf_append_byte(&path, 0);
    const char *name = (const char *)path.data;
    uint8_t *block = mem_alloc_aligned(BLOCK_BYTES, BLOCK_BYTES);
    random_bytes(block, BLOCK_BYTES);
    prepare(name, block);
    int fd = open(name, O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
    int error = errno;
    (void)unlink(name);
    if (fd < 0) {
        errno = error;
        fail("no O_DIRECT for", name);
    }
    measure(fd, block, writes, &h);
    (void)printf("{\"writes\":%lu,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f}\n", writes,
                 (double)histogram_percentile_ns(&h, 0.50) / 1e3,
                 (double)histogram_percentile_ns(&h, 0.90) / 1e3,
                 (double)histogram_percentile_ns(&h, 0.99) / 1e3);
    (void)close(fd);
    mem_free(block);
    buf_done(&path);
    return 0;
}
