/* The log board: who reads what code logs, and the lines that are on their way to them. One a node, shared by
 * its workers.
 *
 *     any worker   log_board_wants, log_board_put --lines--> queues whose filter fits  --wake--> the queue's
 *     worker 0     log_board_pass --another node's lines--> queues of streams with that    worker takes
 *
 * A queue is that of a client's stream, or of another node that has such clients (node/log_peers.h). It holds
 * text of server-sent events, and is bounded; so are all together. What finds no room is lost and counted: an
 * event `lost` stands where the lines would have stood. Nothing is kept for who comes later. */
#ifndef NODE_LOG_BOARD_H
#define NODE_LOG_BOARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"

enum {
    LOG_STREAMS_MAX = 64, /* of clients of this node: each line is held against each */
    LOG_QUEUE_BYTES_MAX = 256 * 1024,
    LOG_ALL_BYTES_MAX = 32 << 20, /* of all queues together */
};

/* Whose lines somebody wants. */
struct log_filter {
    char ns[NAMESPACE_BYTES_MAX + 1];
    char class[CLASS_BYTES_MAX + 1]; /* "": of all classes, and of the module */
    bool has_identity;               /* else of all actors */
    struct identity identity;
};

/* Who logs. */
struct log_who {
    struct slice ns;
    struct slice class; /* empty: the module */
    struct identity identity;
};

enum log_reader { LOG_READER_STREAM, LOG_READER_NODE };

struct log_queue {
    /* set once before it is added */
    struct log_filter filter;
    enum log_reader reader;
    uint32_t worker; /* that takes from it */

    /* under the board's mutex */
    struct list link;
    struct buf text;
    uint64_t lines; /* in the text, with those that it says are lost */
    uint64_t lost;  /* that it does not tell of yet */

    _Atomic bool has_news; /* hint, without the mutex */
};

struct log_board {
    void (*wake)(void *ctx, uint32_t worker); /* called under the mutex */
    void *ctx;
    _Atomic uint32_t queue_count;
    _Atomic uint64_t streams_number; /* rises with every stream that comes or goes */
    _Atomic uint64_t lines;          /* that somebody wanted */
    _Atomic uint64_t lost;           /* of these */

    pthread_mutex_t mutex;
    /* under mutex */
    struct list queues;
    uint32_t stream_count;
    size_t bytes; /* in all queues */
};

void log_board_init(struct log_board *b, void (*wake)(void *ctx, uint32_t worker), void *ctx);
void log_board_done(struct log_board *b); /* no queue may be left */

bool log_filter_equal(const struct log_filter *a, const struct log_filter *b);
bool log_filter_fits(const struct log_filter *f, const struct log_who *who);

/* ERR_OVERLOADED: one more than LOG_STREAMS_MAX. */
enum err log_board_add(struct log_board *b, struct log_queue *q) MUST_CHECK;
void log_board_remove(struct log_board *b, struct log_queue *q);

uint32_t log_board_streams(struct log_board *b); /* that are open */

/* The filters of this node's streams, each once. Returns how many. */
size_t log_board_filters(struct log_board *b, struct log_filter ret_filters[LOG_STREAMS_MAX]);

/* Whether anybody would read the line: where nobody reads any, that is one look at a number. */
bool log_board_wants(struct log_board *b, const struct log_who *who);
/* One event. */
void log_board_put(struct log_board *b, const struct log_who *who, struct slice text);
/* Whole events that another node has put, for those who have that filter; `lines` of them, or lost ones. */
void log_board_pass(struct log_board *b, const struct log_filter *f, struct slice text,
                    uint64_t lines);

/* All that waits, and how many lines it tells of; false: nothing. `ret_text` is empty, and the caller's. */
bool log_board_take(struct log_board *b, struct log_queue *q, struct buf *ret_text,
                    uint64_t *ret_lines);
void log_board_lose(struct log_board *b, struct log_queue *q, uint64_t lines); /* that were taken */

#endif
