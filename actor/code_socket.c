/* Sockets of clients and the code of their actors: offers, what the code says to them, their events. The sets
 * (actor/socket_set.h) outlive sessions; nothing here keeps one, or a socket, over a call that may end it. */
#include "actor/code_own.h"
#include "actor/isolate_frame.h"
#include "base/invariant.h"
#include "base/mem.h"

/* Those of a run would be the sockets of the actor that it runs for. */
struct socket_set *code_socket_set_of(const struct code_session *s)
{
    const struct socket_sets *sets = s->host->sockets;
    return sets != NULL && !s->is_run ? socket_sets_find(sets, &s->identity) : NULL;
}

static struct actor_socket *find_socket(const struct code_session *s, uint64_t id)
{
    struct socket_set *set = code_socket_set_of(s);
    return set != NULL ? socket_set_find(set, id) : NULL;
}

/* Offers */

/* What the constructor set while there was no socket yet. */
static void bring_auto(struct code_session *s)
{
    struct socket_set *set = code_socket_set_of(s);
    if (s->has_auto && set != NULL) {
        enum err err =
            socket_set_auto(set, bytes_slice(s->auto_request), bytes_slice(s->auto_response));
        (void)err; /* it was checked when it was said, as far as the code need know */
    }
}

enum err code_socket_offer(struct code_event *e)
{
    struct code_session *s = e->session;
    if (s->host->sockets == NULL || s->is_run) {
        return ERR_NOT_IMPLEMENTED;
    }
    uint32_t shard = s->shard != NULL ? shard_id(s->shard) : SOCKET_NO_SHARD;
    enum err err =
        socket_offer(s->host->sockets, &s->identity, &s->address, shard, e->request->socket);
    if (err == ERR_OK) {
        e->socket = e->request->socket;
        bring_auto(s);
    }
    return err;
}

void code_socket_settle(struct code_event *e, bool is_accepted)
{
    struct actor_socket *socket = e->socket.id != 0 ? find_socket(e->session, e->socket.id) : NULL;
    e->socket = (struct socket_ref){0};
    if (socket == NULL || socket->state != SOCKET_OFFERED) {
        return;
    }
    if (!is_accepted || e->is_forwarded) {
        socket_withdraw(socket);
        return;
    }
    enum err err = socket_accept(socket, NULL, 0, false);
    INVARIANT(err == ERR_OK); /* it has no tags that could be wrong */
}

/* What the code says */

static bool next_uint(struct value_iter *it, uint64_t *ret)
{
    struct slice doc;
    return value_next(it, &doc) && value_get_uint(doc, ret);
}

static bool next_text(struct value_iter *it, struct slice *ret)
{
    struct slice doc;
    return value_next(it, &doc) && value_get_str(doc, ret);
}

/* [socket, [tag, ...], hibernates] */
static bool tell_accept(struct code_session *s, struct value_iter *it)
{
    struct slice list;
    struct slice tags[SOCKET_TAGS_MAX];
    struct slice doc;
    size_t count = 0;
    uint64_t id;
    bool hibernates;
    if (!next_uint(it, &id) || !value_next(it, &list) || value_type(list) != VALUE_ARRAY ||
        value_count(list) > SOCKET_TAGS_MAX || !value_next(it, &doc) ||
        !value_get_bool(doc, &hibernates)) {
        return false;
    }
    for (struct value_iter i = value_items(list); value_next(&i, &doc); count++) {
        if (!value_get_str(doc, &tags[count])) {
            return false;
        }
    }
    struct actor_socket *socket = find_socket(s, id);
    return socket == NULL ||
           socket_accept(socket, tags, count, hibernates && s->shard != NULL) == ERR_OK;
}

/* [socket, bytes] */
static bool tell_attach(struct code_session *s, struct value_iter *it)
{
    struct slice doc;
    struct slice bytes;
    uint64_t id;
    if (!next_uint(it, &id) || !value_next(it, &doc) || !value_get_bin(doc, &bytes)) {
        return false;
    }
    struct actor_socket *socket = find_socket(s, id);
    return socket == NULL || socket_attach(socket, bytes) == ERR_OK;
}

/* nil or [request, response] */
static bool tell_auto(struct code_session *s, struct slice args)
{
    struct value_iter it = value_items(args);
    struct slice request = {0};
    struct slice response = {0};
    if (value_type(args) != VALUE_NIL &&
        (!next_text(&it, &request) || !next_text(&it, &response))) {
        return false;
    }
    if (request.len > 4 * SOCKET_AUTO_UNITS_MAX || response.len > 4 * SOCKET_AUTO_UNITS_MAX) {
        return false;
    }
    bytes_unref(s->auto_request);
    bytes_unref(s->auto_response);
    s->auto_request = bytes_new(request);
    s->auto_response = bytes_new(response);
    s->has_auto = true;
    bring_auto(s);
    return true;
}

static void letter_free(struct code_session *s, struct code_letter *letter)
{
    s->tell_bytes -= bytes_slice(letter->data).len;
    list_remove(&letter->link);
    bytes_unref(letter->data);
    mem_free(letter);
}

void code_socket_drop_letters(struct code_session *s, struct list *letters)
{
    LIST_FOREACH_SAFE (link, letters) {
        letter_free(s, LIST_ENTRY(link, struct code_letter, link));
    }
}

/* It leaves behind what was written before; what follows without another write goes with it. */
void code_socket_post(struct code_session *s, const struct code_letter *said, struct slice data)
{
    struct code_letter *letter = MEM_NEW(struct code_letter);
    *letter = *said;
    letter->data = data.len > 0 ? bytes_new(data) : NULL;
    list_init(&letter->link);
    s->tell_bytes += data.len;
    if (s->tells != NULL) {
        list_append(&s->tells->letters, &letter->link);
        code_session_pace(s);
        return;
    }
    struct code_turn *t;
    struct request *r = code_turn_new(s, REQUEST_CODE_COMMIT, CODE_TURN_TELL, &t);
    list_append(&t->letters, &letter->link);
    code_turn_submit(r);
}

/* [socket, text or bytes] */
static bool tell_send(struct code_session *s, struct value_iter *it)
{
    struct code_letter letter = {0};
    struct slice doc;
    struct slice data;
    if (!next_uint(it, &letter.socket) || !value_next(it, &doc)) {
        return false;
    }
    letter.is_text = value_get_str(doc, &data);
    if (!letter.is_text && !value_get_bin(doc, &data)) {
        return false;
    }
    code_socket_post(s, &letter, data);
    return true;
}

/* [socket, code, reason]; 1005: without a code */
static bool tell_close(struct code_session *s, struct value_iter *it)
{
    enum { NO_CODE = 1005, CODE_MAX = 4999 };
    struct code_letter letter = {.is_close = true};
    struct slice reason;
    uint64_t code;
    if (!next_uint(it, &letter.socket) || !next_uint(it, &code) || code > CODE_MAX ||
        !next_text(it, &reason)) {
        return false;
    }
    letter.close_code = code == NO_CODE ? 0 : (uint16_t)code;
    code_socket_post(s, &letter, reason);
    return true;
}

bool code_socket_tell(struct code_session *s, struct slice type, struct slice args)
{
    struct value_iter it = value_items(args);
    if (s->is_run || s->host->sockets == NULL) {
        return false;
    }
    return slice_equal_str(type, "send")     ? tell_send(s, &it)
           : slice_equal_str(type, "accept") ? tell_accept(s, &it)
           : slice_equal_str(type, "attach") ? tell_attach(s, &it)
           : slice_equal_str(type, "close")  ? tell_close(s, &it)
                                             : tell_auto(s, args);
}

void code_socket_say(struct code_session *s, struct list *letters)
{
    LIST_FOREACH_SAFE (link, letters) {
        struct code_letter *letter = LIST_ENTRY(link, struct code_letter, link);
        struct actor_socket *socket = find_socket(s, letter->socket);
        if (socket != NULL && letter->is_close) {
            enum err err = socket_close(socket, letter->close_code, bytes_slice(letter->data));
            (void)err; /* a code that the prelude lets nobody say: it stays open */
        } else if (socket != NULL) {
            socket_send(socket, letter->is_text, letter->data);
        }
        letter_free(s, letter);
    }
}

/* [socket] */
void code_socket_ask_time(struct code_session *s, uint64_t ask, struct slice args)
{
    struct value_iter it = value_items(args);
    struct buf payload = {0};
    uint64_t id;
    if (!next_uint(&it, &id)) {
        code_bad_frame(s);
        return;
    }
    const struct actor_socket *socket = find_socket(s, id);
    if (socket != NULL && socket->auto_ms != 0) {
        value_put_uint(&payload, socket->auto_ms);
    } else {
        value_put_nil(&payload);
    }
    code_answer(s, ask, true, buf_slice(&payload));
    buf_done(&payload);
}

/* Events */

static void on_ready(void *ctx, struct socket_set *set)
{
    struct code_host *h = ctx;
    if (list_is_empty(&set->host_link)) {
        list_append(&h->socket_ready, &set->host_link);
    }
}

static void on_restored(void *ctx, const struct actor_socket *socket)
{
    struct code_host *h = ctx;
    struct code_session *s = code_session_find(h, &socket->set->identity);
    struct buf frame = {0};
    if (s != NULL) {
        code_frame_begin(&frame, FRAME_SOCKETS, 0, 1);
        value_put_array(&frame, 1);
        socket_put(socket, &frame);
        code_frame_send(s, &frame);
    }
}

static void on_drained(void *ctx, const struct actor_socket *socket, size_t bytes)
{
    struct code_session *s = code_session_find(ctx, &socket->set->identity);
    if (s != NULL) {
        code_stream_drained(s, socket->ref.id, bytes);
    }
}

static void on_body_gone(void *ctx, const struct actor_socket *socket)
{
    struct code_session *s = code_session_find(ctx, &socket->set->identity);
    if (s != NULL) {
        code_stream_cancel(s, socket->ref.id);
    }
}

void code_host_attach_sockets(struct code_host *h, struct socket_sets *sockets)
{
    h->sockets = sockets;
    sockets->ready = on_ready;
    sockets->restored = on_restored;
    sockets->drained = on_drained;
    sockets->body_gone = on_body_gone;
    sockets->host_ctx = h;
}

static void take_more(struct code_session *s)
{
    struct socket_set *set = code_socket_set_of(s);
    if (set != NULL && set->waiting_count > 0) {
        on_ready(s->host, set);
    }
}

/* Its answer is durable, or nobody knows what it did. */
void code_socket_event_over(struct code_event *e, bool is_done)
{
    struct socket_event *of = e->socket_event;
    if (of == NULL) {
        return;
    }
    e->socket_event = NULL;
    e->session->socket_event_count--;
    if (is_done) {
        socket_event_done(of);
    } else {
        socket_event_lost(of);
    }
    take_more(e->session);
}

static void take_events(struct code_session *s, struct socket_set *set)
{
    struct socket_event *of;
    while (s->socket_event_count < CODE_SOCKET_EVENTS_MAX && (of = socket_set_next(set)) != NULL) {
        (void)code_event_new_of_socket(s, of);
    }
}

/* False: there is no isolate for it now. Else the set may be gone: where the code cannot be started. */
static bool wake(struct code_host *h, struct shard *shard, struct socket_set *set)
{
    const struct code_who who = {&set->identity, &set->address, set->address_text};
    if (h->now_ms < h->socket_retry_ms || !code_host_make_room(h)) {
        return false;
    }
    struct code_session *s = code_session_new(h, shard, &who, NULL);
    take_events(s, set);
    code_session_start(s, SLICE(""));
    return true;
}

/* True: as much as may be is under way, or will not be. */
static bool deliver(struct code_host *h, struct socket_set *set)
{
    struct identity identity = set->identity;
    bool is_of_module = set->shard == SOCKET_NO_SHARD;
    struct shard *shard = is_of_module ? NULL : h->hooks->shard(h->ctx, set->shard);
    if (set->waiting_count == 0 || h->is_stopped || (!is_of_module && shard == NULL)) {
        return true; /* the set is let go of before long */
    }
    struct code_session *s = code_session_current(h, &identity);
    set =
        socket_sets_find(h->sockets, &identity); /* sockets of a session that ended here went too */
    if (set == NULL || set->waiting_count == 0) {
        return true;
    }
    if (s == NULL) {
        return wake(h, shard, set);
    }
    take_events(s, set);
    code_session_deliver(s);
    return true;
}

void code_host_deliver_sockets(struct code_host *h)
{
    struct list ready;
    struct socket_set *set;
    if (list_is_empty(&h->socket_ready)) {
        return;
    }
    list_init(&ready);
    list_move_all(&ready, &h->socket_ready);
    while ((set = LIST_FIRST(&ready, struct socket_set, host_link)) != NULL) {
        list_remove(&set->host_link);
        if (!deliver(h, set)) {
            list_append(&h->socket_ready, &set->host_link);
        }
    }
}

/* Ends */

static void give_back(struct code_session *s)
{
    LIST_FOREACH_REVERSE_SAFE(link, &s->events)
    {
        struct code_event *e = LIST_ENTRY(link, struct code_event, link);
        if (e->socket_event != NULL && e->stage == CODE_EVENT_WAITS) {
            socket_event_back(e->socket_event);
            e->socket_event = NULL;
            s->socket_event_count--;
            code_event_free(e);
        }
    }
}

static void lose(struct code_session *s)
{
    LIST_FOREACH_SAFE (link, &s->events) {
        struct code_event *e = LIST_ENTRY(link, struct code_event, link);
        if (e->socket_event != NULL && e->stage != CODE_EVENT_ENDING) {
            code_socket_event_over(e, false);
            code_event_free(e);
        }
    }
}

void code_socket_session_over(struct code_session *s, enum err err, bool fails_all)
{
    if (err == ERR_OVERLOADED) {
        s->host->socket_retry_ms = s->host->now_ms + CODE_SOCKET_RETRY_MS;
    }
    if (err == ERR_OVERLOADED || !fails_all) {
        give_back(s); /* nobody has seen them, and a next one may */
    }
    lose(s);
    code_stream_drop_all(s);
    struct socket_set *set = code_socket_set_of(s);
    if (set != NULL) {
        socket_set_isolate_gone(set);
        take_more(s);
    }
}

void code_socket_give_up(struct code_host *h, const struct shard *shard)
{
    LIST_FOREACH (link, &h->ended) {
        struct code_session *s = LIST_ENTRY(link, struct code_session, by_use);
        if (shard != NULL && s->shard != shard) {
            continue;
        }
        LIST_FOREACH (at, &s->events) {
            code_socket_event_over(LIST_ENTRY(at, struct code_event, link), false);
        }
    }
}
