#include "actor/socket_set.h"

#include "actor/socket_own.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/websocket.h"

/* States and lifetime */

static bool may_move(enum socket_state from, enum socket_state to)
{
    switch (from) {
    case SOCKET_OFFERED:
        return to == SOCKET_OPEN || to == SOCKET_CLOSING || to == SOCKET_GONE;
    case SOCKET_OPEN:
        return to == SOCKET_CLOSING || to == SOCKET_ASKED || to == SOCKET_GONE;
    case SOCKET_CLOSING:
    case SOCKET_ASKED:
        return to == SOCKET_GONE;
    case SOCKET_GONE:
        return false;
    }
    return false;
}

void socket_move(struct actor_socket *s, enum socket_state to)
{
    INVARIANT(may_move(s->state, to));
    s->state = to;
}

static uint64_t hash_of_identity(const struct identity *identity)
{
    return get_be64(identity->bytes + 8);
}

void socket_sets_init(struct socket_sets *s, const struct socket_hooks *hooks, void *ctx)
{
    *s = (struct socket_sets){.hooks = hooks, .ctx = ctx};
}

struct socket_set *socket_sets_find(const struct socket_sets *s, const struct identity *identity)
{
    struct map_node *n = map_find(&s->sets, hash_of_identity(identity));
    for (; n != NULL; n = map_next_same(n)) {
        struct socket_set *set = CONTAINER_OF(n, struct socket_set, by_identity);
        if (memcmp(&set->identity, identity, sizeof *identity) == 0) {
            return set;
        }
    }
    return NULL;
}

struct actor_socket *socket_set_find(const struct socket_set *set, uint64_t id)
{
    struct map_node *n = map_find(&set->by_id, id);
    return n != NULL ? CONTAINER_OF(n, struct actor_socket, by_id) : NULL;
}

static struct slice copy_part(struct bytes *text, size_t *at, struct slice part)
{
    memcpy(text->data + *at, part.data, part.len);
    struct slice copy = slice_of(text->data + *at, part.len);
    *at += part.len;
    return copy;
}

static struct socket_set *set_new(struct socket_sets *s, const struct identity *identity,
                                  const struct address *a, uint32_t shard)
{
    struct socket_set *set = MEM_NEW(struct socket_set);
    size_t at = 0;
    set->owner = s;
    set->identity = *identity;
    set->shard = shard;
    set->address_text = bytes_new_uninit(a->ns.len + a->class.len + a->id.len);
    set->address.ns = copy_part(set->address_text, &at, a->ns);
    set->address.class = copy_part(set->address_text, &at, a->class);
    set->address.id = copy_part(set->address_text, &at, a->id);
    list_init(&set->sockets);
    list_init(&set->waiting);
    list_init(&set->host_link);
    map_add(&s->sets, &set->by_identity, hash_of_identity(identity));
    return set;
}

void socket_set_free_if_empty(struct socket_set *set)
{
    if (set->count > 0) {
        return;
    }
    INVARIANT(set->waiting_count == 0 && list_is_empty(&set->waiting));
    map_remove(&set->owner->sets, &set->by_identity);
    list_remove(&set->host_link);
    map_done(&set->by_id);
    bytes_unref(set->address_text);
    bytes_unref(set->auto_request);
    bytes_unref(set->auto_response);
    mem_free(set);
}

/* ERR_OVERLOADED: there are too many, or one of this id. */
enum err socket_add(struct socket_set *set, struct socket_ref ref, struct actor_socket **ret_socket)
{
    if (set->count >= SOCKETS_PER_ACTOR_MAX || socket_set_find(set, ref.id) != NULL) {
        socket_set_free_if_empty(set);
        return ERR_OVERLOADED;
    }
    struct actor_socket *s = MEM_NEW(struct actor_socket);
    s->ref = ref;
    s->set = set;
    list_init(&s->link);
    list_init(&s->events);
    list_append(&set->sockets, &s->link);
    map_add(&set->by_id, &s->by_id, ref.id);
    set->count++;
    set->owner->socket_count++;
    *ret_socket = s;
    return ERR_OK;
}

struct socket_set *socket_set_of(struct socket_sets *s, const struct identity *identity,
                                 const struct address *address, uint32_t shard)
{
    struct socket_set *set = socket_sets_find(s, identity);
    return set != NULL ? set : set_new(s, identity, address, shard);
}

static void free_tags(struct actor_socket *s)
{
    for (size_t i = 0; i < s->tag_count; i++) {
        bytes_unref(s->tags[i]);
    }
    s->tag_count = 0;
}

/* Its set may be gone too. */
static void let_go(struct actor_socket *s, bool is_over)
{
    struct socket_set *set = s->set;
    LIST_FOREACH_SAFE (link, &s->events) {
        struct socket_event *e = LIST_ENTRY(link, struct socket_event, link);
        INVARIANT(socket_event_is_waiting(e) || e->is_done ||
                  s->is_body); /* or the code host has it */
        socket_event_free(e);
    }
    set->owner->hooks->gone(set->owner->ctx, s, is_over);
    free_tags(s);
    bytes_unref(s->attachment);
    map_remove(&set->by_id, &s->by_id);
    list_remove(&s->link);
    set->count--;
    set->owner->socket_count--;
    mem_free(s);
    socket_set_free_if_empty(set);
}

void socket_free_if_over(struct actor_socket *s)
{
    if (s->state == SOCKET_GONE && list_is_empty(&s->events)) {
        let_go(s, true);
    }
}

void socket_sets_done(struct socket_sets *s)
{
    struct map_node *n;
    while ((n = map_first(&s->sets)) != NULL) {
        socket_sets_depose(s, CONTAINER_OF(n, struct socket_set, by_identity)->shard);
    }
    map_done(&s->sets);
}

void socket_sets_depose(struct socket_sets *s, uint32_t shard)
{
    struct map_node *n = map_first(&s->sets);
    while (n != NULL) {
        struct socket_set *set = CONTAINER_OF(n, struct socket_set, by_identity);
        if (set->shard != shard) {
            n = map_next(&s->sets, n);
            continue;
        }
        for (size_t left = set->count; left > 0; left--) {
            let_go(LIST_FIRST(&set->sockets, struct actor_socket, link), false);
        }
        n = map_first(
            &s->sets); /* the map has changed; what is left of the shard is one set less */
    }
}

/* Texts */

/* As a string's length in code: what is over 16 bits counts two. Of valid UTF-8. */
static size_t utf16_units(struct slice text)
{
    size_t units = 0;
    for (size_t i = 0; i < text.len; i++) {
        units += (text.data[i] & 0xc0) != 0x80 ? 1 : 0;
        units += text.data[i] >= 0xf0 ? 1 : 0;
    }
    return units;
}

static enum err check_text(struct slice text, size_t units_max)
{
    if (text.len > units_max * 4 || utf16_units(text) > units_max) {
        return ERR_TOO_LARGE;
    }
    return slice_is_utf8(text) ? ERR_OK : ERR_INVALID_VALUE;
}

enum err socket_check_auto(struct slice request, struct slice response)
{
    enum err err = check_text(request, SOCKET_AUTO_UNITS_MAX);
    return err != ERR_OK ? err : check_text(response, SOCKET_AUTO_UNITS_MAX);
}

/* What the code says */

enum err socket_offer(struct socket_sets *s, const struct identity *identity,
                      const struct address *address, uint32_t shard, struct socket_ref ref)
{
    struct actor_socket *socket;
    PRE(ref.id != 0);
    return socket_add(socket_set_of(s, identity, address, shard), ref, &socket);
}

enum err socket_offer_body(struct socket_sets *s, const struct identity *identity,
                           const struct address *address, uint32_t shard, struct socket_ref ref)
{
    struct actor_socket *socket;
    PRE(ref.id != 0);
    enum err err = socket_add(socket_set_of(s, identity, address, shard), ref, &socket);
    if (err == ERR_OK) {
        socket->is_body = true;
        socket->is_deaf = true;
        err = socket_accept(socket, NULL, 0, false);
        INVARIANT(err == ERR_OK); /* it has no tags that could be wrong */
    }
    return err;
}

enum err socket_offer_direct(struct socket_sets *s, const struct identity *identity,
                             const struct address *address, uint32_t shard, struct socket_ref ref,
                             const struct socket_body_hooks *hooks, void *ctx)
{
    PRE(hooks->message != NULL);
    enum err err = socket_offer_body(s, identity, address, shard, ref);
    if (err == ERR_OK) {
        struct actor_socket *socket = socket_set_find(socket_sets_find(s, identity), ref.id);
        socket->body_hooks = hooks;
        socket->body_ctx = ctx;
    }
    return err;
}

void socket_withdraw(struct actor_socket *s)
{
    LIST_FOREACH_SAFE (link, &s->events) {
        struct socket_event *e = LIST_ENTRY(link, struct socket_event, link);
        if (socket_event_is_waiting(e)) {
            socket_event_free(e);
        }
    }
    if (s->state != SOCKET_GONE) {
        socket_move(s, SOCKET_GONE);
    }
    socket_free_if_over(s);
}

static void tell_changed(struct actor_socket *s)
{
    s->set->owner->hooks->changed(s->set->owner->ctx, s);
}

enum err socket_set_tags(struct actor_socket *s, const struct slice *tags, size_t count)
{
    enum err err = count <= SOCKET_TAGS_MAX ? ERR_OK : ERR_TOO_LARGE;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        err = check_text(tags[i], SOCKET_TAG_UNITS_MAX);
    }
    if (err != ERR_OK || count == 0) {
        return err;
    }
    free_tags(s);
    for (size_t i = 0; i < count; i++) {
        s->tags[i] = bytes_new(tags[i]);
    }
    s->tag_count = count;
    return ERR_OK;
}

enum err socket_accept(struct actor_socket *s, const struct slice *tags, size_t tag_count,
                       bool is_hibernatable)
{
    enum err err = socket_set_tags(s, tags, tag_count);
    if (err != ERR_OK) {
        return err;
    }
    s->is_hibernatable = s->is_hibernatable || is_hibernatable;
    if (s->state == SOCKET_OFFERED) {
        socket_move(s, SOCKET_OPEN);
    }
    tell_changed(s);
    return ERR_OK;
}

void socket_send(struct actor_socket *s, bool is_text, struct bytes *data)
{
    if (s->state == SOCKET_OPEN) {
        s->set->owner->hooks->send(s->set->owner->ctx, s, is_text, data);
    }
}

static void say_close(struct actor_socket *s, uint16_t code, struct slice reason)
{
    s->set->owner->hooks->close(s->set->owner->ctx, s, code, reason);
}

/* Ours to give: whatever else comes of it, the client hears this code. */
void socket_close_now(struct actor_socket *s, uint16_t code, struct slice reason)
{
    if (s->state == SOCKET_OPEN || s->state == SOCKET_OFFERED) {
        say_close(s, code, reason);
        socket_move(s, SOCKET_CLOSING);
    } else if (s->state == SOCKET_ASKED) {
        say_close(s, code, reason);
        socket_move(s, SOCKET_GONE);
    }
}

enum err socket_close(struct actor_socket *s, uint16_t code, struct slice reason)
{
    bool is_valid = code == 0 ? reason.len == 0 : websocket_code_may_be_sent(code);
    if (!is_valid || reason.len > WEBSOCKET_REASON_BYTES_MAX || !slice_is_utf8(reason)) {
        return ERR_BAD_REQUEST;
    }
    socket_close_now(s, code, reason);
    socket_free_if_over(s);
    return ERR_OK;
}

enum err socket_attach(struct actor_socket *s, struct slice attachment)
{
    if (attachment.len > SOCKET_ATTACHMENT_BYTES_MAX) {
        return ERR_TOO_LARGE;
    }
    if (s->attachment == NULL || !slice_equal(bytes_slice(s->attachment), attachment)) {
        bytes_unref(s->attachment);
        s->attachment = bytes_new(attachment);
        tell_changed(s);
    }
    return ERR_OK;
}

enum err socket_set_auto(struct socket_set *set, struct slice request, struct slice response)
{
    enum err err = socket_check_auto(request, response);
    if (err != ERR_OK) {
        return err;
    }
    if (slice_equal(bytes_slice(set->auto_request), request) &&
        slice_equal(bytes_slice(set->auto_response), response)) {
        return ERR_OK; /* each constructor says so again */
    }
    bytes_unref(set->auto_request);
    bytes_unref(set->auto_response);
    set->auto_request = bytes_or_null(request);
    set->auto_response = bytes_or_null(response);
    set->auto_version++;
    LIST_FOREACH (link, &set->sockets) {
        tell_changed(LIST_ENTRY(link, struct actor_socket, link));
    }
    return ERR_OK;
}

void socket_set_isolate_gone(struct socket_set *set)
{
    LIST_FOREACH_SAFE (link, &set->sockets) {
        struct actor_socket *s = LIST_ENTRY(link, struct actor_socket, link);
        bool is_last = set->count == 1;
        if (s->state == SOCKET_OFFERED || s->body_hooks != NULL) {
            continue; /* its request has an answer of its own, or it is nothing of the code's */
        }
        if (s->is_in_doubt || !s->is_hibernatable) {
            socket_close_now(s, WEBSOCKET_RESTART, SLICE("The actor was restarted."));
            s->is_in_doubt = false;
            s->is_deaf = !s->is_hibernatable;
            socket_drop_waiting(s); /* it may be gone then */
        }
        if (is_last) {
            return; /* the set may be gone */
        }
    }
}
