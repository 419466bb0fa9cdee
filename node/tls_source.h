/* Where a node's TLS context comes from: its files, read at the start and again when they change.
 *
 *     files --open--> context --poll: another stamp, SIGHUP, or the tickets' key is old--> context'
 *                        ^                                                                   |
 *                        +--- the files are not good now: it stays, and the log says why ----+
 *
 * One thread opens, polls and closes, and reads files; the workers take the context when they see that
 * the generation has changed. Sessions keep the context they began under.
 *
 * A certificate and its key are two files, and nobody replaces both at once: a pair that does not fit
 * together is no more than a moment in between, so each poll looks again until it does. */
#ifndef NODE_TLS_SOURCE_H
#define NODE_TLS_SOURCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "rpc/tls_context.h"

enum {
    TLS_SOURCE_POLL_MS = 2000,
    TLS_SOURCE_AGE_MS = 12 * 60 * 60 * 1000, /* of a context, and so of the tickets' key */
};

/* What of a file changes when it is written or replaced. */
struct tls_stamp {
    uint64_t inode;
    uint64_t bytes;
    int64_t changed_ns;
};

struct tls_source {
    /* set once in open */
    enum tls_use use;
    struct tls_files files; /* borrowed */

    /* the polling thread */
    struct tls_stamp stamps[3]; /* of certificate, key, CA, before they were last read */
    uint64_t read_ms;           /* mono */
    bool is_behind;             /* the files were not good when they were last read */
    char complaint[TLS_DETAIL_BYTES];

    /* any thread */
    _Atomic uint64_t generation; /* of the context; from 1 on */

    pthread_mutex_t mutex;
    /* under mutex */
    struct tls_context *context;
};

/* `files` stay the caller's until closed. The error is tls_context_new's; then nothing is open. */
enum err tls_source_open(struct tls_source *s, enum tls_use use, const struct tls_files *files,
                         uint64_t mono_ms, uint64_t wall_ms,
                         char ret_detail[TLS_DETAIL_BYTES]) MUST_CHECK;
void tls_source_close(struct tls_source *s);

/* Every TLS_SOURCE_POLL_MS; `must` reads the files whether they look changed or not. */
void tls_source_poll(struct tls_source *s, bool must, uint64_t mono_ms, uint64_t wall_ms);

/* A reference of the caller's own, and the generation that it is of. */
struct tls_context *tls_source_take(struct tls_source *s, uint64_t *ret_generation);

#endif
