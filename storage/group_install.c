/* A snapshot takes the place of log and state: the leader's offer, the replica's acceptance. */
#include "base/invariant.h"
#include "storage/group_own.h"

static enum err hear_install(struct group *g, const struct group_message *m, uint64_t now_ms)
{
    struct raft_message for_core = {.type = RAFT_INSTALL_SNAPSHOT};
    struct raft_install_snapshot *install = &for_core.install_snapshot;
    buf_clear(&g->installing_configuration);
    buf_append_slice(&g->installing_configuration, m->install.configuration);
    g->installing =
        (struct group_snapshot){.index = m->install.index,
                                .term = m->install.term,
                                .configuration_index = m->install.configuration_index,
                                .configuration = buf_slice(&g->installing_configuration)};
    install->term = m->term;
    install->last_index = m->install.index;
    install->last_term = m->install.term;
    install->conf_index = m->install.configuration_index;
    group_configuration_for_core(m->install.configuration, &install->conf);
    return group_hear(g, m, &for_core, now_ms);
}

enum err group_accept(struct group *g, uint64_t from, struct slice message, uint64_t now_ms,
                      bool *ret_taken)
{
    struct group_message m;
    enum err err = group_wire_decode(message, &m);
    if (err != ERR_OK) {
        return err;
    }
    if (m.from != from || m.type != GROUP_INSTALL || group_is_second_leader(g, &m)) {
        return ERR_CORRUPT;
    }
    *ret_taken = false;
    if (m.to != g->core.id || g->install != GROUP_INSTALL_NONE || m.install.index <= g->applied) {
        return ERR_OK;
    }
    group_rouse_for(g, &m, now_ms);
    err = hear_install(g, &m, now_ms);
    *ret_taken = g->install == GROUP_INSTALL_LOGGED;
    group_settle(g);
    return err;
}

void group_installed(struct group *g, uint64_t now_ms)
{
    PRE(g->install == GROUP_INSTALL_PLACED);
    const struct group_snapshot *s = &g->installing;
    struct raft_event event = {.time = now_ms, .type = RAFT_PERSISTED_SNAPSHOT};
    event.persisted_snapshot.metadata.index = s->index;
    event.persisted_snapshot.metadata.term = s->term;
    event.persisted_snapshot.metadata.configuration_index = s->configuration_index;
    event.persisted_snapshot.last = true;
    group_configuration_for_core(s->configuration,
                                 &event.persisted_snapshot.metadata.configuration);
    g->install = GROUP_INSTALL_NONE;
    g->applied = s->index;
    g->persisted = s->index;
    g->compacted = s->index;
    group_note_era(g, s->configuration_index, s->configuration);
    group_drop_eras(g, s->index);
    int rc = group_step(g, &event);
    INVARIANT(rc == 0);
    group_settle(g);
}

enum err group_offer(struct group *g, uint64_t to, uint64_t index, uint64_t term,
                     struct buf *ret_message)
{
    PRE(index > 0 && index <= g->applied);
    /* One that leads and has not proved it may need this very replica to do so. */
    if (!g->core_leads) {
        return ERR_NOT_OWNER;
    }
    const struct group_era *era = group_era_at(g, index);
    if (index < g->compacted || era == NULL) {
        return ERR_NOT_FOUND;
    }
    struct group_message m = {
        .type = GROUP_INSTALL, .from = g->core.id, .to = to, .term = raft_current_term(&g->core)};
    m.install.index = index;
    m.install.term = term;
    m.install.configuration_index = era->index;
    m.install.configuration = buf_slice(&era->configuration);
    group_wire_encode(&m, ret_message);
    return ERR_OK;
}
