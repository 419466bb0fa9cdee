#include "actor/egress_client.h"

#include <string.h>

#include "base/invariant.h"

/* Of the fields of a request, and of a list of patterns, as documents. */
enum { LIST_BYTES_MAX = 256 * 1024 };

/* Requests */

static uint64_t hash_of_id(uint64_t id)
{
    return hash_of(slice_of(&id, sizeof id));
}

static struct egress_request *find(const struct egress_client *c, uint64_t id)
{
    for (struct map_node *n = map_find(&c->requests, hash_of_id(id)); n != NULL;
         n = map_next_same(n)) {
        struct egress_request *r = CONTAINER_OF(n, struct egress_request, node);
        if (r->id == id) {
            return r;
        }
    }
    return NULL;
}

static void take_out(struct egress_client *c, struct egress_request *r)
{
    map_remove(&c->requests, &r->node);
    c->request_bytes -= r->frame_bytes;
}

static bool is_bounded(const struct egress_fetch *f)
{
    return f->method.len <= EGRESS_URL_BYTES_MAX && f->url.len <= EGRESS_URL_BYTES_MAX &&
           f->body.len <= EGRESS_REQUEST_BODY_BYTES_MAX && f->fields.len <= LIST_BYTES_MAX &&
           f->allow.len <= LIST_BYTES_MAX && f->inject.len <= LIST_BYTES_MAX &&
           f->secrets.len <= EGRESS_SECRETS_BYTES_MAX;
}

/* ERR_BAD_REQUEST: what the process would not read, since it may come from user code. */
static enum err encode(const struct egress_fetch *f, uint64_t id, struct buf *ret)
{
    struct egress_frame read;
    struct egress_fetch fetch = *f;
    if (!is_bounded(f)) {
        return ERR_TOO_LARGE;
    }
    fetch.bytes_max = f->bytes_max < EGRESS_BYTES_MAX ? f->bytes_max : EGRESS_BYTES_MAX;
    fetch.ms_max = f->ms_max < EGRESS_MS_MAX ? f->ms_max : EGRESS_MS_MAX;
    egress_put_fetch(ret, id, &fetch);
    if (egress_frame_decode(slice_skip(buf_slice(ret), CHANNEL_HEAD_BYTES), &read) != ERR_OK) {
        buf_done(ret);
        return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

/* It takes longer each time, so that a process that cannot live costs little. */
static uint64_t restart_delay_ms(const struct egress_client *c)
{
    uint64_t delay_ms = EGRESS_RESTART_MS;
    for (uint32_t i = 1; i < c->early_deaths && delay_ms < EGRESS_RESTART_MS_MAX; i++) {
        delay_ms *= 2;
    }
    return delay_ms < EGRESS_RESTART_MS_MAX ? delay_ms : EGRESS_RESTART_MS_MAX;
}

static bool run(struct egress_client *c, uint64_t now_ms)
{
    if (c->is_running) {
        return true;
    }
    if (now_ms < c->restart_ms) {
        return false;
    }
    if (!c->hooks->start(c->ctx)) {
        c->early_deaths++;
        c->restart_ms = now_ms + restart_delay_ms(c);
        return false;
    }
    channel_inbox_init(&c->inbox);
    c->is_running = true;
    c->is_greeted = false;
    c->started_ms = now_ms;
    c->counters.starts++;
    return true;
}

static void send(struct egress_client *c, struct buf *frame)
{
    c->hooks->send(c->ctx, buf_slice(frame));
    buf_done(frame);
}

enum err egress_client_fetch(struct egress_client *c, struct egress_request *r,
                             const struct egress_request_hooks *hooks, const struct egress_fetch *f,
                             uint64_t now_ms)
{
    struct buf frame = {0};
    if (c->requests.count >= EGRESS_REQUESTS_MAX ||
        (c->request_bytes > 0 && c->request_bytes + f->body.len > EGRESS_REQUESTS_BYTES_MAX)) {
        c->counters.refused++;
        return ERR_OVERLOADED;
    }
    enum err err = encode(f, c->last_id + 1, &frame);
    if (err != ERR_OK) {
        return err;
    }
    if (!run(c, now_ms)) {
        buf_done(&frame);
        c->counters.refused++;
        return ERR_UNAVAILABLE;
    }
    *r = (struct egress_request){.hooks = hooks,
                                 .id = ++c->last_id,
                                 .credit = EGRESS_CREDIT_BYTES,
                                 .frame_bytes = frame.len};
    c->request_bytes += r->frame_bytes;
    map_add(&c->requests, &r->node, hash_of_id(r->id));
    c->hooks->send(c->ctx, buf_slice(&frame));
    if (f->secrets.len > 0) {
        explicit_bzero(frame.data, frame.cap);
    }
    buf_done(&frame);
    return ERR_OK;
}

void egress_client_credit(struct egress_client *c, struct egress_request *r, uint64_t bytes)
{
    PRE(find(c, r->id) == r);

    struct buf frame = {0};
    uint64_t room = EGRESS_BYTES_MAX - r->credit;
    bytes = bytes < room ? bytes : room;
    if (bytes > 0 && c->is_running) { /* else egress_client_lost is about to end it */
        r->credit += bytes;
        egress_put_credit(&frame, r->id, bytes);
        send(c, &frame);
    }
}

void egress_client_cancel(struct egress_client *c, struct egress_request *r)
{
    PRE(find(c, r->id) == r);

    struct buf frame = {0};
    take_out(c, r);
    if (c->is_running) { /* else egress_client_lost is further up the stack */
        egress_put_cancel(&frame, r->id);
        send(c, &frame);
    }
}

/* Boxes */

/* What the process would not read is not sent: it would end of it. */
static bool is_read(const struct buf *frame)
{
    struct egress_frame read;
    return egress_frame_decode(slice_skip(buf_slice(frame), CHANNEL_HEAD_BYTES), &read) == ERR_OK;
}

static void wipe(struct buf *frame)
{
    if (frame->data != NULL) {
        explicit_bzero(frame->data, frame->cap);
    }
    buf_done(frame);
}

static void send_ca(struct egress_client *c, const struct egress_ca *ca)
{
    struct buf frame = {0};
    if (!c->has_ca) {
        egress_put_ca(&frame, ca);
        c->hooks->send(c->ctx, buf_slice(&frame));
        wipe(&frame);
        c->has_ca = true;
    }
}

enum err egress_client_box_open(struct egress_client *c, struct egress_box *b,
                                const struct egress_box_open *o, const struct egress_ca *ca,
                                const int fds[EGRESS_BOX_SOCKETS], uint64_t now_ms)
{
    PRE(b->id == 0);

    struct buf frame = {0};
    if (c->box_count >= EGRESS_BOXES_MAX) {
        return ERR_OVERLOADED;
    }
    egress_put_box_open(&frame, c->last_id + 1, o);
    enum err err = !is_read(&frame) ? ERR_BAD_REQUEST : !run(c, now_ms) ? ERR_UNAVAILABLE : ERR_OK;
    if (err == ERR_OK) {
        send_ca(c, ca);
        err = c->hooks->send_sockets(c->ctx, buf_slice(&frame), fds) ? ERR_OK : ERR_UNAVAILABLE;
    }
    wipe(&frame);
    if (err == ERR_OK) {
        b->id = ++c->last_id;
        list_init(&b->link);
        list_append(&c->boxes, &b->link);
        c->box_count++;
    }
    return err;
}

enum err egress_client_box_rules(struct egress_client *c, const struct egress_box *b,
                                 const struct egress_box_rules *r)
{
    struct buf frame = {0};
    egress_put_box_rules(&frame, b->id, r);
    bool good = is_read(&frame);
    if (good && b->id != 0) {
        c->hooks->send(c->ctx, buf_slice(&frame));
    }
    wipe(&frame);
    return good ? ERR_OK : ERR_BAD_REQUEST;
}

static void forget_box(struct egress_client *c, struct egress_box *b)
{
    list_remove(&b->link);
    b->id = 0;
    c->box_count--;
}

void egress_client_box_close(struct egress_client *c, struct egress_box *b)
{
    struct buf frame = {0};
    if (b->id != 0) {
        egress_put_box_close(&frame, b->id);
        send(c, &frame);
        forget_box(c, b);
    }
}

/* Frames */

static enum err on_hello(struct egress_client *c, uint32_t layers)
{
    /* One that is not locked down is not to see what strangers send. */
    if (c->is_greeted || (layers & EGRESS_SECCOMP) == 0) {
        return ERR_CORRUPT;
    }
    c->is_greeted = true;
    c->layers = layers;
    return ERR_OK;
}

static void on_record(struct egress_client *c, const struct egress_record *r)
{
    c->counters.requests++;
    c->counters.sent_bytes += r->sent_bytes;
    c->counters.received_bytes += r->received_bytes;
    if (slice_equal_str(r->code, err_info(ERR_EGRESS_DENIED)->code)) {
        c->counters.denied++;
    } else if (r->code.len > 0) {
        c->counters.failed++;
    }
    c->hooks->record(c->ctx, r);
}

static enum err on_head(struct egress_request *r, const struct egress_head *h)
{
    if (r->has_head) {
        return ERR_CORRUPT;
    }
    r->has_head = true;
    r->hooks->head(r, h);
    return ERR_OK;
}

static enum err on_chunk(struct egress_client *c, struct egress_request *r,
                         const struct egress_chunk *chunk)
{
    if (!r->has_head || chunk->bytes.len > r->credit) {
        return ERR_CORRUPT;
    }
    r->credit -= chunk->bytes.len;
    if (chunk->is_end) {
        take_out(c, r);
    }
    r->hooks->chunk(r, chunk->bytes, chunk->is_end);
    return ERR_OK;
}

static void on_fail(struct egress_client *c, struct egress_request *r, const struct egress_fail *f)
{
    take_out(c, r);
    r->hooks->fail(r, f);
}

static enum err on_frame(void *ctx, struct slice bytes)
{
    struct egress_client *c = ctx;
    struct egress_frame f;
    if (egress_frame_decode(bytes, &f) != ERR_OK || (!c->is_greeted && f.kind != EGRESS_HELLO) ||
        (f.kind != EGRESS_HELLO && (f.id == 0 || f.id > c->last_id))) {
        return ERR_CORRUPT;
    }
    struct egress_request *r = find(c, f.id); /* NULL: it was cancelled meanwhile */
    switch (f.kind) {
    case EGRESS_HELLO:
        return on_hello(c, f.layers);
    case EGRESS_RECORD:
        on_record(c, &f.record);
        return ERR_OK;
    case EGRESS_HEAD:
        return r != NULL ? on_head(r, &f.head) : ERR_OK;
    case EGRESS_CHUNK:
        return r != NULL ? on_chunk(c, r, &f.chunk) : ERR_OK;
    case EGRESS_FAIL:
        if (r != NULL) {
            on_fail(c, r, &f.fail);
        }
        return ERR_OK;
    case EGRESS_FETCH:
    case EGRESS_CREDIT:
    case EGRESS_CANCEL:
    case EGRESS_BOX_OPEN:
    case EGRESS_BOX_RULES:
    case EGRESS_BOX_CLOSE:
    case EGRESS_CA:
        return ERR_CORRUPT;
    }
    return ERR_CORRUPT;
}

enum err egress_client_feed(struct egress_client *c, struct slice bytes)
{
    PRE(c->is_running);

    return channel_inbox_feed(&c->inbox, bytes, on_frame, c);
}

/* Life */

void egress_client_lost(struct egress_client *c, uint64_t now_ms)
{
    /* Before a process has greeted it has seen nothing; after that nobody knows what it has sent. */
    const struct egress_fail fail =
        egress_fail_of(c->is_greeted ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE,
                       "The process that sends requests to the outside has ended.");
    if (!c->is_running) {
        return;
    }
    bool gave_way = c->is_greeted && c->requests.count == 0; /* as it does where files change */
    bool was_steady = now_ms >= c->started_ms + EGRESS_STEADY_MS;
    c->early_deaths = gave_way || was_steady ? 0 : c->early_deaths + 1;
    c->restart_ms = gave_way ? now_ms : now_ms + restart_delay_ms(c);
    c->is_running = false;
    c->is_greeted = false;
    c->has_ca = false;
    channel_inbox_done(&c->inbox);
    struct egress_box *b;
    while ((b = LIST_FIRST(&c->boxes, struct egress_box, link)) != NULL) {
        forget_box(c, b);
    }
    struct map_node *n;
    while ((n = map_first(&c->requests)) != NULL) { /* what is asked meanwhile is refused */
        on_fail(c, CONTAINER_OF(n, struct egress_request, node), &fail);
    }
    POST(c->requests.count == 0 && c->request_bytes == 0);
}

void egress_client_init(struct egress_client *c, const struct egress_client_hooks *hooks, void *ctx)
{
    *c = (struct egress_client){.hooks = hooks, .ctx = ctx};
    list_init(&c->boxes);
    channel_inbox_init(&c->inbox);
}

void egress_client_done(struct egress_client *c)
{
    PRE(!c->is_running && c->requests.count == 0);

    channel_inbox_done(&c->inbox);
    map_done(&c->requests);
}
