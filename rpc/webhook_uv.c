#include "rpc/webhook_uv.h"

#include <stdio.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/invariant.h"
#include "base/map.h"
#include "base/mem.h"
#include "rpc/webhook_url.h"

enum { SOCKET_MAGIC = 0x77656202, SOCKETS_KEPT_MAX = 64 };

/* One of libcurl's sockets, as long as it wants to hear of it. */
struct watched {
    uint32_t magic;
    uv_poll_t poll;
    curl_socket_t fd;
    struct webhooks *webhooks;
};

enum err webhooks_global_init(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? ERR_OK : ERR_NO_MEMORY;
}

/* Hosts */

static uint64_t hash_of_host(const char *url)
{
    CURLU *parts = curl_url();
    char *host = NULL;
    uint64_t hash = 0;
    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        hash = hash_of(slice_of_str(host));
    }
    curl_free(host);
    curl_url_cleanup(parts);
    return hash;
}

static size_t count_of_host(const struct list *posts, uint64_t host_hash)
{
    size_t count = 0;
    LIST_FOREACH (link, posts) {
        count += LIST_ENTRY(link, struct webhook_post, link)->host_hash == host_hash ? 1 : 0;
    }
    return count;
}

bool webhooks_have_room(const struct webhooks *w, struct slice url)
{
    if (w->is_closing || w->waiting_count + w->active_count >= WEBHOOKS_MAX ||
        w->bytes >= WEBHOOKS_BYTES_MAX) {
        return false;
    }
    char *text = mem_strndup((const char *)url.data, url.len);
    uint64_t hash = hash_of_host(text);
    mem_free(text);
    return count_of_host(&w->active, hash) + count_of_host(&w->waiting, hash) < WEBHOOKS_HOST_MAX;
}

/* The end of a post */

static void finish(struct webhook_post *p, const char *error)
{
    struct webhooks *w = p->webhooks;
    list_remove(&p->link);
    if (p->easy != NULL) {
        (void)curl_multi_remove_handle(w->multi, p->easy);
        curl_easy_cleanup(p->easy);
        curl_slist_free_all(p->fields);
        w->active_count--;
    } else {
        w->waiting_count--;
    }
    w->bytes -= p->body->len;
    bytes_unref(p->body);
    mem_free(p->url);
    p->done(p, error);
}

static void finish_with_result(struct webhook_post *p, CURLcode code)
{
    char error[WEBHOOK_ERROR_BYTES];
    long status = 0;
    (void)curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
    bool answered = code == CURLE_OK ||
                    (code == CURLE_WRITE_ERROR && p->answer_bytes > WEBHOOK_ANSWER_BYTES_MAX);
    if (answered && status >= 200 && status <= 299) {
        finish(p, NULL);
        return;
    }
    if (answered) {
        (void)snprintf(error, sizeof error, "The receiver answered %ld.", status);
    } else if (p->refused) {
        (void)snprintf(error, sizeof error,
                       "The address is private, which needs --allow-private-targets.");
    } else {
        (void)snprintf(error, sizeof error, "%s.", curl_easy_strerror(code));
    }
    finish(p, error);
}

/* What libcurl asks of us */

static size_t on_answer_bytes(char *data, size_t size, size_t count, void *user)
{
    struct webhook_post *p = user;
    (void)data;
    p->answer_bytes += size * count;
    return p->answer_bytes > WEBHOOK_ANSWER_BYTES_MAX ? 0 : size * count;
}

static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct webhook_post *p = user;
    (void)purpose;
    if (!p->webhooks->allow_private && address_is_private(&address->addr)) {
        p->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool set_options(struct webhook_post *p, CURL *easy, uint64_t total_ms)
{
    struct curl_slist *fields = curl_slist_append(NULL, "Content-Type: application/json");
    p->fields = fields;
    CURLcode rc = fields == NULL ? CURLE_OUT_OF_MEMORY : CURLE_OK;
#define SET(option, value)                                    \
    if (rc == CURLE_OK) {                                     \
        rc = curl_easy_setopt(easy, CURLOPT_##option, value); \
    }
    SET(URL, p->url)
    SET(PRIVATE, p)
    SET(POST, 1L)
    SET(POSTFIELDS, (const char *)p->body->data)
    SET(POSTFIELDSIZE_LARGE, (curl_off_t)p->body->len)
    SET(HTTPHEADER, fields)
    SET(USERAGENT, "dormouse")
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1)
    SET(PROTOCOLS_STR, "http,https")
    SET(FOLLOWLOCATION, 0L)
    SET(PROXY, "")
    SET(NETRC, (long)CURL_NETRC_IGNORED)
    SET(NOSIGNAL, 1L)
    SET(QUICK_EXIT, 1L) /* else the loop would wait for a name server that does not answer */
    SET(CONNECTTIMEOUT_MS, (long)WEBHOOK_CONNECT_MS)
    SET(TIMEOUT_MS, (long)total_ms)
    SET(OPENSOCKETFUNCTION, on_open_socket)
    SET(OPENSOCKETDATA, p)
    SET(WRITEFUNCTION, on_answer_bytes)
    SET(WRITEDATA, p)
#undef SET
    return rc == CURLE_OK;
}

static bool begin(struct webhooks *w, struct webhook_post *p)
{
    CURL *easy = curl_easy_init();
    if (easy == NULL) {
        return false;
    }
    if (!set_options(p, easy, WEBHOOK_TOTAL_MS) ||
        curl_multi_add_handle(w->multi, easy) != CURLM_OK) {
        curl_slist_free_all(p->fields);
        curl_easy_cleanup(easy);
        return false;
    }
    p->easy = easy;
    w->waiting_count--;
    w->active_count++;
    list_remove(&p->link);
    list_append(&w->active, &p->link);
    return true;
}

/* From the oldest on; one whose host has enough under way is passed over. */
static void begin_waiting(struct webhooks *w)
{
    uint64_t now_ms = uv_now(w->loop);
    LIST_FOREACH_SAFE (link, &w->waiting) {
        struct webhook_post *p = LIST_ENTRY(link, struct webhook_post, link);
        if (w->active_count >= WEBHOOKS_ACTIVE_MAX) {
            return;
        }
        if (p->begun_ms + WEBHOOK_WAITING_MS <= now_ms) {
            finish(p, "Too many webhooks to this host were waiting.");
        } else if (count_of_host(&w->active, p->host_hash) < WEBHOOKS_ACTIVE_HOST_MAX &&
                   !begin(w, p)) {
            finish(p, "No memory is left.");
        }
    }
}

static void collect(struct webhooks *w)
{
    CURLMsg *message;
    int left;
    while (!w->is_closing && (message = curl_multi_info_read(w->multi, &left)) != NULL) {
        struct webhook_post *p = NULL;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&p);
        finish_with_result(p, code);
    }
    begin_waiting(w);
}

static void act(struct webhooks *w, curl_socket_t fd, int events)
{
    int running;
    (void)curl_multi_socket_action(w->multi, fd, events, &running);
    collect(w);
}

static void on_timer(uv_timer_t *timer)
{
    OBJ_CAST(webhooks, timer->data, WEBHOOKS_MAGIC);
    act(webhooks, CURL_SOCKET_TIMEOUT, 0);
}

static void on_start(uv_timer_t *starter)
{
    OBJ_CAST(webhooks, starter->data, WEBHOOKS_MAGIC);
    begin_waiting(webhooks);
}

static int on_curl_timer(CURLM *multi, long delay_ms, void *user)
{
    OBJ_CAST(webhooks, user, WEBHOOKS_MAGIC);
    (void)multi;
    if (delay_ms < 0 || webhooks->is_closing) {
        (void)uv_timer_stop(&webhooks->timer);
    } else {
        int rc = uv_timer_start(&webhooks->timer, on_timer, (uint64_t)delay_ms, 0);
        INVARIANT(rc == 0);
    }
    return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    OBJ_CAST(watched, poll->data, SOCKET_MAGIC);
    int bits = ((events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0) |
               ((events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0) |
               (status < 0 ? CURL_CSELECT_ERR : 0);
    act(watched->webhooks, watched->fd, bits);
}

static void on_poll_closed(uv_handle_t *handle)
{
    OBJ_CAST(watched, handle->data, SOCKET_MAGIC);
    watched->magic = 0;
    mem_free(watched);
}

/* NULL where the loop cannot take the socket: libcurl then finds its time-out. */
static struct watched *watch(struct webhooks *w, curl_socket_t fd)
{
    struct watched *s = MEM_NEW(struct watched);
    s->magic = SOCKET_MAGIC;
    s->fd = fd;
    s->webhooks = w;
    if (uv_poll_init_socket(w->loop, &s->poll, fd) != 0) {
        mem_free(s);
        return NULL;
    }
    s->poll.data = s;
    (void)curl_multi_assign(w->multi, fd, s);
    return s;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *of_socket)
{
    OBJ_CAST(webhooks, user, WEBHOOKS_MAGIC);
    struct watched *s = of_socket;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL) {
            (void)curl_multi_assign(webhooks->multi, fd, NULL);
            uv_close((uv_handle_t *)&s->poll, on_poll_closed);
        }
        return 0;
    }
    if (s == NULL) {
        s = watch(webhooks, fd);
    }
    int events =
        (what != CURL_POLL_OUT ? UV_READABLE : 0) | (what != CURL_POLL_IN ? UV_WRITABLE : 0);
    return s != NULL && uv_poll_start(&s->poll, events, on_poll) == 0 ? 0 : -1;
}

/* Life */

void webhooks_open(struct webhooks *w, uv_loop_t *loop, bool allow_private)
{
    *w = (struct webhooks){.magic = WEBHOOKS_MAGIC, .loop = loop, .allow_private = allow_private};
    list_init(&w->waiting);
    list_init(&w->active);
    w->multi = curl_multi_init();
    INVARIANT(w->multi != NULL); /* the first bytes of a worker that starts */
    int rc = uv_timer_init(loop, &w->timer) | uv_timer_init(loop, &w->starter);
    INVARIANT(rc == 0);
    w->timer.data = w;
    w->starter.data = w;
    (void)curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    (void)curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w);
    (void)curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    (void)curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w);
    (void)curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, (long)SOCKETS_KEPT_MAX);
}

void webhooks_close(struct webhooks *w)
{
    PRE(w->magic == WEBHOOKS_MAGIC && !w->is_closing);

    w->is_closing = true;
    struct list *lists[] = {&w->active, &w->waiting};
    for (int i = 0; i < 2; i++) {
        struct webhook_post *p;
        while ((p = LIST_FIRST(lists[i], struct webhook_post, link)) != NULL) {
            finish(p, "The node stops.");
        }
    }
    (void)curl_multi_cleanup(w->multi);
    uv_close((uv_handle_t *)&w->timer, NULL);
    uv_close((uv_handle_t *)&w->starter, NULL);
}

void webhooks_post(struct webhooks *w, struct webhook_post *p, struct slice url, struct bytes *body)
{
    PRE(w->magic == WEBHOOKS_MAGIC && !w->is_closing);

    char *text = mem_strndup((const char *)url.data, url.len);
    p->webhooks = w;
    p->easy = NULL;
    p->fields = NULL;
    p->url = text;
    p->host_hash = hash_of_host(text);
    p->body = bytes_ref(body);
    p->begun_ms = uv_now(w->loop);
    p->answer_bytes = 0;
    p->refused = false;
    list_init(&p->link);
    list_append(&w->waiting, &p->link);
    w->waiting_count++;
    w->bytes += body->len;
    int rc = uv_timer_start(&w->starter, on_start, 0, 0);
    INVARIANT(rc == 0);
}
