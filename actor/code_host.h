/* The code host of a worker: runs the code of actors whose class has any, in isolates (DESIGN section 5).
 *
 *     code_host_submit --storage of section 3--> registry
 *           |
 *           | call, fetch, execute: an event
 *           v
 *        session of the actor --START, EVENT--> isolate (a process of its own, hostile)
 *           ^      |                               |
 *           |      +<------ ASK, WRITE, DONE ------+
 *           |      |
 *           |      +-- turns of the actor: reads, and batches of what it wrote --> registry
 *           +------ their replies: answers to the isolate, and, behind the output gate, to clients
 *
 * A session is one isolate that runs one actor:
 *
 *     STARTING --STARTED--> READY --idle, redeployed, killed, died, shard lost--> ENDED --> freed
 *
 * What leaves an isolate (an answer, a call of another actor, a request to the outside) waits for a turn
 * of the actor that comes after all that the isolate wrote before: the registry's output gate holds it until
 * that is durable. What an event wrote last goes into one batch with its answer's idempotency record.
 *
 * Invariants
 *   - an identity has at most one session that is not ENDED.
 *   - every request that was submitted is answered once; every turn's answer finds its session.
 *
 * Pure: processes, clocks and other actors are behind the hooks. */
#ifndef ACTOR_CODE_HOST_H
#define ACTOR_CODE_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/code_stats.h"
#include "actor/registry.h"
#include "actor/request.h"
#include "actor/socket_set.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"

struct code_session;
struct code_call;
struct code_incoming;
struct isolate; /* of the hooks: one process */

enum {
    CODE_EVENTS_MAX = 1024, /* of one actor, under way or waiting; more are ERR_OVERLOADED */
    CODE_TURNS_MAX = 256,   /* of one actor's code; beyond, its isolate is not read */
    CODE_SESSIONS_MAX = 4096,
    CODE_IDLE_MS = 10 * 1000,         /* until an isolate without anything to do goes */
    CODE_BUSY_IDLE_MS = 120 * 1000,   /* ... and one that waits for timers or the outside */
    CODE_EVENT_CPU_MS = 30 * 1000,    /* of CPU time, from one event to the next */
    CODE_START_MS = 30 * 1000,        /* to evaluate its code and construct the class */
    CODE_TURN_TIMEOUT_MS = 30 * 1000, /* of a turn of the code's own */
    CODE_CPU_LOOK_MS = 50,            /* at least between two looks at a process's CPU time */
    CODE_INCOMING_MAX = 64, /* requests to the outside and bodies from there, of one session */
    CODE_SOCKET_EVENTS_MAX = 256, /* of one actor's sockets, under way; others wait in its set */
    CODE_SOCKET_RETRY_MS = 100,   /* until an actor whose sockets wait may have an isolate */
    CODE_UNSENT_BYTES_MAX =
        8 << 20, /* to sockets, behind its writes; then its isolate is not read */
};

/* What a deployment says of a class; the slices are borrowed during the call. */
struct code_class {
    uint64_t version;
    struct slice modules; /* documents, as START has them */
    struct slice main;    /* text */
    struct slice env;     /* a document */
    struct slice bindings;
    struct slice workflows; /* an array of the classes that are; empty: none */
};

struct code_usage {
    uint64_t cpu_us;
    uint64_t peak_bytes;
};

enum { CODE_RUN_MEMORY_BYTES = 64 << 20, CODE_CLASS_MEMORY_BYTES = 128 << 20 };

struct code_limits {
    uint64_t memory_bytes;
    uint32_t cpu_ms;
    uint32_t wall_ms;
};

/* How an isolate ended. */
struct code_end {
    bool out_of_memory;
    struct code_usage usage;
};

struct code_hooks {
    /* Of what is deployed under that name; 0: nothing. The class "" is the module's default export. */
    uint64_t (*version)(void *ctx, struct slice ns, struct slice class);
    bool (*find)(void *ctx, struct slice ns, struct slice class, struct code_class *ret);
    /* A process for the session; NULL, and why, where there can be none now. */
    struct isolate *(*take)(void *ctx, struct code_session *s, const struct code_limits *limits,
                            const char **ret_why);
    void (*send)(struct isolate *i, struct slice frame); /* never from inside `ended` */
    void (*pause)(struct isolate *i, bool paused);       /* its frames are not wanted now */
    void (*kill)(struct isolate *i); /* it is gone: nothing more is heard of it */
    /* `wants_peak`: of its memory, which costs more to know. */
    void (*usage)(struct isolate *i, bool wants_peak, struct code_usage *ret);
    uint64_t (*memory)(struct isolate *i); /* bytes that it has now */
    /* The identity of a name, of a hexadecimal id, or a new one: 64 hexadecimal digits. False: the
     * text is no id of that class. */
    bool (*identify)(void *ctx, struct slice ns, struct slice class, struct slice name,
                     struct slice hex, char ret_hex[2 * IDENTITY_BYTES + 1]);
    /* Another actor is called; code_host_called with `call` when it has answered. The request's address
     * is set, its identity is not. */
    void (*call)(void *ctx, struct code_call *call, struct request *r);
    /* A request to the outside: the arguments of its ASK. code_incoming_head or code_incoming_fail says
     * what came of it, also from inside. */
    void (*fetch)(void *ctx, struct code_incoming *in, struct slice args);
    /* So many bytes more of its body may come; FRAME_STREAM_CREDIT may without. */
    void (*fetch_credit)(struct code_incoming *in, uint64_t bytes);
    void (*fetch_cancel)(struct code_incoming *in); /* nothing is to be said of it any more */
    /* A line of the code's log; the text is UTF-8 and bounded. */
    void (*log)(void *ctx, const struct code_session *s, struct slice level, struct slice text);
    /* The shard of that number, where it leads here; NULL: it does not. */
    struct shard *(*shard)(void *ctx, uint32_t number);
    /* An exception that nobody caught, or how its isolate ended, of whatever is no run: a map. What is
     * appended is the same as its author may read it. */
    void (*thrown)(void *ctx, const struct code_session *s, struct slice exception,
                   struct buf *ret_shown);
};

/* Something that an isolate waits for, outside of its actor. The hook's from the call on. */
struct code_call {
    struct code_session *session;
    uint64_t ask;
};

enum code_incoming_stage {
    CODE_INCOMING_QUEUED,  /* behind its turn */
    CODE_INCOMING_DROPPED, /* likewise, and then it is over */
    CODE_INCOMING_ASKED,
    CODE_INCOMING_OPEN, /* its head has come */
};

/* A request of code to the outside, and the body that comes in answer to it. The host's; the hooks may keep
 * something of theirs with it. */
struct code_incoming {
    struct code_session *session;
    void *user; /* of the hooks */
    enum code_incoming_stage stage;
    struct list link; /* session.incoming */
    uint64_t ask;
    uint64_t stream;       /* 0: its body has no name yet, or there is none */
    uint64_t unread_bytes; /* that were sent, and for which no credit came */
};

struct code_host {
    struct registry *registry;
    const struct code_hooks *hooks;
    void *ctx;
    struct map sessions;         /* by identity; those that are not ENDED, runs left out */
    struct list by_use;          /* all that are not ENDED: least recently used first */
    struct list ended;           /* they wait for their turns and calls to come back */
    size_t session_count;        /* not ENDED */
    struct heap deadlines;       /* of events whose client waits: nearest first */
    struct heap checks;          /* of sessions: when to look at them again */
    struct socket_sets *sockets; /* NULL: there are none */
    struct list socket_ready;    /* sets in which something waits */
    uint64_t socket_retry_ms;    /* until then no actor is woken for them */
    uint64_t now_ms;
    bool is_stopped;
    struct code_stats stats;
};

void code_host_init(struct code_host *h, struct registry *registry, const struct code_hooks *hooks,
                    void *ctx);
void code_host_attach(struct code_host *h); /* once the registry is initialised */
void code_host_attach_sockets(struct code_host *h, struct socket_sets *sockets);
void code_host_stop(struct code_host *h); /* all sessions end; before registry_done */
void code_host_done(struct code_host *h); /* after registry_done */

/* Runs any request of an actor of `shard`, as registry_submit does. */
void code_host_submit(struct code_host *h, struct shard *shard, struct request *r,
                      uint32_t timeout_ms);
/* A MODULE_FETCH, which is of no actor: it has no storage, and runs where it is asked. The identity is
 * that of code_host_module. */
void code_host_submit_module(struct code_host *h, struct request *r, uint32_t timeout_ms);
struct identity code_host_module(struct slice ns);
void code_host_cancel(struct code_host *h, struct request *r);
/* Before socket_sets_depose, and that before registry_depose. */
void code_host_depose(struct code_host *h, struct shard *shard);
/* Events of sockets, to isolates that are awake or are woken for them. */
void code_host_deliver_sockets(struct code_host *h);

void code_host_tick(struct code_host *h, uint64_t now_ms);
uint64_t code_host_next_ms(const struct code_host *h); /* UINT64_MAX: never */

/* What comes from outside: a frame of the session's isolate; that it has died by itself; the outcome of
 * a call. `payload` is a document; an error's is a map. The call is freed. */
void code_host_on_frame(struct code_session *s, struct slice frame);
void code_host_on_end(struct code_session *s, const struct code_end *end);
void code_host_called(struct code_call *call, bool is_ok, struct slice payload);

/* Of a fetch, in this order: the head's payload, with the name of the stream that its body is where it has one;
 * chunks, the last of which frees it. A failure frees it as well, in place of all that would follow: it is a map,
 * {"code", "message", ...}. Each may end the session. */
uint64_t code_incoming_stream(struct code_incoming *in);
void code_incoming_head(struct code_incoming *in, struct slice payload);
void code_incoming_chunk(struct code_incoming *in, struct slice bytes, bool is_end);
void code_incoming_fail(struct code_incoming *in, struct slice error);

bool code_session_is_run(const struct code_session *s);
/* Of a run: the document `grants.fetch`, empty where there is none. */
struct slice code_session_fetch_grant(const struct code_session *s);
const struct address *code_session_address(const struct code_session *s);
const struct identity *code_session_identity(const struct code_session *s);
uint64_t code_session_version(const struct code_session *s); /* of the deployment; 0: of none */

#endif
