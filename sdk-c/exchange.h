/* An exchange: one call of the SDK on the wire, with its retries.
 *
 *     exchange_init ---> exchange_actor, exchange_name, fields ---> exchange_run ---> exchange_done
 *                              |                                        ^
 *                              +--- a mistake of the caller ------------+  nothing is sent
 *
 * The first error sticks: later steps do nothing, and exchange_done hands it out. */
#ifndef SDK_C_EXCHANGE_H
#define SDK_C_EXCHANGE_H

#include "base/buf.h"
#include "rpc/client.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/handle.h"

struct exchange {
    struct dormouse *d;
    struct dormouse_call call; /* a copy; all zero where the caller gave none */

    const char *method;
    struct buf target;        /* closed by NUL while it runs */
    const char *content_type; /* of the body, or NULL */
    const char *accept;       /* or NULL */
    struct slice body;        /* the caller's, or `own_body` */
    bool has_body;
    struct buf own_body;
    bool is_reading;  /* changes nothing: may always be repeated */
    bool may_repeat;  /* a second time it changes nothing more */
    bool takes_key;   /* attach an Idempotency-Key where the call has none */
    bool one_attempt; /* an error is what the caller wants to hear */
    bool takes_if_match;
    bool takes_if_none_match;
    const struct dormouse_header *headers; /* the caller's own, or NULL */
    size_t header_count;

    struct client_response response; /* of the last attempt */
    struct dormouse_error error;
};

/* GET and HEAD read; anything else takes a key. `call` may be NULL. */
void exchange_init(struct exchange *x, struct dormouse *d, const char *method,
                   const struct dormouse_call *call);

/* Adds "/v1/NS/CLASS/ID" and, where given, "/part". */
void exchange_actor(struct exchange *x, const struct dormouse_actor *actor, const char *part);
/* Adds "/name". */
void exchange_name(struct exchange *x, const char *name);

void exchange_json_body(struct exchange *x, const void *json, size_t bytes);
/* The exchange's own buffer is the body, as JSON. */
void exchange_own_body(struct exchange *x);

/* A caller's mistake found elsewhere; keeps an earlier one. */
void exchange_refuse(struct exchange *x, const char *detail);

/* True: there is an answer below 400 in `response`. */
bool exchange_run(struct exchange *x);

/* The answer as a document, or NULL and an error. After exchange_run gave true. */
struct dormouse_doc *exchange_doc(struct exchange *x);
/* Both in one, asking for msgpack; `ret_doc` may be NULL. */
bool exchange_run_doc(struct exchange *x, struct dormouse_doc **ret_doc);
/* The version in the ETag; without one an error and 0. */
uint64_t exchange_version(struct exchange *x);

/* Releases all; fills `ret_error` where it is not NULL; the code of the call. */
enum dormouse_code exchange_done(struct exchange *x, struct dormouse_error *ret_error);

/* Pauses between attempts, for the watch too: doubled each time up to PAUSE_MS_MAX, of which a
 * random half is left out so that many clients do not come back at once. */
enum { PAUSE_MS_MIN = 50, PAUSE_MS_MAX = 2000 };
uint64_t exchange_pause_ms(const struct dormouse_error *error, unsigned attempt);
void exchange_sleep_ms(uint64_t ms);

#endif
