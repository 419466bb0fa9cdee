/* Webhooks: JSON documents posted to URLs that users chose, over libcurl on the worker's loop.
 *
 *     webhooks_post --> WAITING --room--> UNDER WAY --answer, error, time-out--> done(post, error)
 *
 * Only a 2xx is a delivery. No redirects, no proxies, no environment, no cookies; http and https alone;
 * what the receiver answers is thrown away. Unless private targets are allowed the address of each
 * connection is checked when its socket is opened, whatever the name said before. Every bound counts
 * posts under way and waiting together, so one slow receiver cannot take all the room. */
#ifndef RPC_WEBHOOK_UV_H
#define RPC_WEBHOOK_UV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"

enum {
    WEBHOOKS_MAGIC = 0x77656201,
    WEBHOOKS_ACTIVE_MAX = 64,
    WEBHOOKS_ACTIVE_HOST_MAX = 32,
    WEBHOOKS_MAX = 1024,
    WEBHOOKS_HOST_MAX = 256,
    WEBHOOKS_BYTES_MAX = 16 << 20, /* of bodies */
    WEBHOOK_CONNECT_MS = 10 * 1000,
    WEBHOOK_TOTAL_MS = 30 * 1000,   /* of one post, once it is under way */
    WEBHOOK_WAITING_MS = 60 * 1000, /* and before that */
    WEBHOOK_ANSWER_BYTES_MAX = 64 * 1024,
    WEBHOOK_ERROR_BYTES = 256,
};

/* Embedded by who posts; the fields are the webhooks' until `done`. */
struct webhook_post {
    void (*done)(struct webhook_post *p, const char *error); /* error NULL: delivered */
    struct webhooks *webhooks;
    struct list link; /* waiting or active */
    void *easy;       /* of libcurl, while under way */
    void *fields;
    char *url;
    uint64_t host_hash;
    struct bytes *body;
    uint64_t begun_ms;
    size_t answer_bytes;
    bool refused; /* the address was private */
};

struct webhooks {
    uint32_t magic;
    uv_loop_t *loop;
    void *multi;
    uv_timer_t timer;   /* libcurl's */
    uv_timer_t starter; /* begins what waits, from the loop */
    struct list waiting;
    struct list active;
    size_t waiting_count;
    size_t active_count;
    size_t bytes;
    bool allow_private;
    bool is_closing;
};

/* Once, before there are threads. */
enum err webhooks_global_init(void) MUST_CHECK;

void webhooks_open(struct webhooks *w, uv_loop_t *loop, bool allow_private);
/* Every post ends with an error; handles go as the loop runs on. */
void webhooks_close(struct webhooks *w);

/* Whether one more may be posted there now; a post beyond that is taken all the same. */
bool webhooks_have_room(const struct webhooks *w, struct slice url);

/* `done` comes later, from the loop. The URL must have passed webhook_url_check. */
void webhooks_post(struct webhooks *w, struct webhook_post *p, struct slice url,
                   struct bytes *body);

#endif
