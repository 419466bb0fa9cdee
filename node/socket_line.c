#include "node/socket_line.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"

static bool may_move(enum socket_line_state from, enum socket_line_state to)
{
    switch (from) {
    case LINE_OFFERED:
        return to == LINE_SERVED || to == LINE_LOST;
    case LINE_SERVED:
        return to == LINE_LOOKING || to == LINE_LOST;
    case LINE_LOOKING:
        return to == LINE_OPENING || to == LINE_LOST;
    case LINE_OPENING:
        return to == LINE_SERVED || to == LINE_LOOKING || to == LINE_LOST;
    case LINE_LOST:
        return false;
    }
    return false;
}

static void line_move(struct socket_line *y, enum socket_line_state to)
{
    INVARIANT(may_move(y->state, to));
    y->state = to;
}

static void mark_dirty(struct socket_line *y)
{
    if (list_is_empty(&y->dirty)) {
        list_append(&y->lines->dirty, &y->dirty);
    }
}

static void count_bytes(struct socket_line *y)
{
    y->lines->kept_bytes += y->letters.kept_bytes - y->counted_bytes;
    y->counted_bytes = y->letters.kept_bytes;
}

/* Lifetime */

void socket_lines_init(struct socket_lines *s, const struct socket_net *net, void *ctx,
                       uint32_t own_node, uint32_t worker)
{
    PRE(worker < 1U << SOCKET_WORKER_BITS);
    *s = (struct socket_lines){.net = net, .ctx = ctx, .own_node = own_node, .worker = worker};
    list_init(&s->all);
    list_init(&s->dirty);
}

uint32_t socket_line_worker(uint64_t id)
{
    return (uint32_t)(id >> SOCKET_RANDOM_BITS) & ((1U << SOCKET_WORKER_BITS) - 1);
}

static struct socket_line *find(const struct socket_lines *s, uint64_t id)
{
    struct map_node *n = map_find(&s->by_id, id);
    return n != NULL ? CONTAINER_OF(n, struct socket_line, by_id) : NULL;
}

/* Nobody can guess it, and no other node is likely to draw the same for the same actor. */
static uint64_t new_id(const struct socket_lines *s)
{
    uint64_t id = 0;
    while (id == 0 || find(s, id) != NULL) {
        id = (random_u64() >> (64 - SOCKET_RANDOM_BITS)) | (uint64_t)s->worker
                                                               << SOCKET_RANDOM_BITS;
    }
    return id;
}

struct socket_line *socket_line_new(struct socket_lines *s, const struct socket_line_hooks *hooks,
                                    void *ctx)
{
    if (s->count >= SOCKET_LINES_MAX) {
        return NULL;
    }
    struct socket_line *y = MEM_NEW(struct socket_line);
    y->lines = s;
    y->hooks = hooks;
    y->ctx = ctx;
    y->id = new_id(s);
    y->attempt = 1;
    socket_link_init(&y->letters, 0, 0);
    list_init(&y->link);
    list_init(&y->dirty);
    list_append(&s->all, &y->link);
    map_add(&s->by_id, &y->by_id, y->id);
    s->count++;
    return y;
}

static void line_free(struct socket_line *y)
{
    struct socket_lines *s = y->lines;
    map_remove(&s->by_id, &y->by_id);
    list_remove(&y->link);
    list_remove(&y->dirty);
    socket_link_done(&y->letters);
    s->kept_bytes -= y->counted_bytes;
    bytes_unref(y->who);
    s->count--;
    mem_free(y);
}

void socket_lines_done(struct socket_lines *s)
{
    LIST_FOREACH_SAFE (link, &s->all) {
        struct socket_line *y = LIST_ENTRY(link, struct socket_line, link);
        PRE(y->hooks == NULL);
        line_free(y);
    }
    map_done(&s->by_id);
    POST(s->count == 0 && s->kept_bytes == 0);
}

/* The owner is told once it has taken all; one that nobody has accepted has none that we know of: it learns
 * so when it says something. */
void socket_line_close(struct socket_line *y)
{
    y->hooks = NULL;
    if (y->state == LINE_OFFERED || y->state == LINE_LOST) {
        line_free(y);
    } else {
        mark_dirty(y);
    }
}

static void lose(struct socket_line *y)
{
    y->lines->lost++;
    y->broke_ms = 0;
    line_move(y, LINE_LOST);
    if (y->hooks == NULL) {
        line_free(y);
    } else {
        y->hooks->on_lost(y->ctx);
    }
}

/* Letters */

void socket_line_put(struct socket_line *y, const struct socket_letter_head *head,
                     struct bytes *data)
{
    socket_link_put(&y->letters, head, data);
    count_bytes(y);
    mark_dirty(y);
}

size_t socket_line_kept_bytes(const struct socket_line *y)
{
    return y->letters.kept_bytes;
}

void socket_line_take(struct socket_line *y)
{
    socket_link_take(&y->letters);
    mark_dirty(y);
}

/* To the owner */

static struct socket_mail mail_of(const struct socket_line *y, enum socket_mail_kind kind)
{
    return (struct socket_mail){
        .kind = kind, .id = y->id, .attempt = y->attempt, .shard = y->shard};
}

static bool send(struct socket_line *y, const struct socket_mail *m)
{
    return y->lines->net->send(y->lines->ctx, y->node, true, m);
}

static bool send_open(struct socket_line *y)
{
    struct socket_mail m = mail_of(y, SOCKET_MAIL_OPEN);
    m.who = bytes_slice(y->who);
    m.up = y->letters.taken;
    m.down = y->letters.received;
    return send(y, &m);
}

static bool send_letters(struct socket_line *y)
{
    struct socket_mail m = mail_of(y, SOCKET_MAIL_PIECE);
    size_t piece_bytes = y->lines->net->piece_bytes(y->lines->ctx, y->node);
    while (socket_link_next(&y->letters, piece_bytes, &m.piece)) {
        if (!send(y, &m)) {
            return false;
        }
        socket_link_sent(&y->letters, &m.piece, y->lines->now_ms);
    }
    return true;
}

static bool send_sync(struct socket_line *y)
{
    struct socket_mail m = mail_of(y, SOCKET_MAIL_SYNC);
    if (!socket_link_sync(&y->letters, &m.sync)) {
        return true;
    }
    if (!send(y, &m)) {
        return false;
    }
    socket_link_synced(&y->letters, &m.sync, y->lines->now_ms);
    return true;
}

/* False: it must be tried again. It may be gone when this returns. */
static bool flush_line(struct socket_line *y)
{
    if (y->state == LINE_OPENING && y->open_is_due) {
        y->open_is_due = !send_open(y);
        return !y->open_is_due;
    }
    if (y->node == 0 || (y->state != LINE_SERVED && y->state != LINE_OFFERED)) {
        return true;
    }
    if (!send_letters(y) || !send_sync(y)) {
        return false;
    }
    if (y->hooks == NULL && socket_link_is_empty(&y->letters)) {
        const struct socket_mail gone = mail_of(y, SOCKET_MAIL_GONE);
        if (!send(y, &gone)) {
            return false;
        }
        line_free(y);
    }
    return true;
}

void socket_lines_flush(struct socket_lines *s)
{
    struct list again;
    struct socket_line *y;
    list_init(&again);
    while ((y = LIST_FIRST(&s->dirty, struct socket_line, dirty)) != NULL) {
        list_remove(&y->dirty);
        if (!flush_line(y)) {
            list_remove(&y->dirty);
            list_append(&again, &y->dirty);
        }
    }
    list_move_all(&s->dirty, &again);
}

/* Owners that come and go */

static void look(struct socket_line *y)
{
    struct socket_lines *s = y->lines;
    uint32_t node = s->net->leader_of(s->ctx, y->shard);
    y->retry_ms = s->now_ms + SOCKET_LOOK_MS;
    if (node == 0) {
        return;
    }
    line_move(y, LINE_OPENING);
    y->broke_ms = 0;
    y->node = node;
    y->attempt++;
    y->open_is_due = true;
    y->retry_ms = s->now_ms + SOCKET_OPEN_MS;
    mark_dirty(y);
}

static void begin_anew(struct socket_line *y, uint64_t up_taken)
{
    socket_link_restart(&y->letters, up_taken);
    count_bytes(y);
    y->broke_ms = 0;
    y->lines->moved++;
    line_move(y, LINE_LOOKING);
    look(y);
}

/* Had all that the owner said come, and is it known what it has done? */
static void take_end(struct socket_line *y, const struct socket_mail *m)
{
    struct socket_link *l = &y->letters;
    if (y->state == LINE_OFFERED || !m->is_clean || m->down != l->received || m->up < l->taken ||
        m->up >= l->next) {
        lose(y);
        return;
    }
    bool has_room = m->up > l->taken;
    begin_anew(y, m->up);
    if (has_room && y->hooks != NULL) {
        y->hooks->on_room(y->ctx);
    }
}

/* What the owner says */

static void take_memo(struct socket_line *y, struct socket_letter *letter)
{
    bytes_unref(y->who);
    y->who = bytes_ref(letter->data);
    socket_link_take(&y->letters);
    socket_letter_free(letter);
    if (y->state == LINE_OFFERED) {
        line_move(y, LINE_SERVED);
        y->hooks->on_owned(y->ctx);
    }
}

static void take_letter(struct socket_line *y, struct socket_letter *letter)
{
    if (letter->head.kind == SOCKET_LETTER_MEMO) {
        take_memo(y, letter);
    } else if (y->hooks == NULL || y->state == LINE_OFFERED) {
        socket_link_take(&y->letters);
        socket_letter_free(letter);
    } else {
        y->hooks->on_letter(y->ctx, letter);
    }
}

static enum err take_piece(struct socket_line *y, const struct socket_piece *piece)
{
    struct socket_letter *letter;
    enum err err = socket_link_receive(&y->letters, piece, &letter);
    mark_dirty(y);
    if (letter != NULL) {
        take_letter(y, letter);
    }
    return err == ERR_MORE || err == ERR_NO_MEMORY ? ERR_OK : err; /* it comes again */
}

static enum err take_sync(struct socket_line *y, const struct socket_sync *sync)
{
    struct socket_link *l = &y->letters;
    uint64_t taken = l->taken;
    enum err err = socket_link_hear(l, sync, y->lines->now_ms);
    if (err != ERR_OK) {
        return err;
    }
    count_bytes(y);
    mark_dirty(y);
    if (sync->is_answer) {
        y->broke_ms = 0;
    }
    if (y->state == LINE_OPENING) {
        line_move(y, LINE_SERVED);
    }
    if (l->taken > taken && y->hooks != NULL) {
        y->hooks->on_room(y->ctx);
    }
    return ERR_OK;
}

static enum err take_mail(struct socket_line *y, const struct socket_mail *m)
{
    switch (m->kind) {
    case SOCKET_MAIL_PIECE:
        return take_piece(y, &m->piece);
    case SOCKET_MAIL_SYNC:
        return take_sync(y, &m->sync);
    case SOCKET_MAIL_GONE:
        lose(y);
        return ERR_OK;
    case SOCKET_MAIL_END:
        take_end(y, m);
        return ERR_OK;
    case SOCKET_MAIL_OPEN:
    case SOCKET_MAIL_KIND_END:
        return ERR_CORRUPT;
    }
    return ERR_CORRUPT;
}

static void tell_gone(struct socket_lines *s, uint32_t from, const struct socket_mail *to)
{
    const struct socket_mail m = {
        .kind = SOCKET_MAIL_GONE, .id = to->id, .attempt = to->attempt, .shard = to->shard};
    if (to->kind != SOCKET_MAIL_GONE && to->kind != SOCKET_MAIL_END) {
        (void)s->net->send(s->ctx, from, true, &m); /* where it is lost they say something again */
    }
}

/* The first that says something of it has it: no other has heard of it. */
static bool is_of(struct socket_line *y, uint32_t from, const struct socket_mail *m)
{
    if (y->state == LINE_OFFERED && y->node == 0 && m->attempt == y->attempt) {
        y->node = from;
        y->shard = m->shard;
    }
    return y->node == from && y->attempt == m->attempt && y->state != LINE_LOOKING &&
           y->state != LINE_LOST;
}

enum err socket_lines_take(struct socket_lines *s, uint32_t from, const struct socket_mail *m)
{
    struct socket_line *y = find(s, m->id);
    if (y == NULL || !is_of(y, from, m)) {
        tell_gone(s, from, m);
        return ERR_OK;
    }
    return take_mail(y, m);
}

/* Time */

void socket_lines_on_lost(struct socket_lines *s, uint32_t node)
{
    LIST_FOREACH (link, &s->all) {
        struct socket_line *y = LIST_ENTRY(link, struct socket_line, link);
        if (y->node == node && y->state != LINE_LOOKING && y->state != LINE_LOST) {
            socket_link_break(&y->letters);
            y->broke_ms = y->broke_ms != 0 ? y->broke_ms : s->now_ms;
            mark_dirty(y);
        }
    }
}

/* Its node does not answer, and leads no more or has not been heard of for long. It may have taken the socket
 * over, where it was asked to, and have sent something. */
static bool is_abandoned(const struct socket_line *y, uint64_t now_ms)
{
    const struct socket_lines *s = y->lines;
    uint32_t leader = s->net->leader_of(s->ctx, y->shard);
    bool is_deposed = leader != 0 && leader != y->node;
    return now_ms >= y->broke_ms + (is_deposed ? SOCKET_DEPOSED_MS : SOCKET_GONE_MS);
}

static void look_at(struct socket_line *y, uint64_t now_ms)
{
    socket_link_tick(&y->letters, now_ms);
    if (y->letters.has_question) {
        mark_dirty(y);
    }
    if (y->broke_ms != 0 && is_abandoned(y, now_ms)) {
        lose(y);
        return;
    }
    switch (y->state) {
    case LINE_LOOKING:
        if (now_ms >= y->retry_ms) {
            look(y);
        }
        return;
    case LINE_OPENING:
        if (now_ms >= y->retry_ms) {
            y->open_is_due = true;
            y->retry_ms = now_ms + SOCKET_OPEN_MS;
            mark_dirty(y);
        }
        return;
    case LINE_OFFERED:
    case LINE_SERVED:
    case LINE_LOST:
        return;
    }
}

void socket_lines_tick(struct socket_lines *s, uint64_t now_ms)
{
    s->now_ms = now_ms;
    if (now_ms < s->next_look_ms) {
        return;
    }
    s->next_look_ms = now_ms + SOCKET_LOOK_MS;
    LIST_FOREACH_SAFE (link, &s->all) {
        look_at(LIST_ENTRY(link, struct socket_line, link), now_ms);
    }
}
