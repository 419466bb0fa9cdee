/* One hop's request as libcurl wants it, and what libcurl says of it. Callbacks end nothing: they note what is
 * wrong and stop the hop, and transfer_on_end finds it. */
#include <string.h>
#include <sys/socket.h>

#include "actor/egress/egress.h"
#include "actor/egress/field.h"
#include "actor/egress/pool.h"
#include "actor/egress/transfer.h"
#include "base/invariant.h"
#include "rpc/value.h"
#include "rpc/webhook_url.h"

/* Callbacks */

static void note(struct transfer *t, enum err err, const char *detail)
{
    if (t->err == ERR_OK) {
        t->err = err;
        t->detail = detail;
    }
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    OBJ_CAST(transfer, user, TRANSFER_MAGIC);
    size_t len = size * count;
    const char *detail = NULL;
    bool was_complete = transfer->response.is_complete;
    enum err err = response_line(&transfer->response, slice_of(data, len), &detail);
    if (err == ERR_OK && !was_complete && transfer->response.is_complete) {
        err = transfer_on_head(transfer, &detail);
    }
    if (err != ERR_OK) {
        note(transfer, err, detail);
        return 0;
    }
    return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    OBJ_CAST(transfer, user, TRANSFER_MAGIC);
    size_t len = size * count;
    if (transfer->next.parts != NULL) {
        transfer->received_bytes += len;
        return transfer->received_bytes > TRANSFER_REDIRECT_BODY_BYTES_MAX ? 0 : len;
    }
    if (transfer->waiting.len - transfer->waiting_at >= TRANSFER_WAITING_BYTES_MAX) {
        transfer->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    transfer->received_bytes += len;
    buf_append(&transfer->waiting, data, len);
    transfer_is_alive(transfer);
    transfer_make_ready(transfer);
    return len;
}

static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    OBJ_CAST(transfer, user, TRANSFER_MAGIC);
    (void)purpose;
    if (!transfer->fetch.allow_private && address_is_private(&address->addr)) {
        transfer->refused = true;
        return CURL_SOCKET_BAD;
    }
    transfer->opened++;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* A request goes out on a connection. Its peer was checked when it was opened; it is once more, for one that
 * was kept. libcurl asks again by itself where a kept connection ends without an answer: not what may have
 * had an effect. */
static int on_request(void *user, char *peer, char *self, int peer_port, int self_port)
{
    OBJ_CAST(transfer, user, TRANSFER_MAGIC);
    (void)self;
    (void)peer_port;
    (void)self_port;
    if (!transfer->fetch.allow_private && address_text_is_private(peer)) {
        transfer->refused = true;
        return CURL_PREREQFUNC_ABORT;
    }
    if (transfer->asked++ > 0 && !hop_is_idempotent(&transfer->hop)) {
        note(transfer, ERR_OUTCOME_UNKNOWN, "The connection ended before there was an answer.");
        return CURL_PREREQFUNC_ABORT;
    }
    return CURL_PREREQFUNC_OK;
}

/* Fields */

static bool is_sent(const struct transfer *t, struct slice name)
{
    bool hides = t->injection.secret_count > 0 && field_is_named(name, "accept-encoding");
    return !hides && !injection_has(&t->injection, name) && !field_is_ours(name) &&
           (t->hop.sends_credentials || !field_is_credential(name)) &&
           (t->hop.sends_body || !field_is_of_body(name));
}

static enum err append_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    *list = longer != NULL ? longer : *list;
    return longer != NULL ? ERR_OK : ERR_NO_MEMORY;
}

/* What libcurl would add by itself, where the request does not say it. */
static enum err append_defaults(struct curl_slist **list, bool has_type, bool has_encoding,
                                bool has_agent, bool is_looked_through)
{
    enum err err = append_line(list, "Expect:");
    if (err == ERR_OK && !has_type) {
        err = append_line(list, "Content-Type:");
    }
    if (err == ERR_OK && !has_encoding) {
        err = append_line(list, is_looked_through ? "Accept-Encoding: identity"
                                                  : "Accept-Encoding: " INFLATER_ENCODINGS);
    }
    if (err == ERR_OK && !has_agent) {
        err = append_line(list, "User-Agent: dormouse");
    }
    return err;
}

static enum err make_fields(struct transfer *t, struct curl_slist **list, const char **ret_detail)
{
    struct slice item;
    struct slice doc;
    struct slice name;
    struct slice value;
    struct buf line = {0};
    bool has_type = false;
    bool has_encoding = false;
    bool has_agent = false;
    size_t bytes = 0;
    enum err err = ERR_OK;
    for (struct value_iter it = value_items(t->fetch.fields);
         err == ERR_OK && value_next(&it, &item);) {
        struct value_iter pair = value_items(item);
        bool is_pair = value_next(&pair, &doc) && value_get_str(doc, &name) &&
                       value_next(&pair, &doc) && value_get_str(doc, &value);
        INVARIANT(is_pair); /* the frame was checked */
        buf_clear(&line);
        err = field_put_line(&line, name, value, ret_detail);
        bytes += line.len;
        if (err == ERR_OK && bytes > EGRESS_FIELD_BYTES_MAX) {
            *ret_detail = "The headers of the request are too large.";
            err = ERR_TOO_LARGE;
        }
        if (err == ERR_OK && is_sent(t, name)) {
            has_type = has_type || field_is_named(name, "content-type");
            has_encoding = has_encoding || field_is_named(name, "accept-encoding");
            has_agent = has_agent || field_is_named(name, "user-agent");
            err = append_line(list, (const char *)line.data);
        }
    }
    buf_done(&line);
    for (const char *at = NULL;
         err == ERR_OK && (at = injection_next(&t->injection, at)) != NULL;) {
        err = append_line(list, at);
        has_agent = has_agent || injection_has(&t->injection, SLICE("user-agent"));
    }
    return err == ERR_OK ? append_defaults(list, has_type, has_encoding, has_agent,
                                           t->injection.secret_count > 0)
                         : err;
}

/* The request */

#define SET(option, value)                                    \
    if (rc == CURLE_OK) {                                     \
        rc = curl_easy_setopt(easy, CURLOPT_##option, value); \
    }

static CURLcode set_request(struct transfer *t, CURL *easy)
{
    CURLcode rc = CURLE_OK;
    bool has_body = t->fetch.has_body && t->hop.sends_body;
    bool wants_length = has_body || strcmp(t->hop.method, "POST") == 0 ||
                        strcmp(t->hop.method, "PUT") == 0 || strcmp(t->hop.method, "PATCH") == 0;
    SET(CURLU, t->target.parts)
    SET(HTTPHEADER, t->fields)
    if (wants_length) {
        SET(POST, 1L)
        SET(POSTFIELDS, has_body && t->fetch.body.len > 0 ? (const char *)t->fetch.body.data : "")
        SET(POSTFIELDSIZE_LARGE, has_body ? (curl_off_t)t->fetch.body.len : 0)
    } else {
        SET(HTTPGET, 1L)
    }
    if (strcmp(t->hop.method, "HEAD") == 0) {
        SET(NOBODY, 1L)
    } else {
        SET(CUSTOMREQUEST, t->hop.method)
    }
    return rc;
}

static CURLcode set_rules(struct transfer *t, CURL *easy)
{
    CURLcode rc = CURLE_OK;
    struct curl_blob ca = {.data = (void *)(uintptr_t)t->egress->options->ca.data,
                           .len = t->egress->options->ca.len,
                           .flags = CURL_BLOB_NOCOPY};
    SET(PRIVATE, &t->user)
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1)
    SET(PROTOCOLS_STR, "http,https")
    SET(FOLLOWLOCATION, 0L)
    SET(PROXY, "") /* nor what the environment says of one */
    SET(NETRC, (long)CURL_NETRC_IGNORED)
    SET(NOSIGNAL, 1L)
    SET(QUICK_EXIT, 1L) /* else the loop would wait for a name server that does not answer */
    SET(CONNECTTIMEOUT_MS, (long)TRANSFER_CONNECT_MS)
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2)
    SET(OPENSOCKETFUNCTION, on_open_socket)
    SET(OPENSOCKETDATA, t)
    SET(PREREQFUNCTION, on_request)
    SET(PREREQDATA, t)
    SET(HEADERFUNCTION, on_header)
    SET(HEADERDATA, t)
    SET(WRITEFUNCTION, on_body)
    SET(WRITEDATA, t)
    if (t->egress->options->ca.len > 0) {
        SET(CAINFO_BLOB, &ca)
    }
    return rc;
}
#undef SET

enum err transfer_start_hop(struct transfer *t, const char **ret_detail)
{
    PRE(t->easy == NULL && t->fields == NULL);

    enum err err = make_fields(t, &t->fields, ret_detail);
    if (err != ERR_OK) {
        return err;
    }
    *ret_detail = "No memory is left.";
    t->user.on_end = transfer_on_end;
    t->easy = curl_easy_init();
    if (t->easy == NULL || set_rules(t, t->easy) != CURLE_OK ||
        set_request(t, t->easy) != CURLE_OK ||
        curl_multi_add_handle(t->pool->multi, t->easy) != CURLM_OK) {
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

/* Also of a hop that did not start. */
void transfer_stop_hop(struct transfer *t)
{
    if (t->easy != NULL) {
        (void)curl_multi_remove_handle(t->pool->multi, t->easy);
        curl_easy_cleanup(t->easy);
        t->easy = NULL;
    }
    curl_slist_free_all(t->fields);
    t->fields = NULL;
}
