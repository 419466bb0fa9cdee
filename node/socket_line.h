/* A line: a client's socket, at the worker of its connection, as far as the owner of its actor is concerned. It
 * outlives the owner: while the actor sleeps nothing happens, and when its shard moves the line brings the
 * socket to the next one.
 *
 *               the first MEMO             END: nothing is in doubt, nothing is missing
 *     OFFERED -------------> SERVED ---------------------------------------------------> LOOKING
 *        |                    ^  |  a connection broke: it asks, and goes on                |  a node leads
 *        |                    |  +<--------------------------------------------+            v
 *        |                    +-------------------- its answer ---------------------- OPENING: OPEN
 *        |
 *        +-- from any state: the owner knows it no more, is gone without a word, or says what is in doubt or
 *            more letters than have come --> LOST: the client is told to connect anew (1012)
 *
 * Letters to the owner are kept until the actor has done what they ask, so the next owner gets those that the
 * one before has not taken; of the other way END says how many there were. A node that is gone without END may
 * have sent some that nobody will ever see: so its sockets are LOST, never silently short of a message.
 *
 * A line is one of a worker's lines; its number says which worker that is. Pure. */
#ifndef NODE_SOCKET_LINE_H
#define NODE_SOCKET_LINE_H

#include "base/list.h"
#include "base/map.h"
#include "node/socket_mail.h"

enum {
    SOCKET_LINES_MAX = 16 * 1024,
    SOCKET_LOOK_MS = 50,        /* between two looks for an owner */
    SOCKET_OPEN_MS = 2000,      /* for its answer, then again */
    SOCKET_DEPOSED_MS = 3000,   /* for the last word of an owner that is one no more */
    SOCKET_GONE_MS = 30 * 1000, /* for the answer of one to which a connection broke */
    SOCKET_WORKER_BITS = 6,     /* of a number: PEER_WORKERS_MAX */
    SOCKET_RANDOM_BITS = 47,
};

enum socket_line_state {
    LINE_OFFERED,
    LINE_SERVED,
    LINE_LOOKING,
    LINE_OPENING,
    LINE_LOST,
};

struct socket_line;

/* Of whoever has the client. Called from socket_lines_take, _tick and _flush; any function of the line may be
 * called from inside. */
struct socket_line_hooks {
    void (*on_owned)(void *ctx); /* an actor has accepted it: the first MEMO */
    /* A letter of the actor, the callee's: socket_line_take once the client's socket has it. */
    void (*on_letter)(void *ctx, struct socket_letter *letter);
    void (*on_room)(void *ctx); /* letters to the owner are taken */
    void (*on_lost)(void *ctx); /* nothing more comes of it */
};

struct socket_line {
    enum socket_line_state state;
    struct socket_lines *lines;
    struct map_node by_id;
    struct list link;
    struct list dirty;
    const struct socket_line_hooks
        *hooks; /* NULL: the client is gone, what was said is yet to be taken */
    void *ctx;
    uint64_t id;
    uint32_t attempt;
    uint32_t node; /* 0: OFFERED, and nothing has come */
    uint32_t shard;
    struct bytes *who; /* the last MEMO; NULL: no actor has accepted it yet */
    struct socket_link letters;
    size_t counted_bytes;
    bool open_is_due;
    bool gone_is_due;
    uint64_t broke_ms; /* SERVED: since when a connection is broken; 0: it is not */
    uint64_t retry_ms; /* LOOKING, OPENING */
};

struct socket_lines {
    const struct socket_net *net;
    void *ctx;
    uint32_t own_node;
    uint32_t worker;
    struct map by_id;
    struct list all;
    struct list dirty;
    size_t count;
    size_t kept_bytes; /* of letters to owners */
    uint64_t lost;     /* for metrics */
    uint64_t moved;
    uint64_t now_ms;
    uint64_t next_look_ms;
};

void socket_lines_init(struct socket_lines *s, const struct socket_net *net, void *ctx,
                       uint32_t own_node, uint32_t worker);
void socket_lines_done(struct socket_lines *s); /* lines whose client is gone may be left */

/* The worker whose line has that number. */
uint32_t socket_line_worker(uint64_t id);

/* NULL: there are too many. */
struct socket_line *socket_line_new(struct socket_lines *s, const struct socket_line_hooks *hooks,
                                    void *ctx);
/* The client is gone or has its end; letters that were put are still taken by the owner. */
void socket_line_close(struct socket_line *y);

/* To the actor. */
void socket_line_put(struct socket_line *y, const struct socket_letter_head *head,
                     struct bytes *data);
size_t socket_line_kept_bytes(const struct socket_line *y); /* put, and not taken */
/* The client's socket has the oldest letter that it had not. */
void socket_line_take(struct socket_line *y);

/* A mail of an owner, which is of a shard of this group. ERR_CORRUPT. */
enum err socket_lines_take(struct socket_lines *s, uint32_t from,
                           const struct socket_mail *m) MUST_CHECK;
void socket_lines_on_lost(struct socket_lines *s, uint32_t node); /* a connection to or from it */

void socket_lines_tick(struct socket_lines *s, uint64_t now_ms);
void socket_lines_flush(struct socket_lines *s); /* before the loop sleeps */

#endif
