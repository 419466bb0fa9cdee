#include "node/broker.h"

#include <string.h>
#include <unistd.h>

#include "actor/egress_client_uv.h"
#include "actor/egress_rules.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/seal.h"
#include "node/node.h"
#include "node/record.h"
#include "node/secret_values.h"
#include "node/worker.h"
#include "rpc/tls_mint.h"
#include "rpc/value.h"

enum { RETRY_MS = 100 };

struct broker_box {
    struct list link;
    struct broker *broker;
    struct egress_box box;
    struct bytes *ns;
    struct bytes *class;
    struct bytes *actor;
    struct bytes *sandbox;
    struct bytes *rules; /* NULL: none */
    int fds[EGRESS_BOX_SOCKETS];
};

/* Node's own list of authorities, in its way; the others read the system's where they are told to. */
const char *const broker_environment[] = {"SSL_CERT_FILE=" BROKER_SYSTEM_FILE,
                                          "NODE_EXTRA_CA_CERTS=" BROKER_CA_FILE,
                                          "REQUESTS_CA_BUNDLE=" BROKER_SYSTEM_FILE,
                                          "PIP_CERT=" BROKER_SYSTEM_FILE,
                                          "CURL_CA_BUNDLE=" BROKER_SYSTEM_FILE,
                                          "GIT_SSL_CAINFO=" BROKER_SYSTEM_FILE,
                                          "CARGO_HTTP_CAINFO=" BROKER_SYSTEM_FILE,
                                          "DENO_CERT=" BROKER_CA_FILE,
                                          "AWS_CA_BUNDLE=" BROKER_SYSTEM_FILE,
                                          "NIX_SSL_CERT_FILE=" BROKER_SYSTEM_FILE,
                                          NULL};

/* The certificate authority */

enum err decide_egress_ca(struct order *o, const struct cluster_view *v, struct records_changes *c)
{
    struct buf cert = {0};
    struct buf key = {0};
    struct buf sealed = {0};
    struct buf record = {0};
    o->status = 204;
    if (v->egress_ca_cert != NULL) {
        return ERR_OK; /* another node has had it made */
    }
    tls_ca_make(o->wall_ms, &cert, &key);
    seal_close(o->secret_key, SLICE(EGRESS_CA_RECORD), buf_slice(&key), &sealed);
    value_put_map(&record, 2);
    value_put_text(&record, "cert");
    value_put_bin(&record, buf_slice(&cert));
    value_put_text(&record, "sealed");
    value_put_bin(&record, buf_slice(&sealed));
    records_put(c, EGRESS_CA_RECORD, buf_slice(&record));
    seal_wipe(&key);
    buf_done(&cert);
    buf_done(&sealed);
    buf_done(&record);
    return ERR_OK;
}

struct slice broker_ca_pem(const struct broker *b)
{
    return bytes_slice(worker_view(b->worker)->egress_ca_cert);
}

static void begin_on_worker_0(struct gather_part *p)
{
    struct broker *b = CONTAINER_OF(p, struct broker, part);
    orders_submit(&p->worker->orders, &b->run, ORDER_TIMEOUT_MS);
}

static void on_decided(struct order_run *r)
{
    gather_part_done(&CONTAINER_OF(r, struct broker, run)->part, ERR_OK);
}

static void on_gathered(struct gather *g)
{
    struct broker *b = CONTAINER_OF(g, struct broker, gather);
    if (b->order.error.err != ERR_OK) {
        LOG(LOG_WARN, "egress_ca_not_made", LOG_STR("why", err_info(b->order.error.err)->name));
    }
    order_done(&b->order);
    b->asks_for_ca = false;
    b->retry_ms = clock_mono_ms() + RETRY_MS; /* until the view shows it */
}

void broker_need_ca(struct broker *b)
{
    if (b->asks_for_ca || b->is_stopping || broker_ca_pem(b).len > 0 ||
        clock_mono_ms() < b->retry_ms) {
        return;
    }
    b->asks_for_ca = true;
    order_init(&b->order, ORDER_EGRESS_CA);
    b->run = (struct order_run){.order = &b->order, .done = on_decided};
    gather_init(&b->gather, b->worker, begin_on_worker_0, on_gathered);
    gather_ask(&b->gather, &b->part, &b->worker->node->workers[0]);
    gather_asked(&b->gather);
}

/* Boxes */

static struct egress_uv *egress_of(const struct broker *b)
{
    return &b->worker->code.egress;
}

/* With the secrets that the rules name; wipe what is in `secrets`. */
static struct egress_box_rules rules_of(const struct broker_box *x, struct buf *secrets)
{
    const struct node *n = x->broker->worker->node;
    struct slice rules = bytes_slice(x->rules);
    secret_values_put(n, worker_view(x->broker->worker), bytes_slice(x->ns), rules, secrets);
    return (struct egress_box_rules){.rules = rules,
                                     .secrets = buf_slice(secrets),
                                     .allow_private = n->options->allow_private_targets};
}

static void tell_rules(struct broker_box *x)
{
    struct buf secrets = {0};
    const struct egress_box_rules rules = rules_of(x, &secrets);
    enum err err = egress_client_box_rules(&egress_of(x->broker)->client, &x->box, &rules);
    INVARIANT(err == ERR_OK); /* they were checked */
    seal_wipe(&secrets);
}

static bool open_ca(const struct broker *b, struct buf *ret_key)
{
    uint8_t key[SEAL_KEY_BYTES];
    secret_key_of(b->worker->node->data.address_key, key);
    enum err err = seal_open(key, SLICE(EGRESS_CA_RECORD),
                             bytes_slice(worker_view(b->worker)->egress_ca_sealed), ret_key);
    explicit_bzero(key, sizeof key);
    return err == ERR_OK;
}

static void try_open(struct broker_box *x, uint64_t now_ms)
{
    struct broker *b = x->broker;
    struct buf key = {0};
    struct buf secrets = {0};
    const struct egress_box_open o = {.ns = bytes_slice(x->ns),
                                      .class = bytes_slice(x->class),
                                      .actor = bytes_slice(x->actor),
                                      .sandbox = bytes_slice(x->sandbox),
                                      .rules = rules_of(x, &secrets)};
    enum err err = ERR_UNAVAILABLE;
    if (open_ca(b, &key)) {
        const struct egress_ca ca = {.cert = broker_ca_pem(b), .key = buf_slice(&key)};
        err = egress_client_box_open(&egress_of(b)->client, &x->box, &o, &ca, x->fds, now_ms);
    }
    if (err != ERR_OK) {
        b->retry_ms = now_ms + RETRY_MS;
    }
    seal_wipe(&key);
    seal_wipe(&secrets);
}

enum err broker_set_rules(struct broker_box *x, struct slice rules, const char **ret_detail)
{
    enum err err = egress_rules_check(rules, ret_detail);
    if (err == ERR_OK) {
        bytes_unref(x->rules);
        x->rules = rules.len > 0 ? bytes_new(rules) : NULL;
        tell_rules(x);
    }
    return err;
}

enum err broker_open(struct broker *b, const struct broker_who *who, struct slice rules,
                     const int fds[EGRESS_BOX_SOCKETS], struct broker_box **ret_box,
                     const char **ret_detail)
{
    enum err err = egress_rules_check(rules, ret_detail);
    if (err == ERR_OK && b->is_stopping) {
        *ret_detail = "the node is stopping";
        err = ERR_UNAVAILABLE;
    }
    if (err != ERR_OK) {
        for (size_t i = 0; i < EGRESS_BOX_SOCKETS; i++) {
            (void)close(fds[i]);
        }
        return err;
    }
    struct broker_box *x = MEM_NEW(struct broker_box);
    x->broker = b;
    x->ns = bytes_new(who->ns);
    x->class = bytes_new(who->class);
    x->actor = bytes_new(who->actor);
    x->sandbox = bytes_new(who->sandbox);
    x->rules = rules.len > 0 ? bytes_new(rules) : NULL;
    memcpy(x->fds, fds, sizeof x->fds);
    list_init(&x->link);
    list_init(&x->box.link);
    list_append(&b->boxes, &x->link);
    broker_tick(b, clock_mono_ms());
    *ret_box = x;
    return ERR_OK;
}

void broker_close(struct broker_box *x)
{
    egress_client_box_close(&egress_of(x->broker)->client, &x->box);
    list_remove(&x->link);
    for (size_t i = 0; i < EGRESS_BOX_SOCKETS; i++) {
        (void)close(x->fds[i]);
    }
    bytes_unref(x->ns);
    bytes_unref(x->class);
    bytes_unref(x->actor);
    bytes_unref(x->sandbox);
    bytes_unref(x->rules);
    mem_free(x);
}

/* Time and life */

static bool has_waiting(const struct broker *b)
{
    LIST_FOREACH (link, &b->boxes) {
        if (LIST_ENTRY(link, struct broker_box, link)->box.id == 0) {
            return true;
        }
    }
    return false;
}

static void tell_all_rules(struct broker *b)
{
    LIST_FOREACH (link, &b->boxes) {
        struct broker_box *x = LIST_ENTRY(link, struct broker_box, link);
        if (x->box.id != 0 && egress_rules_inject(bytes_slice(x->rules)).len > 0) {
            tell_rules(x);
        }
    }
}

void broker_tick(struct broker *b, uint64_t now_ms)
{
    if (list_is_empty(&b->boxes)) {
        return;
    }
    if (worker_view(b->worker) != NULL && b->view_number != b->worker->view_number) {
        b->view_number = b->worker->view_number;
        tell_all_rules(b);
    }
    if (now_ms < b->retry_ms || !has_waiting(b)) {
        return;
    }
    if (broker_ca_pem(b).len == 0) {
        broker_need_ca(b);
        return;
    }
    LIST_FOREACH (link, &b->boxes) {
        struct broker_box *x = LIST_ENTRY(link, struct broker_box, link);
        if (x->box.id == 0) {
            try_open(x, now_ms);
        }
    }
}

uint64_t broker_next_ms(const struct broker *b)
{
    return has_waiting(b) && !b->asks_for_ca ? b->retry_ms : UINT64_MAX;
}

void broker_init(struct broker *b, struct worker *w)
{
    *b = (struct broker){.worker = w};
    list_init(&b->boxes);
}

void broker_stop(struct broker *b)
{
    b->is_stopping = true;
}

/* Those whose owners have not closed them. */
void broker_done(struct broker *b)
{
    while (!list_is_empty(&b->boxes)) {
        broker_close(LIST_FIRST(&b->boxes, struct broker_box, link));
    }
}

bool broker_is_idle(const struct broker *b)
{
    return !b->asks_for_ca;
}
