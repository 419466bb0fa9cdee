/* Pulses: each worker tells every other node that it lives, and takes from the board when the workers of
 * the others were heard last. Groups that rest rely on them (storage/pulse.h): they are of one loop each,
 * so one that hangs falls silent, whatever the others of its process do.
 *
 *     payload    life of the process u64 | worker u16 | workers u16 */
#include "base/buf.h"
#include "base/endian.h"
#include "node/node.h"
#include "node/standing.h"
#include "storage/pulse.h"

enum { PULSE_BYTES = 12, HEAR_MS = 20 };

enum err neighbours_take_pulse(struct worker *w, uint32_t from, struct slice payload,
                               uint64_t now_ms)
{
    if (payload.len != PULSE_BYTES) {
        return ERR_CORRUPT;
    }
    uint64_t life = get_be64(payload.data);
    uint16_t worker = get_be16(payload.data + 8);
    uint16_t workers = get_be16(payload.data + 10);
    if (life == 0 || worker >= workers || workers > PEER_WORKERS_MAX) {
        return ERR_CORRUPT;
    }
    board_hear_pulse(&w->node->board, from, life, worker, workers, now_ms);
    return ERR_OK;
}

static void send_pulse(struct neighbours *n)
{
    const struct worker *w = n->worker;
    struct buf payload = {0};
    buf_append_u64(&payload, w->node->life);
    buf_append_u16(&payload, (uint16_t)w->index);
    buf_append_u16(&payload, (uint16_t)w->node->worker_count);
    for (size_t i = 0; n->view != NULL && i < n->view->member_count; i++) {
        const struct cluster_member *m = &n->view->members[i];
        if (m->id != w->node->id && standing_of(w, m->id) != STANDING_REMOVED) {
            (void)neighbours_send(n, m->id, PEER_KIND_PULSE, SHARD_META, buf_slice(&payload));
        }
    }
    buf_done(&payload);
}

void neighbours_beat(struct neighbours *n, uint64_t now_ms)
{
    if (now_ms >= n->next_pulse_ms) {
        n->next_pulse_ms = now_ms + PULSE_MS;
        send_pulse(n);
    }
}

void neighbours_hear_pulses(struct neighbours *n, uint64_t now_ms)
{
    const struct worker *w = n->worker;
    uint64_t life;
    uint64_t heard_ms;
    if (now_ms < n->next_hear_ms) {
        return; /* a busy loop need not look each time; one that stood still looks first of all */
    }
    n->next_hear_ms = now_ms + HEAR_MS;
    for (size_t i = 0; n->view != NULL && i < n->view->member_count; i++) {
        const struct cluster_member *m = &n->view->members[i];
        if (m->id != w->node->id && standing_of(w, m->id) != STANDING_REMOVED &&
            board_pulse(&w->node->board, m->id, &life, &heard_ms)) {
            engine_hear_pulse(w->engine, m->id, life, heard_ms);
        }
    }
}
