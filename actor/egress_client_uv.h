/* The worker's egress process on its loop: egress_client with a socket, a clock and the launcher. */
#ifndef ACTOR_EGRESS_CLIENT_UV_H
#define ACTOR_EGRESS_CLIENT_UV_H

#include <stdbool.h>

#include <uv.h>

#include "actor/egress_client.h"
#include "actor/launch.h"
#include "base/buf.h"

enum {
    EGRESS_UV_MAGIC = 0x65677203,
    EGRESS_UV_RETRY_MS = 5, /* for descriptors, where the channel is full */
};

struct egress_uv_channel;

struct egress_uv {
    uint32_t magic;
    struct egress_client client;
    uv_loop_t *loop;
    const struct launch *launch;
    struct egress_uv_channel *channel; /* NULL: there is no process */
    bool is_closed;
    /* One for each hop of each request; NULL: nobody wants them. */
    void (*record)(void *ctx, const struct egress_record *r);
    void *ctx;
};

void egress_uv_open(struct egress_uv *e, uv_loop_t *loop, const struct launch *launch,
                    void (*record)(void *ctx, const struct egress_record *r), void *ctx);

/* All that is under way fails; handles go as the loop runs on. */
void egress_uv_close(struct egress_uv *e);

/* As egress_client_fetch, now. */
enum err egress_uv_fetch(struct egress_uv *e, struct egress_request *r,
                         const struct egress_request_hooks *hooks,
                         const struct egress_fetch *f) MUST_CHECK;

#endif
