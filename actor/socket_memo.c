/* Sockets as documents: for an isolate that starts, and for the next owner. */
#include "actor/socket_own.h"
#include "base/invariant.h"
#include "rpc/value.h"

static void put_bin_or_nil(struct buf *out, const struct bytes *b)
{
    if (b == NULL) {
        value_put_nil(out);
    } else {
        value_put_bin(out, bytes_slice(b));
    }
}

static void put_tags(struct buf *out, const struct actor_socket *s)
{
    value_put_array(out, (uint32_t)s->tag_count);
    for (size_t i = 0; i < s->tag_count; i++) {
        value_put_str(out, bytes_slice(s->tags[i]));
    }
}

/* For START */

static bool outlives_isolates(const struct actor_socket *s)
{
    return s->state != SOCKET_OFFERED && s->is_hibernatable;
}

void socket_put(const struct actor_socket *s, struct buf *out)
{
    value_put_array(out, 3);
    value_put_uint(out, s->ref.id);
    put_tags(out, s);
    put_bin_or_nil(out, s->attachment);
}

void socket_set_put(const struct socket_set *set, struct buf *out)
{
    uint32_t count = 0;
    LIST_FOREACH (link, &set->sockets) {
        count += outlives_isolates(LIST_ENTRY(link, struct actor_socket, link)) ? 1 : 0;
    }
    value_put_array(out, count);
    LIST_FOREACH (link, &set->sockets) {
        const struct actor_socket *s = LIST_ENTRY(link, struct actor_socket, link);
        if (outlives_isolates(s)) {
            socket_put(s, out);
        }
    }
}

void socket_set_put_auto(const struct socket_set *set, struct buf *out)
{
    if (set->auto_request == NULL) {
        value_put_nil(out);
        return;
    }
    value_put_array(out, 2);
    value_put_str(out, bytes_slice(set->auto_request));
    value_put_str(out, bytes_slice(set->auto_response));
}

static bool has_tag(const struct actor_socket *s, struct slice tag)
{
    for (size_t i = 0; i < s->tag_count; i++) {
        if (slice_equal(bytes_slice(s->tags[i]), tag)) {
            return true;
        }
    }
    return false;
}

struct actor_socket *socket_set_next_tagged(const struct socket_set *set, struct slice tag,
                                            const struct actor_socket *after)
{
    const struct list *link = after != NULL ? after->link.next : set->sockets.next;
    for (; link != &set->sockets; link = link->next) {
        struct actor_socket *s = LIST_ENTRY(link, struct actor_socket, link);
        if (s->state != SOCKET_OFFERED && has_tag(s, tag)) {
            return s;
        }
    }
    return NULL;
}

/* The memo: [closing, hibernatable, [tag, ...], attachment, auto_ms, auto_version, request, response] */

enum { MEMO_ITEMS = 8, MEMO_DEPTH = 2 };

void socket_put_memo(const struct actor_socket *s, struct buf *out)
{
    const struct socket_set *set = s->set;
    value_put_array(out, MEMO_ITEMS);
    value_put_bool(out, s->state == SOCKET_CLOSING);
    value_put_bool(out, s->is_hibernatable);
    put_tags(out, s);
    put_bin_or_nil(out, s->attachment);
    value_put_uint(out, s->auto_ms);
    value_put_uint(out, set->auto_version);
    value_put_str(out, bytes_slice(set->auto_request));
    value_put_str(out, bytes_slice(set->auto_response));
}

struct memo {
    bool is_closing;
    bool is_hibernatable;
    struct slice tags[SOCKET_TAGS_MAX];
    size_t tag_count;
    struct slice attachment;
    bool has_attachment;
    uint64_t auto_ms;
    uint64_t auto_version;
    struct slice auto_request;
    struct slice auto_response;
};

static bool take_tags(struct slice doc, struct memo *m)
{
    struct slice item;
    if (value_type(doc) != VALUE_ARRAY || value_count(doc) > SOCKET_TAGS_MAX) {
        return false;
    }
    for (struct value_iter it = value_items(doc); value_next(&it, &item); m->tag_count++) {
        if (!value_get_str(item, &m->tags[m->tag_count])) {
            return false;
        }
    }
    return true;
}

static bool take_memo(struct slice bytes, struct memo *m)
{
    struct slice item[MEMO_ITEMS];
    const char *reason;
    if (value_check(bytes, MEMO_DEPTH, &reason) != ERR_OK || value_type(bytes) != VALUE_ARRAY ||
        value_count(bytes) < MEMO_ITEMS) {
        return false; /* later versions may have more */
    }
    struct value_iter it = value_items(bytes);
    for (int i = 0; i < MEMO_ITEMS; i++) {
        bool has = value_next(&it, &item[i]);
        INVARIANT(has);
    }
    m->has_attachment = value_type(item[3]) != VALUE_NIL;
    return value_get_bool(item[0], &m->is_closing) &&
           value_get_bool(item[1], &m->is_hibernatable) && take_tags(item[2], m) &&
           (!m->has_attachment || value_get_bin(item[3], &m->attachment)) &&
           value_get_uint(item[4], &m->auto_ms) && value_get_uint(item[5], &m->auto_version) &&
           value_get_str(item[6], &m->auto_request) && value_get_str(item[7], &m->auto_response) &&
           m->attachment.len <= SOCKET_ATTACHMENT_BYTES_MAX &&
           socket_check_auto(m->auto_request, m->auto_response) == ERR_OK;
}

/* What any of the actor's sockets knows of it; the newest counts. */
static void restore_auto(struct socket_set *set, const struct memo *m)
{
    if (m->auto_version > set->auto_version) {
        bytes_unref(set->auto_request);
        bytes_unref(set->auto_response);
        set->auto_request = bytes_or_null(m->auto_request);
        set->auto_response = bytes_or_null(m->auto_response);
        set->auto_version = m->auto_version;
    }
}

enum err socket_restore(struct socket_sets *sets, const struct identity *identity,
                        const struct address *address, uint32_t shard, struct socket_ref ref,
                        struct slice memo, struct actor_socket **ret_socket)
{
    struct memo m = {0};
    struct actor_socket *s;
    PRE(ref.id != 0);
    if (!take_memo(memo, &m)) {
        return ERR_CORRUPT;
    }
    enum err err = socket_add(socket_set_of(sets, identity, address, shard), ref, &s);
    if (err != ERR_OK) {
        return err;
    }
    socket_move(s, m.is_closing ? SOCKET_CLOSING : SOCKET_OPEN);
    if (socket_set_tags(s, m.tags, m.tag_count) != ERR_OK) {
        socket_withdraw(s);
        return ERR_CORRUPT;
    }
    s->is_hibernatable = m.is_hibernatable;
    s->attachment = m.has_attachment ? bytes_new(m.attachment) : NULL;
    s->auto_ms = m.auto_ms;
    restore_auto(s->set, &m);
    if (sets->restored != NULL) {
        sets->restored(sets->host_ctx, s);
    }
    *ret_socket = s;
    return ERR_OK;
}
