/* A relay: one request of a guest, written anew to the host that it is for, and the answer on its way back.
 *
 *     relay_begin --> libcurl --head--> (scrubbed) guest --body, in pieces--> relay_pump (scrubbed) --> over
 *         ^ body of the request, in pieces
 *     with Upgrade: a connection alone, a request and an answer of our own writing, then bytes both ways
 *         (relay_tunnel.c)
 *
 * Rules, secrets and injected fields are those of the moment at which it began. Redirects are the guest's to
 * follow: each is a request of its own. libcurl checks the certificate of the host; the address that is
 * connected to is checked here, whatever its name said. What waits in either direction is bounded, and libcurl
 * paused meanwhile. Each relay is one record. */
#ifndef ACTOR_EGRESS_RELAY_H
#define ACTOR_EGRESS_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "actor/egress/box.h"
#include "actor/egress/inflater.h"
#include "actor/egress/inject.h"
#include "actor/egress/pool.h"
#include "actor/egress/response.h"
#include "actor/egress/scrubber.h"
#include "actor/egress/source.h"
#include "actor/egress/target.h"
#include "rpc/http1_inbound.h"

struct guest;

enum {
    RELAY_MAGIC = 0x65677212,
    RELAY_UPLOAD_BYTES_MAX = 64 * 1024,
    RELAY_WAITING_BYTES_MAX = 64 * 1024,
    RELAY_HEAD_MS = 120 * 1000, /* until an answer's head */
    RELAY_PIECE_BYTES = 16 * 1024,
};

struct relay {
    uint32_t magic;
    struct pool_user user;
    struct guest *guest;
    struct box_rules *rules;
    struct pool *pool;
    struct target target;
    struct injection injection;
    char method[32];
    bool is_old;     /* the guest speaks HTTP/1.0 */
    bool keeps_open; /* and would ask again */
    uint64_t begun_ms;

    CURL *easy;
    struct curl_slist *fields;
    struct response response;
    bool refused; /* an address: it is private */
    uint32_t opened;
    uint64_t received_bytes;
    uint64_t sent_bytes;
    enum err err;
    const char *detail;

    /* the request's body */
    struct buf upload;
    size_t upload_at;
    bool upload_is_over;
    bool upload_waits; /* libcurl is told when there is more */

    /* the answer */
    bool is_told; /* its head is */
    bool is_chunked;
    bool has_body;
    bool is_over;   /* all has come */
    bool is_paused; /* libcurl is */
    struct buf waiting;
    size_t waiting_at;
    struct inflater *inflater;
    struct scrubber scrubber;

    /* an upgrade */
    bool is_tunnel;
    bool is_open; /* the connection is there */
    struct source source;
    curl_socket_t socket;
    bool wants_room; /* it is watched for that too */
    struct buf head; /* of the answer, as far as it is there */
};

/* Takes target and injection. ERR_OVERLOADED, ERR_NO_MEMORY and a static sentence: nothing has begun. */
enum err relay_begin(struct guest *g, const struct http1_inbound_head *h, struct target *target,
                     struct injection *injection, const char **ret_detail) MUST_CHECK;
void relay_cancel(struct relay *r); /* the guest is gone, or breaks off */

bool relay_wants_body(const struct relay *r);
void relay_give_body(struct relay *r, struct slice piece);
void relay_body_ended(struct relay *r);

/* Brings the guest what has come, as far as it takes it. */
void relay_pump(struct relay *r);

/* What was refused before there was a relay. `target` may be NULL. */
void relay_record_refused(struct guest *g, const char *code);
void relay_record_denied(struct guest *g, struct slice method, const struct target *target,
                         const char *code);

/* Between relay.c, relay_curl.c and relay_tunnel.c. */
void relay_on_end(struct pool_user *user, CURLcode code);
enum err relay_start(struct relay *r, const struct http1_inbound_head *h,
                     const char **ret_detail) MUST_CHECK;
void relay_on_head(struct relay *r);
void relay_resume(struct relay *r);
enum err relay_tunnel_ask(struct relay *r, const struct http1_inbound_head *h) MUST_CHECK;
void relay_tunnel_opened(struct relay *r);
void relay_tunnel_pump(struct relay *r);
void relay_tunnel_close(struct relay *r);
void relay_put_head(struct relay *r,
                    const char *more); /* status and fields, scrubbed, and a blank line */
bool relay_tell(struct relay *r, uint8_t *bytes, size_t len,
                bool is_last); /* through the scrubber */
void relay_finish(struct relay *r, bool is_whole);

#endif
