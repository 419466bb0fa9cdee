#include "node/socket_owner.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/websocket.h"

enum { LOOK_MS = 1000 };

enum end_state { END_SERVING, END_ENDING, END_LINGERING };

struct owner_end {
    enum end_state state;
    struct socket_owner *owner;
    struct map_node by_id;
    struct list link;
    struct list dirty;
    struct actor_socket *socket; /* SERVING */
    struct socket_ref ref;
    uint32_t attempt;
    uint32_t shard;
    struct socket_link letters;
    size_t counted_bytes; /* of them, in owner.untaken_bytes */
    bool has_memo;        /* the client's end has been given one */
    bool memo_is_due;     /* ... and is to be given another */
    bool is_over_bound;
    bool is_clean; /* ENDING */
    uint64_t heard_ms;
    uint64_t since_ms; /* in this state */
};

static void end_move(struct owner_end *e, enum end_state to)
{
    INVARIANT(e->state == END_SERVING && to != END_SERVING);
    e->state = to;
    e->socket = NULL;
    e->since_ms = e->owner->now_ms;
}

static void mark_dirty(struct owner_end *e)
{
    if (list_is_empty(&e->dirty)) {
        list_append(&e->owner->dirty, &e->dirty);
    }
}

static void count_bytes(struct owner_end *e)
{
    e->owner->untaken_bytes += e->letters.kept_bytes - e->counted_bytes;
    e->counted_bytes = e->letters.kept_bytes;
}

/* Lifetime */

static struct owner_end *find(const struct socket_owner *o, struct socket_ref ref)
{
    struct map_node *n = map_find(&o->ends, ref.id);
    for (; n != NULL; n = map_next_same(n)) {
        struct owner_end *e = CONTAINER_OF(n, struct owner_end, by_id);
        if (e->ref.node == ref.node) {
            return e;
        }
    }
    return NULL;
}

static struct owner_end *end_new(struct socket_owner *o, struct actor_socket *s, uint32_t attempt,
                                 uint64_t down, uint64_t up)
{
    struct owner_end *e = MEM_NEW(struct owner_end);
    e->owner = o;
    e->socket = s;
    e->ref = s->ref;
    e->attempt = attempt;
    e->shard = s->set->shard;
    e->heard_ms = o->now_ms;
    e->since_ms = o->now_ms;
    socket_link_init(&e->letters, down, up);
    list_init(&e->link);
    list_init(&e->dirty);
    list_append(&o->all, &e->link);
    map_add(&o->ends, &e->by_id, e->ref.id);
    o->count++;
    s->end = e;
    return e;
}

static void end_free(struct owner_end *e)
{
    PRE(e->socket == NULL);
    struct socket_owner *o = e->owner;
    map_remove(&o->ends, &e->by_id);
    list_remove(&e->link);
    list_remove(&e->dirty);
    socket_link_done(&e->letters);
    o->untaken_bytes -= e->counted_bytes;
    o->count--;
    mem_free(e);
}

/* From the sets */

/* Its end is made when it first is to say something; NULL: it cannot have one, for it has another actor. */
static struct owner_end *end_of(struct socket_owner *o, struct actor_socket *s)
{
    if (s->end == NULL && find(o, s->ref) == NULL) {
        s->end = end_new(o, s, 1, 0, 0);
    }
    o->has_orphans = o->has_orphans || s->end == NULL;
    return s->end;
}

static void put(struct owner_end *e, const struct socket_letter_head *head, struct bytes *data)
{
    socket_link_put(&e->letters, head, data);
    count_bytes(e);
    mark_dirty(e);
}

static void put_memo(struct owner_end *e)
{
    const struct socket_letter_head head = {.kind = SOCKET_LETTER_MEMO};
    const struct socket_set *set = e->socket->set;
    struct socket_who who = {.identity = set->identity, .address = set->address};
    struct buf memo = {0};
    struct buf text = {0};
    socket_put_memo(e->socket, &memo);
    who.memo = buf_slice(&memo);
    socket_who_encode(&who, &text);
    struct bytes *data = bytes_new(buf_slice(&text));
    put(e, &head, data);
    bytes_unref(data);
    buf_done(&memo);
    buf_done(&text);
    e->has_memo = true;
    e->memo_is_due = false;
}

/* The first is the first letter; of later changes the last one counts, once all is flushed. */
static void on_changed(void *ctx, struct actor_socket *s)
{
    struct owner_end *e = end_of(ctx, s);
    if (e != NULL && !e->has_memo) {
        put_memo(e);
    } else if (e != NULL) {
        e->memo_is_due = true;
        mark_dirty(e);
    }
}

static void on_send(void *ctx, struct actor_socket *s, bool is_text, struct bytes *data)
{
    struct socket_owner *o = ctx;
    struct owner_end *e = end_of(o, s);
    const struct socket_letter_head head = {.kind =
                                                is_text ? SOCKET_LETTER_TEXT : SOCKET_LETTER_BYTES};
    if (e == NULL) {
        return;
    }
    e->is_over_bound = e->is_over_bound || e->letters.kept_bytes >= SOCKET_UNTAKEN_BYTES_MAX ||
                       o->untaken_bytes >= SOCKET_ALL_UNTAKEN_BYTES_MAX ||
                       bytes_slice(data).len > SOCKET_LETTER_BYTES_MAX;
    if (!e->is_over_bound) {
        put(e, &head, data);
    } else {
        mark_dirty(e); /* it is closed there, where no set is at work */
    }
}

static void put_close(struct owner_end *e, uint16_t code, struct slice reason)
{
    const struct socket_letter_head head = {.kind = SOCKET_LETTER_CLOSE, .code = code};
    struct bytes *data = reason.len > 0 ? bytes_new(reason) : NULL;
    put(e, &head, data);
    bytes_unref(data);
}

static void on_close(void *ctx, struct actor_socket *s, uint16_t code, struct slice reason)
{
    struct owner_end *e = end_of(ctx, s);
    if (e != NULL && !e->has_memo) {
        put_memo(e); /* it is closed before anybody has accepted it in so many words */
    }
    if (e != NULL) {
        put_close(e, code, reason);
    }
}

static void on_taken(void *ctx, struct actor_socket *s)
{
    (void)ctx;
    struct owner_end *e = s->end;
    if (e != NULL &&
        e->letters.in_taken < e->letters.received) { /* else it was of our own making */
        socket_link_take(&e->letters);
        mark_dirty(e);
    }
}

/* A socket that was accepted for an isolate alone ends with it, as one does that is in doubt. */
static void on_gone(void *ctx, struct actor_socket *s, bool is_over)
{
    (void)ctx;
    struct owner_end *e = s->end;
    if (e == NULL) {
        return; /* it was not accepted, or could not be restored */
    }
    if (!is_over && (e->memo_is_due || s->state == SOCKET_CLOSING)) {
        put_memo(e); /* the next owner must not hear what comes behind a close of ours */
    }
    e->is_clean = !s->is_in_doubt && s->is_hibernatable;
    end_move(e, is_over ? END_LINGERING : END_ENDING);
    mark_dirty(e);
}

static const struct socket_hooks set_hooks = {
    .changed = on_changed, .send = on_send, .close = on_close, .taken = on_taken, .gone = on_gone};

void socket_owner_init(struct socket_owner *o, const struct socket_net *net, void *ctx,
                       uint32_t own_node)
{
    *o = (struct socket_owner){.net = net, .ctx = ctx, .own_node = own_node};
    socket_sets_init(&o->sets, &set_hooks, o);
    list_init(&o->all);
    list_init(&o->dirty);
}

void socket_owner_done(struct socket_owner *o)
{
    socket_sets_done(&o->sets);
    LIST_FOREACH_SAFE (link, &o->all) {
        end_free(LIST_ENTRY(link, struct owner_end, link));
    }
    map_done(&o->ends);
    POST(o->count == 0 && o->untaken_bytes == 0);
}

void socket_owner_depose(struct socket_owner *o, uint32_t shard)
{
    socket_sets_depose(&o->sets, shard);
}

/* To the client's node */

static struct socket_mail mail_of(const struct owner_end *e, enum socket_mail_kind kind)
{
    return (struct socket_mail){
        .kind = kind, .id = e->ref.id, .attempt = e->attempt, .shard = e->shard};
}

static bool send(struct owner_end *e, const struct socket_mail *m)
{
    return e->owner->net->send(e->owner->ctx, e->ref.node, false, m);
}

static void answer(struct socket_owner *o, uint32_t node, const struct socket_mail *to,
                   enum socket_mail_kind kind)
{
    const struct socket_mail m = {.kind = kind,
                                  .id = to->id,
                                  .attempt = to->attempt,
                                  .shard = to->shard,
                                  .up = to->up,
                                  .down = to->down,
                                  .is_clean = true};
    (void)o->net->send(o->ctx, node, false, &m); /* where it is lost they ask again */
}

static bool send_letters(struct owner_end *e)
{
    struct socket_owner *o = e->owner;
    struct socket_mail m = mail_of(e, SOCKET_MAIL_PIECE);
    size_t piece_bytes = o->net->piece_bytes(o->ctx, e->ref.node);
    while (socket_link_next(&e->letters, piece_bytes, &m.piece)) {
        if (!send(e, &m)) {
            return false;
        }
        socket_link_sent(&e->letters, &m.piece, o->now_ms);
    }
    return true;
}

static bool send_sync(struct owner_end *e)
{
    struct socket_mail m = mail_of(e, SOCKET_MAIL_SYNC);
    if (!socket_link_sync(&e->letters, &m.sync)) {
        return true;
    }
    if (!send(e, &m)) {
        return false;
    }
    socket_link_synced(&e->letters, &m.sync, e->owner->now_ms);
    return true;
}

static bool send_end(struct owner_end *e)
{
    struct socket_mail m = mail_of(e, SOCKET_MAIL_END);
    m.up = e->letters.in_taken;
    m.down = e->letters.next - 1;
    m.is_clean = e->is_clean;
    return send(e, &m);
}

static void close_over_bound(struct owner_end *e)
{
    e->is_over_bound = false;
    put_close(e, WEBSOCKET_TRY_AGAIN, SLICE("The client reads too slowly."));
    socket_lose(e->socket, "The client read too slowly.");
}

/* False: it must be tried again; else all that it has is sent. It may be gone then. */
static bool flush_end(struct owner_end *e)
{
    if (e->is_over_bound && e->state == END_SERVING) {
        close_over_bound(e);
    }
    if (e->state == END_SERVING && e->memo_is_due) {
        put_memo(e);
    }
    if (!send_letters(e) || !send_sync(e)) {
        return false;
    }
    if (e->state == END_LINGERING && socket_link_is_empty(&e->letters)) {
        end_free(e);
    } else if (e->state == END_ENDING && socket_link_is_sent(&e->letters)) {
        if (!send_end(e)) {
            return false;
        }
        end_free(e);
    }
    return true;
}

static struct actor_socket *find_orphan(const struct socket_owner *o)
{
    MAP_FOREACH (n, &o->sets.sets) {
        struct socket_set *set = CONTAINER_OF(n, struct socket_set, by_identity);
        LIST_FOREACH (link, &set->sockets) {
            struct actor_socket *s = LIST_ENTRY(link, struct actor_socket, link);
            if (s->end == NULL && s->state != SOCKET_OFFERED && s->state != SOCKET_GONE) {
                return s;
            }
        }
    }
    return NULL;
}

static void lose_orphans(struct socket_owner *o)
{
    struct actor_socket *s;
    o->has_orphans = false;
    while ((s = find_orphan(o)) != NULL) {
        socket_lose(s, "Another actor has accepted it.");
    }
}

void socket_owner_flush(struct socket_owner *o)
{
    struct list again;
    if (o->has_orphans) {
        lose_orphans(o);
    }
    struct owner_end *e;
    list_init(&again);
    while ((e = LIST_FIRST(&o->dirty, struct owner_end, dirty)) != NULL) {
        list_remove(&e->dirty);
        if (!flush_end(e)) {
            list_remove(&e->dirty);
            list_append(&again, &e->dirty);
        }
    }
    list_move_all(&o->dirty, &again);
}

/* From the client's node */

static void take_letter(struct owner_end *e, struct socket_letter *letter)
{
    struct slice text = bytes_slice(letter->data);
    const struct socket_letter_head *h = &letter->head;
    switch (h->kind) {
    case SOCKET_LETTER_TEXT:
    case SOCKET_LETTER_BYTES:
        socket_arrive(e->socket, h->kind == SOCKET_LETTER_TEXT, letter->data, e->owner->wall_ms);
        return;
    case SOCKET_LETTER_CLOSE:
        socket_arrive_close(e->socket, h->code, text, h->was_clean, h->is_owed);
        return;
    case SOCKET_LETTER_FAILURE:
        socket_arrive_failure(e->socket, text);
        return;
    case SOCKET_LETTER_MEMO:
    case SOCKET_LETTER_KIND_END:
        socket_link_take(&e->letters); /* nobody sends such a one up */
        return;
    }
}

/* What comes after the actor has let go is not taken: the next owner gets it. */
static enum err take_piece(struct owner_end *e, const struct socket_piece *piece)
{
    struct socket_letter *letter;
    if (e->state == END_ENDING) {
        return ERR_OK;
    }
    enum err err = socket_link_receive(&e->letters, piece, &letter);
    mark_dirty(e);
    if (letter != NULL && e->state == END_LINGERING) {
        socket_link_take(&e->letters);
    } else if (letter != NULL) {
        take_letter(e, letter);
    }
    socket_letter_free(letter);
    return err == ERR_MORE || err == ERR_NO_MEMORY ? ERR_OK : err; /* it comes again */
}

static void take_gone(struct owner_end *e)
{
    if (e->state == END_SERVING) {
        socket_lose(e->socket, "The connection ended without a close frame.");
    }
    if (e->state == END_SERVING) {
        socket_link_done(&e->letters); /* nobody is there to read it */
        socket_link_init(&e->letters, e->letters.next - 1, e->letters.in_taken);
        count_bytes(e);
        return;
    }
    end_free(e);
}

static void open_end(struct socket_owner *o, uint32_t from, const struct socket_mail *m)
{
    struct socket_ref ref = {.id = m->id, .node = from};
    struct socket_who who;
    struct actor_socket *s;
    if (o->net->leader_of(o->ctx, m->shard) != o->own_node) {
        answer(o, from, m, SOCKET_MAIL_END);
        return;
    }
    enum err err = socket_who_decode(m->who, &who);
    err = err != ERR_OK
              ? err
              : socket_restore(&o->sets, &who.identity, &who.address, m->shard, ref, who.memo, &s);
    if (err != ERR_OK) {
        answer(o, from, m, SOCKET_MAIL_GONE);
        return;
    }
    struct owner_end *e = end_new(o, s, m->attempt, m->down, m->up);
    e->has_memo = true;
    e->letters.owes_answer = true;
    mark_dirty(e);
}

static enum err take_open(struct socket_owner *o, uint32_t from, const struct socket_mail *m,
                          struct owner_end *e)
{
    if (e != NULL && e->attempt == m->attempt) {
        e->letters.owes_answer = true;
        mark_dirty(e);
        return ERR_OK;
    }
    if (e != NULL && e->state == END_SERVING) {
        return ERR_CORRUPT; /* they have not heard of an end, for there was none */
    }
    if (e != NULL) {
        end_free(e); /* they have given it up */
    }
    open_end(o, from, m);
    return ERR_OK;
}

static enum err hear(struct owner_end *e, const struct socket_sync *sync)
{
    const struct socket_sets *sets = &e->owner->sets;
    uint64_t before = e->letters.drained_bytes;
    enum err err = socket_link_hear(&e->letters, sync, e->owner->now_ms);
    uint64_t drained = e->letters.drained_bytes - before;
    bool is_body = drained > 0 && e->socket != NULL && e->socket->is_body;
    if (is_body && e->socket->body_hooks != NULL) {
        e->socket->body_hooks->drained(e->socket->body_ctx, e->socket, (size_t)drained);
    } else if (is_body && sets->drained != NULL) {
        sets->drained(sets->host_ctx, e->socket, (size_t)drained);
    }
    return err;
}

static enum err take_known(struct owner_end *e, const struct socket_mail *m)
{
    enum err err = ERR_OK;
    switch (m->kind) {
    case SOCKET_MAIL_PIECE:
        return take_piece(e, &m->piece);
    case SOCKET_MAIL_SYNC:
        err = hear(e, &m->sync);
        count_bytes(e);
        mark_dirty(e);
        return err;
    case SOCKET_MAIL_GONE:
        take_gone(e);
        return ERR_OK;
    case SOCKET_MAIL_OPEN:
    case SOCKET_MAIL_END:
    case SOCKET_MAIL_KIND_END:
        return ERR_CORRUPT;
    }
    return ERR_CORRUPT;
}

enum err socket_owner_take(struct socket_owner *o, uint32_t from, const struct socket_mail *m)
{
    struct owner_end *e = find(o, (struct socket_ref){.id = m->id, .node = from});
    if (e != NULL) {
        e->heard_ms = o->now_ms;
    }
    if (m->kind == SOCKET_MAIL_OPEN) {
        return take_open(o, from, m, e);
    }
    if (e == NULL || m->attempt != e->attempt) {
        if (m->kind != SOCKET_MAIL_GONE) {
            answer(o, from, m, SOCKET_MAIL_GONE);
        }
        return ERR_OK;
    }
    return take_known(e, m);
}

/* Time */

void socket_owner_on_lost(struct socket_owner *o, uint32_t node)
{
    LIST_FOREACH (link, &o->all) {
        struct owner_end *e = LIST_ENTRY(link, struct owner_end, link);
        if (e->ref.node == node) {
            socket_link_break(&e->letters);
            mark_dirty(e);
        }
    }
}

static void look_at(struct owner_end *e, uint64_t now_ms)
{
    socket_link_tick(&e->letters, now_ms);
    if (e->state == END_SERVING && e->ref.node != e->owner->own_node) {
        if (now_ms >= e->heard_ms + SOCKET_SILENT_MS) {
            take_gone(e);
            return;
        }
        if (now_ms >= e->heard_ms + SOCKET_ASK_MS && e->letters.probe_ms == 0) {
            e->letters.has_question = true;
        }
    }
    if (e->letters.has_question) {
        mark_dirty(e);
    }
    if (e->state != END_SERVING && now_ms >= e->since_ms + SOCKET_LINGER_MS) {
        end_free(e);
    }
}

void socket_owner_tick(struct socket_owner *o, uint64_t now_ms, uint64_t wall_ms)
{
    o->now_ms = now_ms;
    o->wall_ms = wall_ms;
    if (now_ms < o->next_look_ms) {
        return;
    }
    o->next_look_ms = now_ms + LOOK_MS;
    LIST_FOREACH_SAFE (link, &o->all) {
        look_at(LIST_ENTRY(link, struct owner_end, link), now_ms);
    }
}
