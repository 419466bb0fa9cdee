#include "actor/sandbox_probe.h"

#include "actor/sandbox_machine.h"
#include "actor/sandbox_tcp.h"
#include "base/mem.h"
#include "rpc/http1_reply.h"

struct probe {
    struct machine *machine;
    struct machine_connect connect;
    bool is_connecting;
    struct tcp *tcp;
    struct http1_reply *reply;
    struct buf request;
    int status;
    void (*done)(void *ctx, int status);
    void *ctx;
};

void probe_free(struct probe *p)
{
    if (p == NULL) {
        return;
    }
    if (p->is_connecting) {
        machine_connect_forget(&p->connect);
    }
    tcp_free(p->tcp);
    http1_reply_free(p->reply);
    buf_done(&p->request);
    mem_free(p);
}

static void finish(struct probe *p)
{
    void (*done)(void *ctx, int status) = p->done;
    void *ctx = p->ctx;
    int status = p->status;
    probe_free(p);
    done(ctx, status);
}

static void on_head(void *ctx, int status, const struct http_header *fields, size_t count)
{
    struct probe *p = ctx;
    (void)fields;
    (void)count;
    p->status = status;
}

static void on_body(void *ctx, struct slice bytes)
{
    (void)ctx;
    (void)bytes;
}

static void on_end(void *ctx)
{
    (void)ctx;
}

static const struct http1_reply_hooks reply_hooks = {
    .head = on_head, .body = on_body, .end = on_end};

/* The head is all that is wanted: the rest is not waited for. */
static void on_input(void *ctx, struct slice bytes)
{
    struct probe *p = ctx;
    size_t used;
    enum err err = http1_reply_recv(p->reply, bytes, &used);
    if (err != ERR_OK || p->status != 0) {
        finish(p);
    }
}

static void on_ended(void *ctx)
{
    finish(ctx);
}

static void on_writable(void *ctx)
{
    (void)ctx;
}

static const struct tcp_hooks tcp_hooks = {
    .input = on_input, .ended = on_ended, .writable = on_writable};

static void on_connected(struct machine_connect *c, int error, int fd)
{
    struct probe *p = CONTAINER_OF(c, struct probe, connect);
    p->is_connecting = false;
    p->tcp = error == 0 ? tcp_new(p->machine, fd, &tcp_hooks, p) : NULL;
    if (p->tcp == NULL) {
        finish(p);
        return;
    }
    tcp_write(p->tcp, buf_slice(&p->request));
}

struct probe *probe_new(struct machine *m, uint16_t port, struct slice path,
                        void (*done)(void *ctx, int status), void *ctx)
{
    struct probe *p = MEM_NEW(struct probe);
    p->machine = m;
    p->done = done;
    p->ctx = ctx;
    p->connect.done = on_connected;
    p->reply = http1_reply_new(false, &reply_hooks, p);
    buf_append_str(&p->request, "GET ");
    buf_append_slice(&p->request, path);
    buf_printf(&p->request,
               " HTTP/1.1\r\nHost: localhost:%u\r\nAccept: */*\r\nConnection: close\r\n\r\n",
               (unsigned)port);
    if (machine_connect(m, &p->connect, port) != ERR_OK) {
        probe_free(p);
        return NULL;
    }
    p->is_connecting = true;
    return p;
}
