#include "actor/egress/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/egress/egress.h"
#include "actor/egress/field.h"
#include "actor/egress/pool.h"
#include "actor/egress_policy.h"
#include "base/invariant.h"
#include "base/mem.h"

enum { MESSAGE_BYTES = 512, HOST_BYTES = 300 };

/* It has so long for its head, and from then on without a byte that comes or is taken. */
void transfer_is_alive(struct transfer *t)
{
    heap_set(&t->egress->deadlines, &t->deadline, t->egress->now_ms + t->fetch.ms_max);
}

/* Records and failures */

static struct slice host_of(const struct target *t, char text[HOST_BYTES])
{
    (void)snprintf(text, HOST_BYTES, "%s:%u", t->host, t->port);
    return slice_of_str(text);
}

static uint64_t sent_bytes(const struct transfer *t)
{
    long head = 0;
    curl_off_t body = 0;
    if (t->easy != NULL) {
        (void)curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &head);
        (void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &body);
    }
    return (uint64_t)head + (uint64_t)body;
}

/* Once a hop, before it is stopped. */
static void record(struct transfer *t, struct slice code)
{
    char host[HOST_BYTES];
    struct buf names = {0};
    if (t->is_recorded || t->target.parts == NULL) {
        return;
    }
    t->is_recorded = true;
    injection_put_names(&t->injection, &names);
    egress_put_record(
        &t->egress->out, t->id,
        &(struct egress_record){.ns = t->fetch.ns,
                                .class = t->fetch.class,
                                .actor = t->fetch.actor,
                                .method = slice_of_str(t->hop.method),
                                .host = host_of(&t->target, host),
                                .path = slice_of_str(t->target.path),
                                .status = t->response.is_complete ? t->response.status : 0,
                                .sent_bytes = sent_bytes(t),
                                .received_bytes = t->received_bytes,
                                .ms = t->egress->now_ms - t->begun_ms,
                                .code = code,
                                .secrets = buf_slice(&names)});
    buf_done(&names);
}

static void free_transfer(struct transfer *t)
{
    struct egress *e = t->egress;
    transfer_stop_hop(t);
    if (t->pool != NULL) {
        pool_leave(t->pool);
    }
    map_remove(&e->transfers, &t->node);
    list_remove(&t->ready);
    heap_remove(&e->deadlines, &t->deadline);
    e->transfer_count--;
    e->request_bytes -= t->frame.len;
    target_done(&t->target);
    target_done(&t->next);
    response_done(&t->response);
    injection_done(&t->injection);
    scrubber_done(&t->scrubber);
    scrub_set_done(&t->scrub);
    inflater_free(t->inflater);
    buf_done(&t->waiting);
    if (t->fetch.secrets.len > 0) {
        explicit_bzero(t->frame.data, t->frame.len);
    }
    buf_done(&t->frame);
    t->magic = 0;
    mem_free(t);
}

static void fail_as(struct transfer *t, const struct egress_fail *f)
{
    record(t, f->code);
    egress_put_fail(&t->egress->out, t->id, f);
    free_transfer(t);
}

static void fail(struct transfer *t, enum err err, const char *message)
{
    struct egress_fail f = egress_fail_of(err, message);
    fail_as(t, &f);
}

/* What happens again whenever it is tried. */
static void fail_for_good(struct transfer *t, const char *message)
{
    struct egress_fail f = egress_fail_of(ERR_UNAVAILABLE, message);
    f.retryable = false;
    fail_as(t, &f);
}

static void deny(struct transfer *t, const char *why)
{
    char host[HOST_BYTES];
    char message[MESSAGE_BYTES];
    (void)host_of(&t->target, host);
    (void)snprintf(message, sizeof message, "%s %s", host, why);
    fail(t, ERR_EGRESS_DENIED, message);
}

/* Hops */

static const char private_sentence[] = "is a private address, which needs --allow-private-targets.";

static void begin_hop(struct transfer *t)
{
    const char *detail = NULL;
    t->begun_ms = t->egress->now_ms;
    t->is_recorded = false;
    if (!egress_list_allows(t->fetch.allow, slice_of_str(t->target.host), t->target.port,
                            t->fetch.any_port)) {
        deny(t, "is not on the allow list.");
        return;
    }
    if (!t->fetch.allow_private && target_is_private(&t->target)) {
        deny(t, private_sentence);
        return;
    }
    char text[INJECT_DETAIL_BYTES];
    injection_done(&t->injection);
    enum err err = injection_make(t->fetch.inject, t->fetch.secrets, slice_of_str(t->target.host),
                                  t->target.port, &t->injection, text);
    if (err != ERR_OK) {
        fail(t, err, text);
        return;
    }
    err = transfer_start_hop(t, &detail);
    if (err != ERR_OK) {
        fail(t, err, detail);
    }
}

static void follow(struct transfer *t)
{
    uint32_t status = t->response.status;
    bool is_same_origin = target_is_same_origin(&t->target, &t->next);
    record(t, (struct slice){0});
    transfer_stop_hop(t);
    if (hop_redirect(&t->hop, status, is_same_origin) != ERR_OK) {
        fail_for_good(t, "There were more than 20 redirects.");
        return;
    }
    target_done(&t->target);
    t->target = t->next;
    t->next = (struct target){0};
    response_done(&t->response);
    t->received_bytes = 0;
    t->asked = 0;
    t->opened = 0;
    t->refused = false;
    begin_hop(t);
}

static bool has_body(const struct transfer *t)
{
    return strcmp(t->hop.method, "HEAD") != 0 && t->response.status != 204 &&
           t->response.status != 304;
}

static bool is_too_long(const struct transfer *t)
{
    struct slice text;
    char digits[24];
    if (!has_body(t) || !response_field(&t->response, "content-length", &text) ||
        text.len >= sizeof digits) {
        return false;
    }
    memcpy(digits, text.data, text.len);
    digits[text.len] = '\0';
    return strtoull(digits, NULL, 10) > t->fetch.bytes_max;
}

/* A body of a host that was sent a secret, in which that could not be found again. */
static bool is_opaque(const struct transfer *t)
{
    struct slice encoding;
    if (t->injection.secret_count == 0 || !has_body(t) ||
        !response_field(&t->response, "content-encoding", &encoding) ||
        field_is_named(encoding, "identity")) {
        return false;
    }
    struct inflater *i = inflater_new(encoding);
    inflater_free(i);
    return i == NULL;
}

/* Of what a server says in its head, and where it has led to. */
static void scrub_head(struct transfer *t)
{
    if (!scrub_set_is_empty(&t->scrub)) {
        scrub(&t->scrub, t->response.lines.data, t->response.lines.len);
        scrub(&t->scrub, t->response.text.data, t->response.text.len);
        scrub(&t->scrub, (uint8_t *)t->target.url, strlen(t->target.url));
    }
}

static void answer(struct transfer *t)
{
    struct slice encoding;
    struct buf fields = {0};
    struct buf text = {0};
    if (has_body(t) && response_field(&t->response, "content-encoding", &encoding)) {
        t->inflater = inflater_new(encoding);
    }
    scrub_head(t);
    response_put_fields(&t->response, t->inflater != NULL, &fields);
    field_append_text(&text, buf_slice(&t->response.text));
    egress_put_head(&t->egress->out, t->id,
                    &(struct egress_head){.status = t->response.status,
                                          .text = buf_slice(&text),
                                          .fields = buf_slice(&fields),
                                          .url = slice_of_str(t->target.url),
                                          .redirected = t->hop.redirects > 0});
    t->state = TRANSFER_ANSWERING;
    transfer_is_alive(t);
    buf_done(&fields);
    buf_done(&text);
}

enum err transfer_on_head(struct transfer *t, const char **ret_detail)
{
    struct slice location;
    if (hop_is_redirect(t->response.status) && t->fetch.redirect != EGRESS_MANUAL &&
        response_field(&t->response, "location", &location)) {
        if (t->fetch.redirect == EGRESS_REFUSE) {
            *ret_detail = "The response is a redirect, and these are errors.";
            return ERR_UNAVAILABLE;
        }
        return target_redirect(&t->target, location, &t->next, ret_detail) == ERR_OK
                   ? ERR_OK
                   : ERR_UNAVAILABLE;
    }
    if (is_opaque(t)) {
        *ret_detail =
            "The host was sent a secret, and answers in an encoding that cannot be looked "
            "through.";
        return ERR_UNAVAILABLE;
    }
    if (is_too_long(t)) {
        *ret_detail = "The response is too large.";
        return ERR_TOO_LARGE;
    }
    answer(t);
    return ERR_OK;
}

static bool is_of_tls(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CIPHER ||
           code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CACERT_BADFILE;
}

/* libcurl has given up. Before the request was put on a connection nothing can have happened. */
static void fail_with_code(struct transfer *t, CURLcode code)
{
    char message[MESSAGE_BYTES];
    char host[HOST_BYTES];
    if (t->refused && t->opened == 0) {
        deny(t, private_sentence);
        return;
    }
    (void)host_of(&t->target, host);
    (void)snprintf(message, sizeof message, "%s: %s.", host, curl_easy_strerror(code));
    if (is_of_tls(code)) {
        fail_for_good(t, message);
    } else if (code == CURLE_OUT_OF_MEMORY) {
        fail(t, ERR_OVERLOADED, message);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        fail(t, t->asked > 0 ? ERR_TIMEOUT_IN_DOUBT : ERR_TIMEOUT, message);
    } else {
        fail(t, t->asked > 0 ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, message);
    }
}

void transfer_on_end(struct pool_user *user, CURLcode code)
{
    struct transfer *t = CONTAINER_OF(user, struct transfer, user);
    PRE(t->magic == TRANSFER_MAGIC);

    if (t->err == ERR_OUTCOME_UNKNOWN || t->err == ERR_TOO_LARGE) {
        fail(t, t->err, t->detail);
    } else if (t->err != ERR_OK) {
        fail_for_good(t, t->detail);
    } else if (t->next.parts != NULL && (code == CURLE_OK || code == CURLE_WRITE_ERROR)) {
        follow(t);
    } else if (code != CURLE_OK) {
        fail_with_code(t, code);
    } else if (t->state != TRANSFER_ANSWERING) {
        fail_for_good(t, "The response has no head.");
    } else {
        record(t, (struct slice){0});
        transfer_stop_hop(t);
        t->state = TRANSFER_DRAINING;
        transfer_make_ready(t);
    }
}

/* The body */

void transfer_make_ready(struct transfer *t)
{
    list_remove(&t->ready);
    list_append(&t->egress->ready, &t->ready);
}

static struct slice waiting_of(const struct transfer *t)
{
    return slice_skip(buf_slice(&t->waiting), t->waiting_at);
}

/* Up to `room` bytes of the body as the worker is told it. */
static enum err take(struct transfer *t, uint8_t *out, size_t room, size_t *ret_len)
{
    struct slice in = waiting_of(t);
    enum err err = ERR_OK;
    *ret_len = 0;
    if (t->inflater != NULL && room > 0) {
        err = inflater_take(t->inflater, &in, out, room, ret_len);
    } else if (in.len > 0 && room > 0) {
        *ret_len = in.len < room ? in.len : room;
        memcpy(out, in.data, *ret_len);
        in = slice_skip(in, *ret_len);
    }
    t->waiting_at = t->waiting.len - in.len;
    if (in.len == 0) {
        buf_clear(&t->waiting);
        t->waiting_at = 0;
    }
    return err;
}

/* All that came has been told; `is_short`: there was room for more. */
static bool is_drained(const struct transfer *t, bool is_short)
{
    return t->state == TRANSFER_DRAINING && waiting_of(t).len == 0 &&
           (t->inflater == NULL || is_short || inflater_is_whole(t->inflater));
}

static void read_on(struct transfer *t)
{
    if (t->is_paused && waiting_of(t).len == 0) {
        t->is_paused = false;
        (void)curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
}

static bool may_tell_more(const struct transfer *t, bool is_short)
{
    return t->credit > 0 && !is_short;
}

void transfer_pump(struct transfer *t)
{
    uint8_t bytes[EGRESS_CHUNK_BYTES_MAX];
    size_t len = 0;
    enum err err = ERR_OK;
    list_remove(&t->ready);
    if (t->state == TRANSFER_ASKING) {
        return;
    }
    size_t room = t->credit < sizeof bytes ? (size_t)t->credit : sizeof bytes;
    size_t held = t->scrubber.held.len;
    if (held >= room && held > 0) {
        return; /* what is kept back needs more credit */
    }
    held = scrubber_begin(&t->scrubber, bytes);
    err = take(t, bytes + held, room - held, &len);
    bool is_short = len < room - held;
    bool is_end = is_drained(t, is_short);
    len += held;
    if (!scrub_set_is_empty(&t->scrub)) {
        len = scrubber_end(&t->scrubber, bytes, len, is_end);
    }
    t->told_bytes += len;
    t->credit -= len;
    if (t->told_bytes > t->fetch.bytes_max) {
        fail(t, ERR_TOO_LARGE, "The response is too large.");
        return;
    }
    if (err != ERR_OK || (is_end && t->inflater != NULL && !inflater_is_whole(t->inflater))) {
        fail_for_good(t, "The body is not what its Content-Encoding says.");
        return;
    }
    if (len > 0 || is_end) {
        egress_put_chunk(&t->egress->out, t->id, slice_of(bytes, len), is_end);
        transfer_is_alive(t);
    }
    if (is_end) {
        free_transfer(t);
        return;
    }
    if (may_tell_more(t, is_short)) {
        transfer_make_ready(t);
    }
    read_on(t);
}

void transfer_credit(struct transfer *t, uint64_t bytes)
{
    t->credit = t->credit + bytes < EGRESS_BYTES_MAX ? t->credit + bytes : EGRESS_BYTES_MAX;
    transfer_make_ready(t);
}

/* Begin and end */

static void refuse(struct egress *e, uint64_t id, enum err err, const char *message)
{
    struct egress_fail f = egress_fail_of(err, message);
    egress_put_fail(&e->out, id, &f);
}

static uint64_t hash_of_id(uint64_t id)
{
    return hash_of(slice_of(&id, sizeof id));
}

struct transfer *transfer_find(const struct egress *e, uint64_t id)
{
    for (struct map_node *n = map_find(&e->transfers, hash_of_id(id)); n != NULL;
         n = map_next_same(n)) {
        struct transfer *t = CONTAINER_OF(n, struct transfer, node);
        if (t->id == id) {
            return t;
        }
    }
    return NULL;
}

static struct transfer *new_transfer(struct egress *e, struct slice frame, uint64_t id)
{
    struct egress_frame f;
    struct transfer *t = MEM_NEW(struct transfer);
    t->magic = TRANSFER_MAGIC;
    t->egress = e;
    t->id = id;
    t->credit = EGRESS_CREDIT_BYTES;
    buf_append_slice(&t->frame, frame);
    enum err err = egress_frame_decode(buf_slice(&t->frame), &f);
    INVARIANT(err == ERR_OK); /* it was read once */
    t->fetch = f.fetch;
    scrub_set_init(&t->scrub, t->fetch.secrets);
    t->scrubber.set = &t->scrub;
    list_init(&t->ready);
    response_init(&t->response);
    map_add(&e->transfers, &t->node, hash_of_id(id));
    transfer_is_alive(t);
    e->transfer_count++;
    e->request_bytes += t->frame.len;
    return t;
}

static bool has_room(const struct egress *e, struct slice frame)
{
    return e->transfer_count < EGRESS_TRANSFERS_MAX &&
           (e->request_bytes == 0 || e->request_bytes + frame.len <= EGRESS_REQUEST_BYTES_MAX);
}

void transfer_begin(struct egress *e, struct slice frame, const struct egress_frame *f)
{
    const char *detail = NULL;
    if (!has_room(e, frame)) {
        refuse(e, f->id, ERR_OVERLOADED, "Too many requests to the outside are under way.");
        return;
    }
    struct pool *p = pool_of(e, f->fetch.ns);
    if (p == NULL || p->transfer_count >= EGRESS_TRANSFERS_NS_MAX) {
        refuse(e, f->id, ERR_OVERLOADED,
               "Too many requests of this namespace to the outside are under way.");
        return;
    }
    struct transfer *t = new_transfer(e, frame, f->id);
    t->pool = p;
    pool_enter(p);
    enum err err = hop_init(&t->hop, t->fetch.method, &detail);
    if (err == ERR_OK) {
        err = target_parse(t->fetch.url, &t->target, &detail);
    }
    if (err == ERR_OK && t->fetch.rate > 0 && !rate_take(&p->requests, t->fetch.rate, e->now_ms)) {
        err = ERR_RATE_LIMITED;
        detail = "The namespace asks more often than its rules let it.";
    }
    if (err == ERR_OK) {
        begin_hop(t);
    } else {
        fail(t, err, detail);
    }
}

void transfer_cancel(struct transfer *t)
{
    record(t, SLICE("cancelled"));
    free_transfer(t);
}

void transfer_expire(struct transfer *t)
{
    fail(t, t->asked > 0 ? ERR_TIMEOUT_IN_DOUBT : ERR_TIMEOUT,
         t->state == TRANSFER_ASKING ? "The request took too long."
                                     : "The response's body stood still for too long.");
}

void transfers_close(struct egress *e)
{
    struct map_node *n;
    while ((n = map_first(&e->transfers)) != NULL) {
        free_transfer(CONTAINER_OF(n, struct transfer, node));
    }
}
