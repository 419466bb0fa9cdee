#include "node/socket_link.h"

#include "base/invariant.h"
#include "base/mem.h"

enum { TELL_BYTES = SOCKET_FLIGHT_BYTES / 4 };

static void check(const struct socket_link *l)
{
    INVARIANT(l->in_taken <= l->received);
    INVARIANT(l->taken <= l->acknowledged && l->acknowledged < l->cursor && l->cursor <= l->next);
}

void socket_link_init(struct socket_link *l, uint64_t out_taken, uint64_t in_taken)
{
    *l = (struct socket_link){.next = out_taken + 1,
                              .taken = out_taken,
                              .acknowledged = out_taken,
                              .cursor = out_taken + 1,
                              .received = in_taken,
                              .in_taken = in_taken,
                              .told_taken = in_taken,
                              .pause_ms = SOCKET_PROBE_MS};
    list_init(&l->letters);
    check(l);
}

void socket_letter_free(struct socket_letter *letter)
{
    if (letter != NULL) {
        list_remove(&letter->link);
        bytes_unref(letter->data);
        mem_free(letter);
    }
}

void socket_link_done(struct socket_link *l)
{
    struct socket_letter *letter;
    while ((letter = LIST_FIRST(&l->letters, struct socket_letter, link)) != NULL) {
        socket_letter_free(letter);
    }
    socket_letter_free(l->part);
    l->part = NULL;
}

/* Out */

static struct socket_letter *letter_new(uint64_t number, const struct socket_letter_head *head)
{
    struct socket_letter *letter = MEM_NEW(struct socket_letter);
    letter->number = number;
    letter->head = *head;
    list_init(&letter->link);
    return letter;
}

static size_t kept_bytes(const struct socket_letter *letter)
{
    return bytes_slice(letter->data).len + SOCKET_LETTER_OVERHEAD;
}

void socket_link_put(struct socket_link *l, const struct socket_letter_head *head,
                     struct bytes *data)
{
    PRE(bytes_slice(data).len <= SOCKET_LETTER_BYTES_MAX);
    struct socket_letter *letter = letter_new(l->next++, head);
    letter->data = bytes_ref(data);
    list_append(&l->letters, &letter->link);
    l->kept_bytes += kept_bytes(letter);
}

static struct socket_letter *find(const struct socket_link *l, uint64_t number)
{
    LIST_FOREACH (link, &l->letters) {
        struct socket_letter *letter = LIST_ENTRY(link, struct socket_letter, link);
        if (letter->number == number) {
            return letter;
        }
    }
    return NULL;
}

static void set_cursor(struct socket_link *l, uint64_t number, size_t at)
{
    l->sending = l->cursor == number ? l->sending : NULL;
    l->cursor = number;
    l->cursor_at = at;
}

bool socket_link_next(struct socket_link *l, size_t piece_bytes, struct socket_piece *ret)
{
    if (l->is_stopped || l->cursor == l->next ||
        (piece_bytes != SIZE_MAX && l->flight_bytes >= SOCKET_FLIGHT_BYTES)) {
        return false;
    }
    l->sending = l->sending != NULL ? l->sending : find(l, l->cursor);
    const struct socket_letter *letter = l->sending;
    INVARIANT(letter != NULL && letter->number == l->cursor);
    struct slice whole = bytes_slice(letter->data);
    struct slice rest = l->cursor_at == 0 ? whole : slice_skip(whole, l->cursor_at);
    *ret = (struct socket_piece){
        .number = letter->number,
        .head = letter->head,
        .whole_bytes = whole.len,
        .at = l->cursor_at,
        .bytes = slice_of(rest.data, rest.len < piece_bytes ? rest.len : piece_bytes),
        .data = letter->data,
    };
    return true;
}

static void ask_later(struct socket_link *l, uint64_t now_ms)
{
    bool awaits_news = l->is_stopped || l->taken + 1 < l->cursor || l->cursor_at > 0;
    l->probe_ms = awaits_news ? now_ms + l->pause_ms : 0;
}

void socket_link_sent(struct socket_link *l, const struct socket_piece *piece, uint64_t now_ms)
{
    PRE(piece->number == l->cursor && piece->at == l->cursor_at);
    l->flight_bytes += piece->bytes.len;
    l->cursor_at += piece->bytes.len;
    if (l->cursor_at == piece->whole_bytes) {
        struct list *after = l->sending->link.next;
        l->cursor++;
        l->cursor_at = 0;
        l->sending = after != &l->letters ? LIST_ENTRY(after, struct socket_letter, link) : NULL;
    }
    if (l->probe_ms == 0) {
        ask_later(l, now_ms);
    }
    check(l);
}

bool socket_link_is_empty(const struct socket_link *l)
{
    return list_is_empty(&l->letters);
}

bool socket_link_is_sent(const struct socket_link *l)
{
    return l->cursor == l->next;
}

/* In */

static bool is_valid(const struct socket_piece *p)
{
    return p->number > 0 && p->head.kind > 0 && p->head.kind < SOCKET_LETTER_KIND_END &&
           p->whole_bytes <= SOCKET_LETTER_BYTES_MAX && p->at <= p->whole_bytes &&
           p->bytes.len <= p->whole_bytes - p->at &&
           (p->bytes.len > 0 || p->whole_bytes == 0); /* pieces that say nothing would never end */
}

/* The letter's bytes, as the sender has them or copied. */
static enum err keep(struct socket_link *l, const struct socket_piece *p)
{
    struct socket_letter *letter = l->part;
    if (p->data != NULL && p->bytes.len == p->whole_bytes) {
        letter->data = bytes_ref(p->data);
    } else if (letter->data == NULL && p->whole_bytes > 0) {
        letter->data = bytes_try_new_uninit(p->whole_bytes);
    }
    if (p->whole_bytes > 0 && letter->data == NULL) {
        return ERR_NO_MEMORY;
    }
    if (letter->data != p->data && p->bytes.len > 0) {
        memcpy(letter->data->data + p->at, p->bytes.data, p->bytes.len);
    }
    return ERR_OK;
}

static struct socket_letter *take_whole(struct socket_link *l)
{
    struct socket_letter *letter = l->part;
    l->part = NULL;
    l->part_bytes = 0;
    l->received++;
    return letter;
}

enum err socket_link_receive(struct socket_link *l, const struct socket_piece *p,
                             struct socket_letter **ret_letter)
{
    *ret_letter = NULL;
    if (!is_valid(p)) {
        return ERR_CORRUPT;
    }
    if (p->number <= l->received || (p->number == l->received + 1 && p->at < l->part_bytes)) {
        return ERR_OK; /* it came before */
    }
    if (p->number > l->received + 1 || p->at > l->part_bytes) {
        l->owes_answer = l->owes_answer || !l->has_gap; /* once: they go on from there */
        l->has_gap = true;
        return ERR_MORE;
    }
    if (l->part == NULL) {
        l->part = letter_new(p->number, &p->head);
    } else if (bytes_slice(l->part->data).len != p->whole_bytes) {
        return ERR_CORRUPT;
    }
    enum err err = keep(l, p);
    if (err != ERR_OK) {
        return err;
    }
    l->has_gap = false;
    l->part_bytes += p->bytes.len;
    l->untold_bytes += p->bytes.len;
    if (l->part_bytes == p->whole_bytes) {
        *ret_letter = take_whole(l);
    }
    check(l);
    return ERR_OK;
}

void socket_link_take(struct socket_link *l)
{
    PRE(l->in_taken < l->received);
    l->in_taken++;
}

/* Syncs */

static bool has_news(const struct socket_link *l)
{
    return l->in_taken > l->told_taken || l->untold_bytes >= TELL_BYTES;
}

bool socket_link_sync(const struct socket_link *l, struct socket_sync *ret)
{
    if (!l->owes_answer && !l->has_question && !has_news(l)) {
        return false;
    }
    *ret = (struct socket_sync){.received = l->received,
                                .part = l->part_bytes,
                                .taken = l->in_taken,
                                .is_question = l->has_question,
                                .is_answer = l->owes_answer};
    return true;
}

void socket_link_synced(struct socket_link *l, const struct socket_sync *sent, uint64_t now_ms)
{
    l->told_taken = sent->taken;
    l->untold_bytes = 0;
    l->owes_answer = false;
    if (sent->is_question) {
        l->has_question = false;
        l->probe_ms = now_ms + l->pause_ms;
        l->pause_ms = l->pause_ms * 2 < SOCKET_PROBE_MS_MAX ? l->pause_ms * 2 : SOCKET_PROBE_MS_MAX;
    }
}

static void drop_taken(struct socket_link *l, uint64_t taken)
{
    struct socket_letter *letter;
    while ((letter = LIST_FIRST(&l->letters, struct socket_letter, link)) != NULL &&
           letter->number <= taken) {
        l->kept_bytes -= kept_bytes(letter);
        l->drained_bytes +=
            letter->head.kind == SOCKET_LETTER_BYTES ? bytes_slice(letter->data).len : 0;
        socket_letter_free(letter);
    }
    l->taken = taken;
}

/* How many bytes there are from one place in the letters to a later one. */
static size_t bytes_between(const struct socket_link *l, uint64_t number, size_t at,
                            uint64_t to_number, size_t to_at)
{
    size_t bytes = 0;
    LIST_FOREACH (link, &l->letters) {
        const struct socket_letter *letter = LIST_ENTRY(link, struct socket_letter, link);
        if (letter->number >= number && letter->number < to_number) {
            bytes += bytes_slice(letter->data).len;
        }
    }
    return bytes + to_at - at;
}

static bool is_before(uint64_t a, size_t a_at, uint64_t b, size_t b_at)
{
    return a < b || (a == b && a_at < b_at);
}

/* False: it speaks of what was never put. */
static bool acknowledge(struct socket_link *l, const struct socket_sync *s)
{
    if (s->taken > s->received || s->received >= l->next) {
        return false;
    }
    if (!is_before(l->acknowledged, l->acknowledged_at, s->received, s->part)) {
        return true; /* we have heard of more since */
    }
    const struct socket_letter *next = s->part > 0 ? find(l, s->received + 1) : NULL;
    if (s->part > 0 && (next == NULL || s->part >= bytes_slice(next->data).len)) {
        return false;
    }
    l->acknowledged = s->received;
    l->acknowledged_at = s->part;
    if (is_before(l->cursor, l->cursor_at, l->acknowledged + 1, l->acknowledged_at)) {
        set_cursor(l, l->acknowledged + 1, l->acknowledged_at); /* it arrived before a break */
    }
    return true;
}

void socket_link_restart(struct socket_link *l, uint64_t out_taken)
{
    PRE(out_taken >= l->taken && out_taken < l->next);
    drop_taken(l, out_taken);
    l->acknowledged = out_taken;
    l->acknowledged_at = 0;
    set_cursor(l, out_taken + 1, 0);
    l->sending = NULL;
    l->flight_bytes = 0;
    socket_letter_free(l->part); /* the next will begin it anew */
    l->part = NULL;
    l->part_bytes = 0;
    l->is_stopped = true;
    l->owes_answer = l->has_question = l->has_gap = false;
    l->probe_ms = 0;
    l->pause_ms = SOCKET_PROBE_MS;
    check(l);
}

enum err socket_link_hear(struct socket_link *l, const struct socket_sync *s, uint64_t now_ms)
{
    bool is_progress =
        is_before(l->acknowledged, l->acknowledged_at, s->received, s->part) || s->taken > l->taken;
    if (!acknowledge(l, s)) {
        return ERR_CORRUPT;
    }
    if (s->is_answer) {
        set_cursor(l, l->acknowledged + 1, l->acknowledged_at);
        l->is_stopped = false;
    }
    l->flight_bytes =
        bytes_between(l, l->acknowledged + 1, l->acknowledged_at, l->cursor, l->cursor_at);
    if (s->taken > l->taken) {
        drop_taken(l, s->taken);
    }
    l->owes_answer = l->owes_answer || s->is_question;
    if (is_progress) {
        l->pause_ms = SOCKET_PROBE_MS;
    }
    if (is_progress || s->is_answer) {
        ask_later(l, now_ms);
    }
    check(l);
    return ERR_OK;
}

void socket_link_break(struct socket_link *l)
{
    l->is_stopped = true;
    l->has_question = true;
    l->owes_answer = true; /* what we told may be lost as well */
    l->pause_ms = SOCKET_PROBE_MS;
}

void socket_link_tick(struct socket_link *l, uint64_t now_ms)
{
    if (l->probe_ms != 0 && now_ms >= l->probe_ms) {
        l->probe_ms = 0;
        l->has_question = true;
    }
}
