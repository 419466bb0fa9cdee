#include "node/intake.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "node/callee.h"
#include "node/conn_uv.h"
#include "node/worker.h"

/* JSON of this length takes some 2 ms. */
enum { BODY_BYTES_AT_ONCE = 64 * 1024 };

static enum err decode(const struct http_request *h, const struct intake *in,
                       const struct cluster_view *view, struct request **ret_request,
                       uint32_t *ret_timeout_ms, struct decode_error *ret_error)
{
    enum err err = decode_timeout(h, ret_timeout_ms, ret_error);
    return err != ERR_OK ? err
                         : decode_request(h, &in->route, in->query, view, ret_request, ret_error);
}

/* One that is on the sideline. Its client may go away meanwhile, and the exchange with its slices: it
 * has a copy of the header section, and a reference on the body. */
struct late {
    struct callee callee;
    struct sidework work;
    struct intake in; /* x NULL: the client went away */
    intake_cb cb;
    struct cluster_view *view; /* that there was when it came */
    struct http_request request;
    struct buf text; /* what the slices of `request` and `in` point into */
    enum err err;
    struct request *decoded;
    uint32_t timeout_ms;
    struct decode_error error;
};

static struct slice keep(struct buf *text, struct slice s)
{
    size_t at = text->len;
    buf_append_slice(text, s);
    return slice_of(text->data + at, s.len);
}

static size_t text_bytes(const struct http_request *h)
{
    size_t bytes = h->method.len + h->target.len + h->authority.len;
    for (size_t i = 0; i < h->header_count; i++) {
        bytes += h->headers[i].name.len + h->headers[i].value.len;
    }
    return bytes;
}

/* The same place in the copy of the target. */
static struct slice moved(struct slice part, struct slice target, struct slice copy)
{
    if (part.len == 0) {
        return (struct slice){0};
    }
    INVARIANT(part.data >= target.data && part.data + part.len <= target.data + target.len);
    return slice_of(copy.data + (part.data - target.data), part.len);
}

static void copy_request(struct late *l, const struct http_request *h)
{
    struct http_header *headers = mem_alloc((h->header_count + 1) * sizeof *headers);
    buf_reserve(&l->text, text_bytes(h) + 1); /* so that it does not move */
    for (size_t i = 0; i < h->header_count; i++) {
        headers[i].name = keep(&l->text, h->headers[i].name);
        headers[i].value = keep(&l->text, h->headers[i].value);
    }
    l->request = (struct http_request){.method = keep(&l->text, h->method),
                                       .target = keep(&l->text, h->target),
                                       .authority = keep(&l->text, h->authority),
                                       .headers = headers,
                                       .header_count = h->header_count,
                                       .body = bytes_ref(h->body),
                                       .is_secure = h->is_secure};
    struct intake *in = &l->in;
    for (size_t i = 0; i < in->route.segment_count; i++) {
        in->route.segments[i] = moved(in->route.segments[i], h->target, l->request.target);
    }
    in->query = moved(in->query, h->target, l->request.target);
}

static void late_free(struct late *l)
{
    request_free(l->decoded);
    cluster_view_unref(l->view);
    bytes_unref(l->request.body);
    mem_free((void *)(uintptr_t)l->request.headers);
    buf_done(&l->text);
    mem_free(l);
}

static void decode_on_thread(struct sidework *work)
{
    struct late *l = CONTAINER_OF(work, struct late, work);
    l->err = decode(&l->request, &l->in, l->view, &l->decoded, &l->timeout_ms, &l->error);
}

static void is_decoded(struct sidework *work)
{
    struct late *l = CONTAINER_OF(work, struct late, work);
    if (l->in.x != NULL) {
        struct request *r = l->decoded;
        l->decoded = NULL;
        http_exchange_set_user(l->in.x, NULL);
        l->cb(&l->in, l->err, r, l->timeout_ms, &l->error);
    }
    late_free(l);
}

static void on_cancel(struct callee *callee)
{
    struct late *l = CONTAINER_OF(callee, struct late, callee);
    l->in.x = NULL;
    if (sideline_withdraw(&l->work)) {
        late_free(l);
    }
}

static void begin_late(const struct intake *in, const struct http_request *h, intake_cb cb)
{
    struct late *l = MEM_NEW(struct late);
    l->in = *in;
    l->cb = cb;
    l->view = cluster_view_ref(in->worker->view);
    copy_request(l, h);
    l->callee.cancel = on_cancel;
    l->work.run_on_thread = decode_on_thread;
    l->work.done = is_decoded;
    http_exchange_set_user(in->x, &l->callee);
    sideline_submit(&in->worker->sideline, &l->work, conn_uv_sidework(in->x));
}

void intake_begin(const struct intake *in, intake_cb cb)
{
    const struct http_request *h = http_exchange_request(in->x);
    if (bytes_slice(h->body).len > BODY_BYTES_AT_ONCE) {
        begin_late(in, h, cb);
        return;
    }
    struct request *r = NULL;
    uint32_t timeout_ms = 0;
    struct decode_error error;
    enum err err = decode(h, in, worker_view(in->worker), &r, &timeout_ms, &error);
    cb(in, err, r, timeout_ms, &error);
}
