/* A reply: what a turn answers, before anybody made HTTP of it.
 *
 * Bodies are msgpack documents; node/ turns them into what the client accepts. A reply owns its
 * body and detail. */
#ifndef ACTOR_REPLY_H
#define ACTOR_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum reply_existed { EXISTED_UNSAID, EXISTED_NO, EXISTED_YES };

struct reply {
    enum err err;           /* ERR_OK, or why not */
    int status;             /* HTTP status where err is ERR_OK: 200, 201, 204 or 304 */
    uint64_t etag;          /* the version to show as ETag; 0: none */
    uint64_t state_version; /* of the actor when the turn ran; not shown to clients */
    enum reply_existed existed;
    bool replayed;         /* an idempotency record answered */
    uint32_t owner;        /* the node that answered, to be shown; 0: not */
    uint64_t staleness_ms; /* how old it may be, where that was allowed; never between nodes */
    bool is_value;         /* the body is a stored value: bytes at its top level show as such */
    struct bytes *body;
    char *detail;           /* one sentence for the problem document; NULL: the error's own text */
    int64_t failed;         /* index of the check that failed (conflict); -1: none */
    const char *limit_name; /* what was too large or full; static; NULL: none */
    uint64_t limit_value;
};

/* Fills in an error; the former contents go. `format` may be NULL. Returns `err`. */
enum err reply_fail(struct reply *r, enum err err, const char *format, ...) PRINTF_LIKE(3, 4);
/* An error that names the limit that was met, as the contract asks: `name` is static text. */
enum err reply_limited(struct reply *r, enum err err, const char *name, uint64_t value);
enum err reply_too_large(struct reply *r, const char *limit_name, uint64_t limit_value);
void reply_body(struct reply *r, int status, struct buf *document); /* takes the document */
void reply_clear(struct reply *r); /* frees what it owns; it is then as after reply_init */
void reply_init(struct reply *r);

/* A definite outcome is kept under an idempotency key: 2xx, 409 and 412. */
bool reply_is_definite(const struct reply *r);

/* As stored in an idempotency record. `ret_reply` is written on success only. */
void reply_encode(const struct reply *r, struct buf *out);
enum err reply_decode(struct slice stored, struct reply *ret_reply) MUST_CHECK;

#endif
