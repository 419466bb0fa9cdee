/* A request: one thing asked of one actor, from its arrival at the worker that owns the actor until
 * its reply has left.
 *
 *     NEW --registry_submit--> QUEUED --its turn--> RUNNING --ends--> GATED --durable--> DONE
 *                                 |                   ^  |                  |
 *                                 |                   +--+ rows are read,   |
 *                                 |                        it runs again    |
 *                                 +-- deadline, cancel; RUNNING too, while   +-- deadline --> DONE
 *                                     it waits for rows: nothing was done
 *
 * Whoever makes a request owns it again in `answer`, which is called exactly once. */
#ifndef ACTOR_REQUEST_H
#define ACTOR_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/reply.h"
#include "actor/socket_ref.h"
#include "base/address.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/heap.h"
#include "base/list.h"
#include "storage/shard.h"

enum request_kind {
#define X(name, operation, does) REQUEST_##name,
#include "actor/request.def"
#undef X
    REQUEST_KIND_COUNT
};

enum request_stage { REQUEST_NEW, REQUEST_QUEUED, REQUEST_RUNNING, REQUEST_GATED, REQUEST_DONE };

enum {
    REQUEST_MAGIC = 0x72657101,
    REQUEST_HASH_BYTES = 16,
    LIST_LIMIT_DEFAULT = 100,
    LIST_LIMIT_MAX = 1000,
    MATCH_VERSIONS_MAX = 8, /* who has more copies of an entry can ask without a condition */
};

/* Parameters of a listing (API section 3). Absent ones are NULL. */
struct list_params {
    struct bytes *prefix;
    struct bytes *start;       /* inclusive */
    struct bytes *start_after; /* exclusive */
    struct bytes *end;         /* exclusive */
    struct bytes *cursor;      /* the key that the page before ended with */
    uint32_t limit;
    bool reverse;
    bool values;
    bool has_no_next; /* nobody can go on where the page ends: it must not end early */
};

/* If-Match: "3" is MATCH_VERSION with 3; If-None-Match: * is MATCH_ABSENT (node/conditions.h). */
enum match { MATCH_ANY, MATCH_VERSION, MATCH_NOT_VERSION, MATCH_PRESENT, MATCH_ABSENT };

struct code_event;
struct sandbox_ask;
struct registry;
struct request;

/* What the scheduler says in its own requests (actor/scheduler.h). They name an actor by its identity
 * alone. */
struct timer_call {
    uint64_t number; /* of the actor, as the due row has it: it may be gone or born anew */
    uint64_t due_ms; /* fire: of the due row */
    uint64_t wall_ms;
    uint64_t up_since_ms; /* fire: log time at which this leader began */
    uint64_t firing;      /* outcome: which one */
    /* Fire: ERR_OVERLOADED, no room for another delivery; ERR_BUSY, this firing is being delivered. */
    enum err (*may_deliver)(void *ctx, const struct request *r, struct slice webhook,
                            uint64_t firing);
    void *ctx;
};

struct request {
    uint32_t magic;
    enum request_kind kind;
    enum request_stage stage;
    struct list link;          /* the actor's mailbox, or what is gated */
    struct heap_node deadline; /* the registry's heap; key: when it times out, monotonic ms */

    struct address address;     /* slices of address_text */
    struct bytes *address_text; /* NULL: only the identity is known */
    struct identity identity;

    struct bytes *name; /* key, timer or step */
    struct bytes *body; /* a msgpack document that passed value_check */
    enum match match;
    uint64_t match_versions[MATCH_VERSIONS_MAX]; /* VERSION: one of these; NOT_VERSION: none */
    uint32_t match_count;
    struct list_params list;
    uint64_t since_version; /* watch: the position after which events are wanted */
    uint32_t since_n;
    bool has_since;
    struct timer_call timer;
    struct bytes *outcome; /* CODE_COMMIT: the body of what the event answers; NULL: none */
    struct bytes *idempotency_key;
    uint8_t hash[REQUEST_HASH_BYTES]; /* of method, target and body, where the key is given */

    bool may_be_stale; /* a read, for which the rows of any replica will do (actor/glance.h) */
    bool has_token;    /* it came with one: a stream ends when that is revoked */
    uint8_t token_hash[DIGEST_BYTES];

    struct socket_ref socket; /* of a fetch: a line to its client; id 0: there is none */
    bool is_for_body; /* the answer's body may take it, in pieces; else it is a WebSocket's */

    bool stays_inside; /* of the actor's own code: no gate, for what leaves has one of its own */
    uint64_t gate;     /* proposals of the actor that must be durable first */
    bool has_wrote; /* one of these is its own: that it is durable is proof of leadership as well */
    bool awaits_proof;        /* GATED: of leadership, after its turn */
    struct shard_proof proof; /* where it does */
    struct reply reply;
    struct code_event *code_event;     /* the code host's, while it has it */
    struct sandbox_ask *sandbox_ask;   /* likewise the sandbox host's */
    struct registry *registry;         /* that took it */
    void (*done)(struct request *r);   /* the registry's: first stop of the finished request */
    void (*answer)(struct request *r); /* the maker's: the reply is complete, the request is his */
    void *user;
};

struct request *request_new(enum request_kind kind);
void request_free(struct request *r); /* NULL is fine */

/* Copies the three parts; the slices of r->address then point into the copy. */
void request_set_address(struct request *r, const struct address *a);

bool request_writes(const struct request *r);
bool request_is_of_workflow(enum request_kind kind); /* of a client, for the run of one */

#endif
