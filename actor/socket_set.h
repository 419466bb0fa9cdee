/* The sockets of actors at the node that owns them: clients' WebSockets, wherever these are connected, that an
 * actor's code has accepted. A set is those of one actor; it is there while it has any, whether the actor is
 * awake or sleeps. All of it is memory: when the owner moves, the clients' nodes bring their sockets to the
 * next one, each with its memo.
 *
 *              socket_accept        socket_close            the client's close frame, and its event is done
 *     OFFERED ---------------> OPEN ------------> CLOSING ---------------------------------------+
 *        |                      |                                                                v
 *        |                      +--the client's close frame--> ASKED --socket_close, or its ----> GONE
 *        |                      |                                      event is done             ^
 *        |                      +--it is lost, or breaks the rules, from any state --------------+
 *        +--socket_withdraw----------------------------------------------------------------------+
 *
 * GONE ones are freed once nothing of them is left to be done. What comes from a client is an event of the
 * actor; events of a set are taken in the order in which they came:
 *
 *     WAITING --socket_set_next--> TAKEN --socket_event_done--> freed; the client's end hears of it
 *        ^                           |----socket_event_lost---> freed; its socket is in doubt
 *        +---socket_event_back-------+
 *
 * Only what is done counts as taken from the client; so a next owner gets what this one has not done, and a
 * socket of which it is not known whether something was done is closed, never silently short of a message.
 *
 * Two sides register here: the code host (`ready` and what follows it), and the node, whose end of a socket leads to the client
 * (all other hooks, and `end`). The same lines carry bodies of
 * answers that leave in pieces (socket_offer_body). Pure; no clocks. */
#ifndef ACTOR_SOCKET_SET_H
#define ACTOR_SOCKET_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/socket_ref.h"
#include "base/address.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"

/* What Cloudflare's objects have. Lengths of text are in UTF-16 units, as code counts them. */
enum {
    SOCKETS_PER_ACTOR_MAX = 32768,
    SOCKET_TAGS_MAX = 10,
    SOCKET_TAG_UNITS_MAX = 256,
    SOCKET_ATTACHMENT_BYTES_MAX = 16 * 1024,
    SOCKET_AUTO_UNITS_MAX = 2048,
};

/* Of a set that is of no shard: a module's, which ends with its isolate. */
#define SOCKET_NO_SHARD UINT32_MAX

enum socket_state { SOCKET_OFFERED, SOCKET_OPEN, SOCKET_CLOSING, SOCKET_ASKED, SOCKET_GONE };

struct actor_socket;

/* Of a body, and of a WebSocket that is not the code's: the client has so many bytes more; nobody reads it any more
 * (`gone` must not close it). */
struct socket_body_hooks {
    /* Of a WebSocket: `data` is the caller's; socket_message_taken once it has gone where it should. */
    void (*message)(void *ctx, struct actor_socket *s, bool is_text, struct bytes *data);
    void (*drained)(void *ctx, const struct actor_socket *s, size_t bytes);
    void (*gone)(void *ctx, const struct actor_socket *s);
};

struct actor_socket {
    struct socket_ref ref;
    enum socket_state state;
    struct socket_set *set;
    struct map_node by_id;
    struct list link; /* set.sockets, in the order in which they came */
    bool is_hibernatable;
    bool is_in_doubt; /* whether something of it was done */
    bool is_body;     /* not a WebSocket: the body of an answer */
    const struct socket_body_hooks
        *body_hooks; /* of a body that is not the code host's; NULL: it is */
    void *body_ctx;
    bool is_deaf; /* it was of an isolate that is gone: nobody need hear how it ends */
    size_t tag_count;
    struct bytes *tags[SOCKET_TAGS_MAX];
    struct bytes *attachment; /* NULL: none */
    uint64_t auto_ms;         /* when it got an automatic response last, wall; 0: never */
    uint16_t close_code;      /* ASKED: the client's */
    struct list events;       /* all that are not done, oldest first */
    void *end;                /* the node's */
};

enum socket_event_kind { SOCKET_MESSAGE, SOCKET_CLOSED, SOCKET_FAILED };

struct socket_event {
    struct actor_socket *socket;
    enum socket_event_kind kind;
    bool is_text;
    bool was_clean;
    uint16_t code; /* CLOSED */
    struct bytes
        *data; /* MESSAGE; the reason of CLOSED, the text of FAILED; NULL where it is empty */

    struct list waiting; /* set.waiting */
    struct list link;    /* socket.events */
    bool is_done;
};

struct socket_set {
    struct socket_sets *owner;
    struct map_node by_identity;
    struct identity identity;
    struct address address; /* slices of address_text */
    struct bytes *address_text;
    uint32_t shard;
    struct list sockets;
    struct map by_id;
    size_t count;
    struct list waiting; /* events */
    size_t waiting_count;
    struct bytes *auto_request; /* NULL: none */
    struct bytes *auto_response;
    uint64_t auto_version; /* rises with every change */
    struct list host_link; /* the code host's */
};

struct socket_hooks {
    void (*changed)(void *ctx,
                    struct actor_socket *s); /* it was accepted, or its memo is another */
    void (*send)(void *ctx, struct actor_socket *s, bool is_text, struct bytes *data);
    void (*close)(void *ctx, struct actor_socket *s, uint16_t code, struct slice reason);
    void (*taken)(void *ctx, struct actor_socket *s); /* the oldest that it was not told of */
    /* Freed when it returns. `is_over`: both sides have said what they had to; else the owner lets go,
     * and another one may take it over unless it is in doubt. */
    void (*gone)(void *ctx, struct actor_socket *s, bool is_over);
};

struct socket_sets {
    const struct socket_hooks *hooks;
    void *ctx;
    /* Something waits in the set: the code host takes it with socket_set_next, when it has room. */
    void (*ready)(void *ctx, struct socket_set *set);
    /* One of an owner before has come: an isolate that is awake does not know it yet. */
    void (*restored)(void *ctx, const struct actor_socket *s);
    /* Of a body: the client has so many bytes more; nobody reads it any more. */
    void (*drained)(void *ctx, const struct actor_socket *s, size_t bytes);
    void (*body_gone)(void *ctx, const struct actor_socket *s);
    void *host_ctx;  /* of all these */
    struct map sets; /* by identity */
    size_t socket_count;
};

void socket_sets_init(struct socket_sets *s, const struct socket_hooks *hooks, void *ctx);
void socket_sets_done(struct socket_sets *s); /* lets go of all */

/* NULL where the actor has none; good until its last socket is gone. */
struct socket_set *socket_sets_find(const struct socket_sets *s, const struct identity *identity);
struct actor_socket *socket_set_find(const struct socket_set *set, uint64_t id); /* NULL: none */

/* From the code host */

/* Before the event that has it: a request for which the client waits. It may be offered to several, one after
 * the other or one by the other, and is whose who accepts it first. ERR_OVERLOADED: the actor has too many, or
 * one of that id. */
enum err socket_offer(struct socket_sets *s, const struct identity *identity,
                      const struct address *address, uint32_t shard,
                      struct socket_ref ref) MUST_CHECK;
/* Likewise, and accepted at once: what is sent is an answer's body, which a close with 1000 makes whole. It ends
 * with its isolate; what becomes of it is no event, but `drained` and `body_gone`. */
enum err socket_offer_body(struct socket_sets *s, const struct identity *identity,
                           const struct address *address, uint32_t shard,
                           struct socket_ref ref) MUST_CHECK;
/* A WebSocket, accepted at once, of somebody else than the actor's code. It ends with its owner. */
enum err socket_offer_direct(struct socket_sets *s, const struct identity *identity,
                             const struct address *address, uint32_t shard, struct socket_ref ref,
                             const struct socket_body_hooks *hooks, void *ctx) MUST_CHECK;
void socket_message_taken(struct actor_socket *s); /* the oldest that was not */
/* The event has not answered with it. */
void socket_withdraw(struct actor_socket *s);

/* By a standard accept, by acceptWebSocket with tags, or by an answer with it; the later adds to the earlier.
 * ERR_TOO_LARGE: too many tags, or too long; ERR_INVALID_VALUE: they are not UTF-8. */
enum err socket_accept(struct actor_socket *s, const struct slice *tags, size_t tag_count,
                       bool is_hibernatable) MUST_CHECK;
/* Once what the actor wrote before is durable. Of one that is closed it goes nowhere. */
void socket_send(struct actor_socket *s, bool is_text, struct bytes *data);
/* ERR_BAD_REQUEST: a code that must not be sent, or a bad reason. `code` 0: none. */
enum err socket_close(struct actor_socket *s, uint16_t code, struct slice reason) MUST_CHECK;
enum err socket_attach(struct actor_socket *s, struct slice attachment) MUST_CHECK;
/* Both empty: none. ERR_TOO_LARGE, ERR_INVALID_VALUE. */
enum err socket_set_auto(struct socket_set *set, struct slice request,
                         struct slice response) MUST_CHECK;

/* The oldest event that waits, now the code host's; NULL: there is none. */
struct socket_event *socket_set_next(struct socket_set *set);
void socket_event_done(struct socket_event *e); /* and durable; the set may be gone then */
void socket_event_back(
    struct socket_event *e); /* its isolate has not seen it: in the reverse order */
void socket_event_lost(struct socket_event *e); /* it has, and nobody knows what it did */

/* The actor's isolate is gone: what is in doubt and what was accepted for that isolate alone is closed. The
 * set may be gone then. */
void socket_set_isolate_gone(struct socket_set *set);

/* For START: [[id, [tag, ...], attachment bytes or nil], ...], of those that do not end with an isolate, and
 * [request, response] or nil. */
void socket_set_put(const struct socket_set *set, struct buf *out);
void socket_put(const struct actor_socket *s, struct buf *out); /* one of them */
void socket_set_put_auto(const struct socket_set *set, struct buf *out);
/* Those with the tag, one after the other; `after` NULL: the first. NULL: no more. */
struct actor_socket *socket_set_next_tagged(const struct socket_set *set, struct slice tag,
                                            const struct actor_socket *after);

/* From the node */

/* What the client has said, with the wall clock's time. `is_owed`: it waits for our close frame. */
void socket_arrive(struct actor_socket *s, bool is_text, struct bytes *data, uint64_t wall_ms);
void socket_arrive_close(struct actor_socket *s, uint16_t code, struct slice reason, bool was_clean,
                         bool is_owed);
void socket_arrive_failure(struct actor_socket *s, struct slice text);
/* Nothing is heard of the client's node, or it knows the socket no more: closed without a close frame. */
void socket_lose(struct actor_socket *s, const char *why);

/* Whatever the next owner must know. */
void socket_put_memo(const struct actor_socket *s, struct buf *out);
/* A socket of an owner before, open, by its memo; `ret_socket` has no end yet (no hook is called).
 * ERR_CORRUPT; ERR_OVERLOADED as socket_offer. */
enum err socket_restore(struct socket_sets *s, const struct identity *identity,
                        const struct address *address, uint32_t shard, struct socket_ref ref,
                        struct slice memo, struct actor_socket **ret_socket) MUST_CHECK;

/* The shard is lost. The code host has given back or lost all that it had taken. */
void socket_sets_depose(struct socket_sets *s, uint32_t shard);

#endif
