#include "rpc/client.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "base/invariant.h"
#include "base/mem.h"

struct client {
    CURL *easy;     /* keeps the connections */
    char *base_url; /* without a slash at its end */
    char *ca_file;  /* or NULL */
    char *user_agent;
    bool http2;
};

/* One request under way. */
struct transfer {
    const struct client *client;
    const struct client_request *request;
    struct client_response *response;
    bool is_over_limit;
    bool is_stopped;
};

/* Scheme and host, an optional port, nothing behind but one slash. */
static bool url_is_plain(const char *url)
{
    CURLU *parsed = curl_url();
    INVARIANT(parsed != NULL);
    char *scheme = NULL;
    char *path = NULL;
    char *other = NULL;
    bool is_plain = curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                    curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                    curl_url_get(parsed, CURLUPART_PATH, &path, 0) == CURLUE_OK &&
                    (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
                    strcmp(path, "/") == 0;
    static const CURLUPart unwanted[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY,
                                         CURLUPART_FRAGMENT};
    for (size_t i = 0; is_plain && i < sizeof(unwanted) / sizeof(unwanted[0]); i++) {
        is_plain = curl_url_get(parsed, unwanted[i], &other, 0) != CURLUE_OK;
        curl_free(other);
        other = NULL;
    }
    curl_free(scheme);
    curl_free(path);
    curl_url_cleanup(parsed);
    return is_plain;
}

enum err client_new(const struct client_options *o, struct client **ret_client)
{
    PRE(o->base_url != NULL && o->user_agent != NULL);

    /* Counted by libcurl, and safe from any thread since its release 7.84. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return ERR_NO_MEMORY;
    }
    enum err err = ERR_BAD_REQUEST;
    if (!url_is_plain(o->base_url)) {
        goto undo_global;
    }
    err = ERR_NO_MEMORY;
    CURL *easy = curl_easy_init();
    if (easy == NULL) {
        goto undo_global;
    }
    struct client *c = MEM_NEW(struct client);
    size_t url_bytes = strlen(o->base_url);
    while (o->base_url[url_bytes - 1] == '/') {
        url_bytes--;
    }
    *c = (struct client){.easy = easy,
                         .base_url = mem_strndup(o->base_url, url_bytes),
                         .ca_file = o->ca_file == NULL ? NULL : mem_strdup(o->ca_file),
                         .user_agent = mem_strdup(o->user_agent),
                         .http2 = o->http2};
    *ret_client = c;
    return ERR_OK;

undo_global:
    curl_global_cleanup();
    return err;
}

void client_free(struct client *c)
{
    if (c == NULL) {
        return;
    }
    curl_easy_cleanup(c->easy);
    curl_global_cleanup();
    mem_free(c->base_url);
    mem_free(c->ca_file);
    mem_free(c->user_agent);
    mem_free(c);
}

void client_response_done(struct client_response *r)
{
    buf_done(&r->body);
    buf_done(&r->headers);
}

const char *client_response_header(const struct client_response *r, const char *name)
{
    size_t name_bytes = strlen(name);
    for (size_t at = 0; at < r->headers.len;) {
        const char *line = (const char *)r->headers.data + at;
        if (strncasecmp(line, name, name_bytes) == 0 && line[name_bytes] == ':') {
            return line + name_bytes + 1 + strspn(line + name_bytes + 1, " \t");
        }
        at += strlen(line) + 1;
    }
    return NULL;
}

/* A line of the head. A status line starts over: an interim answer may have come before. */
static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    struct transfer *x = user;
    struct buf *headers = &x->response->headers;
    size_t n = size * count;
    struct slice line = slice_of(data, n);
    if (slice_has_prefix(line, SLICE("HTTP/"))) {
        buf_clear(headers);
        return n;
    }
    while (line.len > 0 && memchr("\r\n \t", line.data[line.len - 1], 4) != NULL) {
        line.len--;
    }
    if (line.len == 0) {
        long status = 0;
        curl_easy_getinfo(x->client->easy, CURLINFO_RESPONSE_CODE, &status);
        x->response->status = (int)status;
    }
    if (headers->len + line.len > CLIENT_HEADER_BYTES_MAX) {
        x->is_over_limit = true;
        return 0;
    }
    if (line.len > 0 && memchr(line.data, '\0', line.len) == NULL) {
        buf_append_slice(headers, line);
        buf_append_byte(headers, '\0');
    }
    return n;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    struct transfer *x = user;
    const struct client_request *request = x->request;
    size_t n = size * count;
    long status = 0;
    curl_easy_getinfo(x->client->easy, CURLINFO_RESPONSE_CODE, &status);
    if (request->on_body != NULL && status == 200) {
        x->is_stopped = !request->on_body(request->data, slice_of(data, n));
        return x->is_stopped ? 0 : n;
    }
    if (x->response->body.len + n > request->body_bytes_max) {
        x->is_over_limit = true;
        return 0;
    }
    buf_append(&x->response->body, data, n);
    return n;
}

static int on_progress(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    struct transfer *x = user;
    x->is_stopped = x->is_stopped || !x->request->keep_going(x->request->data);
    return x->is_stopped ? 1 : 0;
}

/* A line end in a value would be a header of its own. */
static bool header_is_safe(const struct client_header *h)
{
    for (const char *at = h->value; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return h->name[0] != '\0' && strpbrk(h->name, ": \t\r\n") == NULL;
}

static void add_line(struct curl_slist **lines, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*lines, line);
    INVARIANT(longer != NULL);
    *lines = longer;
}

/* NULL where a header is not safe. Free with curl_slist_free_all. */
static struct curl_slist *header_lines(const struct client_request *request)
{
    /* libcurl would wait for "100 Continue" before larger bodies. */
    struct curl_slist *lines = NULL;
    add_line(&lines, "Expect:");
    bool has_type = false;
    struct buf line = {0};
    for (size_t i = 0; i < request->header_count; i++) {
        const struct client_header *h = &request->headers[i];
        if (!header_is_safe(h)) {
            curl_slist_free_all(lines);
            buf_done(&line);
            return NULL;
        }
        has_type = has_type || strcasecmp(h->name, "Content-Type") == 0;
        buf_clear(&line);
        buf_printf(&line, h->value[0] == '\0' ? "%s;" : "%s: %s", h->name, h->value);
        buf_append_byte(&line, '\0');
        add_line(&lines, (const char *)line.data);
    }
    buf_done(&line);
    if (!has_type) {
        add_line(&lines, "Content-Type:"); /* else libcurl says it is a form */
    }
    return lines;
}

/* libcurl 7.88 (Debian 12) greets a kept HTTP/2 connection as if it were new, and breaks it
 * (curl issue 10634, mended in 8.0). There each request gets a connection of its own. */
static bool keeps_prior_knowledge(void)
{
    unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
    return version < 0x075800 || version >= 0x080000;
}

static void set_connection_options(const struct client *c, const struct client_request *request)
{
    CURL *easy = c->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, c->user_agent);
    if (c->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file);
    }
    bool is_tls = strncasecmp(c->base_url, "https:", 6) == 0;
    long version = CURL_HTTP_VERSION_1_1;
    bool is_kept = true;
    if (c->http2 && is_tls) {
        version = CURL_HTTP_VERSION_2TLS;
    } else if (c->http2) {
        version = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
        is_kept = keeps_prior_knowledge();
    }
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, is_kept ? 0L : 1L);
    /* libcurl repeats by itself what failed on a kept connection, a POST too. */
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->may_repeat ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CLIENT_CONNECT_MS_MAX);
    if (request->idle_timeout_ms > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                         (long)((request->idle_timeout_ms + 999) / 1000));
    }
}

static void set_request_options(const struct client *c, const struct client_request *request)
{
    CURL *easy = c->easy;
    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request->has_body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                         request->body.len == 0 ? "" : (const char *)request->body.data);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    }
    struct buf url = {0};
    buf_printf(&url, "%s%s", c->base_url, request->target);
    buf_append_byte(&url, '\0');
    curl_easy_setopt(easy, CURLOPT_URL, (const char *)url.data); /* copies */
    buf_done(&url);
}

static void set_callbacks(struct transfer *x)
{
    CURL *easy = x->client->easy;
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    if (x->request->keep_going != NULL) {
        curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(easy, CURLOPT_XFERINFODATA, x);
    }
}

/* Errs on the side of "yes": the time is set when the request is about to be written. */
static bool may_have_been_sent(CURL *easy)
{
    long request_bytes = 0;
    curl_off_t pretransfer_us = 0;
    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_bytes);
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us);
    return request_bytes > 0 || pretransfer_us > 0;
}

/* It was asked for TLS and answered in the clear: OpenSSL takes that for a version. It does not get
 * better by trying again, as a handshake that was cut off does. */
static bool is_not_tls(CURLcode code, const char *detail)
{
    return code == CURLE_SSL_CONNECT_ERROR && strstr(detail, "wrong version number") != NULL;
}

/* What the library's words do not say. */
static void add_hint(const struct client *c, CURLcode code, char detail[CLIENT_DETAIL_BYTES])
{
    const char *hint = NULL;
    bool is_tls = strncasecmp(c->base_url, "https:", 6) == 0;
    if (is_not_tls(code, detail)) {
        hint = " (the server does not speak TLS: its URL begins with http://)";
    } else if (!is_tls && code == CURLE_GOT_NOTHING) {
        hint = " (does it speak TLS? then its URL begins with https://)";
    }
    size_t len = strlen(detail);
    if (hint != NULL && len + strlen(hint) < CLIENT_DETAIL_BYTES) {
        memcpy(detail + len, hint, strlen(hint) + 1);
    }
}

static enum err err_of_curl(const struct transfer *x, CURLcode code, const char *detail)
{
    if (code == CURLE_OK) {
        return ERR_OK;
    }
    if (x->is_stopped) {
        return ERR_CLOSED;
    }
    if (x->is_over_limit) {
        return ERR_TOO_LARGE;
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
        is_not_tls(code, detail)) {
        return ERR_UNAUTHENTICATED;
    }
    bool is_sent = may_have_been_sent(x->client->easy);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return is_sent ? ERR_TIMEOUT_IN_DOUBT : ERR_TIMEOUT;
    }
    return is_sent ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE;
}

enum err client_perform(struct client *c, const struct client_request *request,
                        struct client_response *response, char ret_detail[CLIENT_DETAIL_BYTES])
{
    PRE(request->target[0] == '/');
    _Static_assert(CLIENT_DETAIL_BYTES >= CURL_ERROR_SIZE, "libcurl writes its text there");

    ret_detail[0] = '\0';
    response->status = 0;
    buf_clear(&response->body);
    buf_clear(&response->headers);
    struct curl_slist *lines = header_lines(request);
    if (lines == NULL) {
        snprintf(ret_detail, CLIENT_DETAIL_BYTES, "a header has control characters in it");
        return ERR_BAD_REQUEST;
    }
    struct transfer x = {.client = c, .request = request, .response = response};
    curl_easy_reset(c->easy); /* keeps connections and names */
    set_connection_options(c, request);
    set_request_options(c, request);
    set_callbacks(&x);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, lines);
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, ret_detail);

    CURLcode code = curl_easy_perform(c->easy);
    enum err err = err_of_curl(&x, code, ret_detail);
    if (err != ERR_OK && ret_detail[0] == '\0') {
        snprintf(ret_detail, CLIENT_DETAIL_BYTES, "%s", curl_easy_strerror(code));
    }
    add_hint(c, code, ret_detail);
    long status = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    response->status = (int)status;
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, NULL); /* it is the caller's */
    curl_slist_free_all(lines);
    return err;
}
