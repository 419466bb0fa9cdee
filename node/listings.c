#include "node/listings.h"

#include "base/clock.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/gather.h"
#include "node/listing_part.h"
#include "node/node.h"

enum { ID_BYTES = 8 };

/* A question of this node or another, which runs here. */
struct listing_scan {
    struct listings *listings;
    struct list link;
    uint32_t from;
    uint64_t id;
    struct listing_query query;
    struct gather gather;
    uint32_t part_count;
    struct listing_part parts[]; /* one a worker */
};

void listings_init(struct listings *l, struct worker *w)
{
    *l = (struct listings){.worker = w};
    list_init(&l->runs);
    list_init(&l->scans);
}

bool listings_are_idle(const struct listings *l)
{
    return l->run_count == 0 && l->scan_count == 0;
}

/* A run, and its rounds */

static void finish(struct listing_run *r, enum err err)
{
    list_remove(&r->link);
    r->listings->run_count--;
    r->done(r, err);
}

/* What says that nobody was listed, and that somebody else may do it. */
static bool is_wrong_node(enum err err)
{
    return err == ERR_UNAVAILABLE || err == ERR_NOT_OWNER || err == ERR_CLOSED;
}

static void fail_round(struct listing_run *r, enum err err, uint64_t now_ms)
{
    r->round = 0;
    listing_page_clear(&r->page);
    if (!is_wrong_node(err)) {
        finish(r, err);
    } else if (r->listings->is_stopping || now_ms >= r->deadline_ms) {
        finish(r, ERR_UNAVAILABLE);
    } else {
        r->retry_ms = now_ms + LISTING_RETRY_MS;
    }
}

static void settle(struct listing_run *r)
{
    if (r->is_asking) {
        return;
    }
    if (r->err != ERR_OK) {
        fail_round(r, r->err, clock_mono_ms());
    } else if (r->left == 0) {
        finish(r, ERR_OK);
    }
}

/* The page, where there is no error, is the caller's. */
static void one_is_back(struct listing_run *r, struct listing_asked *asked, enum err err,
                        const struct listing_page *page)
{
    asked->is_back = true;
    r->left--;
    r->err = r->err == ERR_OK ? err : r->err;
    if (r->err == ERR_OK) {
        listing_page_merge(&r->page, page, r->query.limit);
    }
    settle(r);
}

static struct listing_asked *asked_of(struct listing_run *r, uint32_t node)
{
    for (uint32_t i = 0; i < r->asked_count; i++) {
        if (r->asked[i].node == node && !r->asked[i].is_back) {
            return &r->asked[i];
        }
    }
    return NULL;
}

/* NULL: it ended, or has begun another round. */
static struct listing_run *run_of(const struct listings *l, uint64_t round)
{
    LIST_FOREACH (link, &l->runs) {
        struct listing_run *r = LIST_ENTRY(link, struct listing_run, link);
        if (r->round == round) {
            return r;
        }
    }
    return NULL;
}

static bool scan_here(struct listings *l, uint32_t from, uint64_t id,
                      const struct listing_query *q);
static void run_queued(struct listings *l);

static bool can_run_queued(const struct listings *l)
{
    return l->queued_count > 0 && l->scan_count < LISTING_SCANS_MAX;
}

static bool send_ask(struct listings *l, uint32_t node, uint64_t id, const struct listing_query *q)
{
    struct buf payload = {0};
    buf_append_u64(&payload, id);
    listing_ask_encode(q, l->worker->node->data.shard_count, &payload);
    bool is_sent = neighbours_send(&l->worker->neighbours, node, PEER_KIND_LISTING_ASK, SHARD_META,
                                   buf_slice(&payload));
    buf_done(&payload);
    return is_sent;
}

/* On whichever worker of this node a shard is, the board knows who leads it, this node too. */
static uint32_t leader_of(const struct listings *l, uint32_t shard, uint64_t now_ms)
{
    struct board_line line;
    struct node *n = l->worker->node;
    if (!n->has_joined) {
        return n->id;
    }
    return board_find(&n->board, shard, now_ms, &line) ? line.leader : 0;
}

/* False: a shard has no leader that is known. */
static bool find_leaders(struct listing_run *r, uint32_t *leaders, uint64_t now_ms)
{
    uint32_t shard_count = r->listings->worker->node->data.shard_count;
    r->asked_count = 0;
    for (uint32_t shard = 0; shard < shard_count; shard++) {
        leaders[shard] = leader_of(r->listings, shard, now_ms);
        if (leaders[shard] == 0) {
            return false;
        }
        if (asked_of(r, leaders[shard]) == NULL) {
            if (r->asked_count == BOARD_NODES_MAX) {
                return false;
            }
            r->asked[r->asked_count++] = (struct listing_asked){.node = leaders[shard]};
        }
    }
    return true;
}

static void ask(struct listing_run *r, struct listing_asked *asked, const uint32_t *leaders)
{
    struct listings *l = r->listings;
    struct listing_query q = r->query;
    for (uint32_t shard = 0; shard < l->worker->node->data.shard_count; shard++) {
        if (leaders[shard] == asked->node) {
            listing_query_add_shard(&q, shard);
        }
    }
    if (asked->node == l->worker->node->id) {
        if (!scan_here(l, asked->node, r->round, &q)) {
            one_is_back(r, asked, ERR_OVERLOADED, NULL);
        }
    } else if (!send_ask(l, asked->node, r->round, &q)) {
        one_is_back(r, asked, ERR_UNAVAILABLE, NULL);
    }
}

static void begin_round(struct listing_run *r, uint64_t now_ms)
{
    uint32_t *leaders = mem_alloc(r->listings->worker->node->data.shard_count * sizeof(uint32_t));
    if (!find_leaders(r, leaders, now_ms)) {
        mem_free(leaders);
        fail_round(r, ERR_UNAVAILABLE, now_ms);
        return;
    }
    r->round = ++r->listings->last_round;
    r->err = ERR_OK;
    r->left = r->asked_count;
    r->is_asking = true; /* answers of this node may come from inside */
    for (uint32_t i = 0; r->err == ERR_OK && i < r->asked_count; i++) {
        ask(r, &r->asked[i], leaders);
    }
    r->is_asking = false;
    mem_free(leaders);
    settle(r);
}

void listings_begin(struct listings *l, struct listing_run *r, uint32_t timeout_ms)
{
    uint64_t now_ms = clock_mono_ms();
    r->listings = l;
    r->deadline_ms = now_ms + timeout_ms;
    list_init(&r->link);
    list_append(&l->runs, &r->link);
    if (++l->run_count > LISTINGS_MAX) {
        finish(r, ERR_OVERLOADED);
        return;
    }
    begin_round(r, now_ms);
}

void listings_tick(struct listings *l, uint64_t now_ms)
{
    run_queued(l);
    LIST_FOREACH_SAFE (link, &l->runs) {
        struct listing_run *r = LIST_ENTRY(link, struct listing_run, link);
        if (now_ms >= r->deadline_ms) {
            fail_round(r, ERR_UNAVAILABLE, now_ms);
        } else if (r->round == 0 && now_ms >= r->retry_ms) {
            begin_round(r, now_ms);
        }
    }
}

uint64_t listings_next_ms(const struct listings *l)
{
    uint64_t next_ms = can_run_queued(l) ? 0 : UINT64_MAX;
    LIST_FOREACH (link, &l->runs) {
        const struct listing_run *r = LIST_ENTRY(link, struct listing_run, link);
        uint64_t due_ms =
            r->round == 0 && r->retry_ms < r->deadline_ms ? r->retry_ms : r->deadline_ms;
        next_ms = due_ms < next_ms ? due_ms : next_ms;
    }
    return next_ms;
}

void listings_on_lost(struct listings *l, uint32_t node)
{
    LIST_FOREACH_SAFE (link, &l->runs) {
        struct listing_run *r = LIST_ENTRY(link, struct listing_run, link);
        struct listing_asked *asked = r->round != 0 ? asked_of(r, node) : NULL;
        if (asked != NULL) {
            one_is_back(r, asked, ERR_UNAVAILABLE, NULL);
        }
    }
}

enum err listings_take_answer(struct listings *l, uint32_t from, struct slice payload)
{
    struct listing_page page = {0};
    enum err said;
    if (payload.len < ID_BYTES) {
        return ERR_CORRUPT;
    }
    uint64_t id = get_be64(payload.data);
    struct listing_run *r = id != 0 ? run_of(l, id) : NULL;
    struct listing_asked *asked = r != NULL ? asked_of(r, from) : NULL;
    if (asked == NULL) {
        return ERR_OK; /* too late */
    }
    enum err err = listing_answer_decode(slice_skip(payload, ID_BYTES), &r->query, &said, &page);
    one_is_back(r, asked, err != ERR_OK ? ERR_UNAVAILABLE : said, &page);
    listing_page_done(&page);
    return err;
}

/* Scans */

static void answer_from_here(struct listings *l, uint64_t id, enum err err,
                             const struct listing_page *page)
{
    struct listing_run *r = run_of(l, id);
    struct listing_asked *asked = r != NULL ? asked_of(r, l->worker->node->id) : NULL;
    if (asked != NULL) {
        one_is_back(r, asked, err, page);
    }
}

/* An answer that cannot be sent is lost: so is the connection, which the other side learns, or its
 * deadline ends the wait. */
static void answer(struct listings *l, uint32_t to, uint64_t id, enum err err,
                   const struct listing_page *page)
{
    if (to == l->worker->node->id) {
        answer_from_here(l, id, err, page);
        return;
    }
    struct buf payload = {0};
    buf_append_u64(&payload, id);
    listing_answer_encode(err, page, &payload);
    (void)neighbours_send(&l->worker->neighbours, to, PEER_KIND_LISTING_ANSWER, SHARD_META,
                          buf_slice(&payload));
    buf_done(&payload);
}

static void on_scanned(struct gather *g)
{
    struct listing_scan *s = CONTAINER_OF(g, struct listing_scan, gather);
    struct listings *l = s->listings;
    struct listing_page page = {0};
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < s->part_count; i++) {
        err = err == ERR_OK ? s->parts[i].part.err : err;
        if (err == ERR_OK) {
            listing_page_merge(&page, &s->parts[i].page, s->query.limit);
        }
        listing_page_done(&s->parts[i].page);
    }
    l->scan_count--;
    answer(l, s->from, s->id, err, &page);
    listing_page_done(&page);
    mem_free(s);
}

static void run_scan(struct listing_scan *s)
{
    struct worker *w = s->listings->worker;
    s->listings->scan_count++;
    gather_init(&s->gather, w, listing_part_begin, on_scanned);
    for (uint32_t i = 0; i < s->part_count; i++) {
        s->parts[i].query = &s->query;
        gather_ask(&s->gather, &s->parts[i].part, &w->node->workers[i]);
    }
    gather_asked(&s->gather);
}

/* False: too many wait. */
static bool scan_here(struct listings *l, uint32_t from, uint64_t id, const struct listing_query *q)
{
    uint32_t part_count = l->worker->node->worker_count;
    if (l->scan_count >= LISTING_SCANS_MAX && l->queued_count >= LISTING_QUEUED_MAX) {
        return false;
    }
    struct listing_scan *s = mem_zalloc(sizeof *s + part_count * sizeof s->parts[0]);
    s->listings = l;
    s->from = from;
    s->id = id;
    s->query = *q;
    s->part_count = part_count;
    list_init(&s->link);
    if (l->scan_count >= LISTING_SCANS_MAX) {
        list_append(&l->scans, &s->link);
        l->queued_count++;
    } else {
        run_scan(s);
    }
    return true;
}

/* From the tick, not where one ends: that may be deep inside another. */
static void run_queued(struct listings *l)
{
    for (int left = LISTING_SCANS_MAX; left > 0 && can_run_queued(l); left--) {
        struct listing_scan *s = LIST_FIRST(&l->scans, struct listing_scan, link);
        list_remove(&s->link);
        l->queued_count--;
        run_scan(s);
    }
}

enum err listings_take_ask(struct listings *l, uint32_t from, struct slice payload)
{
    struct listing_query q;
    if (payload.len < ID_BYTES) {
        return ERR_CORRUPT;
    }
    uint64_t id = get_be64(payload.data);
    enum err err =
        listing_ask_decode(slice_skip(payload, ID_BYTES), l->worker->node->data.shard_count, &q);
    if (err != ERR_OK) {
        return err;
    }
    if (l->is_stopping) {
        answer(l, from, id, ERR_UNAVAILABLE, NULL);
    } else if (!scan_here(l, from, id, &q)) {
        answer(l, from, id, ERR_OVERLOADED, NULL);
    }
    return ERR_OK;
}

/* The end */

static void drop_scans(struct listings *l)
{
    struct listing_scan *s;
    while ((s = LIST_FIRST(&l->scans, struct listing_scan, link)) != NULL) {
        list_remove(&s->link);
        l->queued_count--;
        answer(l, s->from, s->id, ERR_UNAVAILABLE, NULL);
        mem_free(s);
    }
}

void listings_stop(struct listings *l, uint64_t now_ms)
{
    l->is_stopping = true;
    drop_scans(l);
    LIST_FOREACH_SAFE (link, &l->runs) {
        struct listing_run *r = LIST_ENTRY(link, struct listing_run, link);
        uint64_t last_ms = now_ms + LISTING_STOP_MS;
        r->deadline_ms = r->deadline_ms < last_ms ? r->deadline_ms : last_ms;
        if (r->round == 0) {
            finish(r, ERR_UNAVAILABLE);
        }
    }
}

void listings_done(struct listings *l)
{
    INVARIANT(listings_are_idle(l) && l->queued_count == 0);
}
