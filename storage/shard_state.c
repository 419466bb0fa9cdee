#include "storage/shard_state.h"

#include "base/invariant.h"

static bool applied_is_ordered(const struct applied *below, const struct applied *above)
{
    return below->index <= above->index && below->term <= above->term &&
           below->version <= above->version && below->number <= above->number &&
           below->log_time_ms <= above->log_time_ms;
}

static bool is_sane(const struct shard_state *s)
{
    const struct applied *middle = s->frozen != NULL ? &s->frozen->applied : &s->durable;
    return s->active != NULL && applied_is_ordered(&s->durable, middle) &&
           applied_is_ordered(middle, &s->active->applied);
}

void shard_state_init(struct shard_state *s, const struct applied *durable)
{
    *s = (struct shard_state){.active = overlay_new(durable), .durable = *durable};
}

void shard_state_done(struct shard_state *s)
{
    overlay_free(s->active);
    overlay_free(s->frozen);
    s->active = NULL;
    s->frozen = NULL;
}

enum err shard_state_apply(struct shard_state *s, struct slice entry, uint64_t index, uint64_t term,
                           uint64_t now_ms)
{
    PRE(is_sane(s));
    if (index <= s->active->applied.index) {
        return ERR_OK;
    }
    return overlay_apply_entry(s->active, entry, index, term, now_ms);
}

size_t shard_state_bytes(const struct shard_state *s)
{
    return overlay_bytes(s->active) + (s->frozen != NULL ? overlay_bytes(s->frozen) : 0);
}

bool shard_state_wants_freeze(const struct shard_state *s, uint64_t now_ms)
{
    const struct overlay *o = s->active;
    if (s->frozen != NULL || overlay_is_empty(o)) {
        return false;
    }
    return overlay_bytes(o) >= FREEZE_BYTES || o->row_count >= FREEZE_ROWS ||
           now_ms >= o->oldest_ms + FREEZE_AGE_MS;
}

const struct overlay *shard_state_freeze(struct shard_state *s)
{
    PRE(is_sane(s) && s->frozen == NULL);
    s->frozen = s->active;
    s->active = overlay_new(&s->frozen->applied);
    POST(is_sane(s));
    return s->frozen;
}

void shard_state_checkpoint_done(struct shard_state *s)
{
    PRE(is_sane(s) && s->frozen != NULL);
    s->durable = s->frozen->applied;
    overlay_free(s->frozen);
    s->frozen = NULL;
    s->epoch++;
    POST(is_sane(s));
}

void shard_state_replace(struct shard_state *s, const struct applied *durable)
{
    shard_state_done(s);
    s->active = overlay_new(durable);
    s->durable = *durable;
    s->epoch++;
    POST(is_sane(s));
}
