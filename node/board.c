#include "node/board.h"

#include <stdio.h>
#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"

void board_init(struct board *b, uint32_t shard_count)
{
    *b = (struct board){.shard_count = shard_count,
                        .lines = mem_zalloc((shard_count + 1) * sizeof(struct board_line))};
    (void)pthread_mutex_init(&b->mutex, NULL);
}

void board_done(struct board *b)
{
    (void)pthread_mutex_destroy(&b->mutex);
    mem_free(b->lines);
}

/* NULL: there is no such shard; another node may be wrong about that. */
static struct board_line *line_of(const struct board *b, uint32_t shard)
{
    if (shard == SHARD_META) {
        return &b->lines[b->shard_count];
    }
    return shard < b->shard_count ? &b->lines[shard] : NULL;
}

static bool is_fresh(uint64_t heard_ms, uint64_t now_ms)
{
    return heard_ms != 0 && now_ms < heard_ms + BOARD_FRESH_MS;
}

static struct board_node *find_node(struct board *b, uint32_t node)
{
    for (size_t i = 0; i < b->node_count; i++) {
        if (b->nodes[i].node == node) {
            return &b->nodes[i];
        }
    }
    return NULL;
}

void board_hear(struct board *b, uint32_t node, const char *peer, bool is_leaving, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&b->mutex);
    struct board_node *n = find_node(b, node);
    if (n == NULL && b->node_count < BOARD_NODES_MAX) {
        n = &b->nodes[b->node_count++];
        n->node = node;
    }
    if (n != NULL) {
        bool is_known = is_fresh(n->heard_ms, now_ms) && strcmp(n->peer, peer) == 0;
        b->nodes_number += is_known ? 0 : 1;
        n->heard_ms = now_ms;
        n->is_leaving = is_leaving;
        (void)snprintf(n->peer, sizeof n->peer, "%s", peer);
    }
    (void)pthread_mutex_unlock(&b->mutex);
}

static struct board_pulse *find_pulse(struct board *b, uint32_t node)
{
    const struct board_node *n = find_node(b, node);
    return n != NULL ? &b->pulses[n - b->nodes] : NULL;
}

void board_hear_pulse(struct board *b, uint32_t node, uint64_t life, uint16_t worker,
                      uint16_t workers, uint64_t now_ms)
{
    PRE(worker < workers && workers <= PEER_WORKERS_MAX);
    (void)pthread_mutex_lock(&b->mutex);
    struct board_pulse *p = find_pulse(b, node);
    if (p != NULL) {
        if (p->life != life || p->workers != workers) {
            *p = (struct board_pulse){.life = life, .workers = workers};
        }
        p->heard_ms[worker] = now_ms;
    }
    (void)pthread_mutex_unlock(&b->mutex);
}

bool board_pulse(struct board *b, uint32_t node, uint64_t *ret_life, uint64_t *ret_heard_ms)
{
    uint64_t heard_ms = 0;
    (void)pthread_mutex_lock(&b->mutex);
    const struct board_pulse *p = find_pulse(b, node);
    if (p != NULL && p->workers > 0) {
        heard_ms = UINT64_MAX;
        for (uint16_t i = 0; i < p->workers; i++) {
            heard_ms = p->heard_ms[i] < heard_ms ? p->heard_ms[i] : heard_ms;
        }
        *ret_life = p->life;
        *ret_heard_ms = heard_ms;
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return heard_ms != 0;
}

void board_note(struct board *b, uint32_t node, const struct board_shard *said, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&b->mutex);
    struct board_line *line = line_of(b, said->shard);
    if (line != NULL && said->term >= line->said.term) {
        *line = (struct board_line){.leader = node, .heard_ms = now_ms, .said = *said};
    }
    (void)pthread_mutex_unlock(&b->mutex);
}

bool board_find(struct board *b, uint32_t shard, uint64_t now_ms, struct board_line *ret_line)
{
    (void)pthread_mutex_lock(&b->mutex);
    const struct board_line *line = line_of(b, shard);
    bool found = line != NULL && is_fresh(line->heard_ms, now_ms);
    if (found) {
        *ret_line = *line;
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return found;
}

bool board_is_alive(struct board *b, uint32_t node, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&b->mutex);
    const struct board_node *n = find_node(b, node);
    bool is_alive = n != NULL && is_fresh(n->heard_ms, now_ms);
    (void)pthread_mutex_unlock(&b->mutex);
    return is_alive;
}

bool board_is_staying(struct board *b, uint32_t node, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&b->mutex);
    const struct board_node *n = find_node(b, node);
    bool is_staying = n != NULL && is_fresh(n->heard_ms, now_ms) && !n->is_leaving;
    (void)pthread_mutex_unlock(&b->mutex);
    return is_staying;
}

uint64_t board_nodes_number(struct board *b)
{
    (void)pthread_mutex_lock(&b->mutex);
    uint64_t number = b->nodes_number;
    (void)pthread_mutex_unlock(&b->mutex);
    return number;
}

void board_count_leads(struct board *b, uint64_t now_ms, struct placement_leads *nodes,
                       size_t count)
{
    (void)pthread_mutex_lock(&b->mutex);
    for (size_t i = 0; i < count; i++) {
        nodes[i].leads = 0;
    }
    for (uint32_t shard = 0; shard < b->shard_count; shard++) {
        const struct board_line *line = &b->lines[shard];
        for (size_t i = 0; i < count && is_fresh(line->heard_ms, now_ms); i++) {
            nodes[i].leads += nodes[i].id == line->leader ? 1 : 0;
        }
    }
    (void)pthread_mutex_unlock(&b->mutex);
}

size_t board_nodes(struct board *b, struct board_node *ret_nodes, size_t max)
{
    (void)pthread_mutex_lock(&b->mutex);
    size_t count = b->node_count < max ? b->node_count : max;
    for (size_t i = 0; i < count; i++) {
        ret_nodes[i] = b->nodes[i];
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return count;
}
