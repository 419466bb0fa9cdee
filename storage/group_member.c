/* Who takes part in a group, and who leads it. */
#include "base/invariant.h"
#include "storage/group_own.h"

static enum group_role role_of_core(int role)
{
    INVARIANT(role == RAFT_STANDBY || role == RAFT_VOTER || role == RAFT_SPARE);
    return role == RAFT_VOTER ? GROUP_VOTER : role == RAFT_STANDBY ? GROUP_STANDBY : GROUP_SPARE;
}

_Static_assert((int)GROUP_STANDBY == RAFT_STANDBY && (int)GROUP_VOTER == RAFT_VOTER &&
                   (int)GROUP_SPARE == RAFT_SPARE,
               "roles are stored as the core's numbers");

static struct group_config config_of(const struct raft_configuration *from)
{
    struct group_config c = {0};
    INVARIANT(from->n <= GROUP_MEMBERS_MAX);
    for (unsigned i = 0; i < from->n; i++) {
        group_config_add(&c, from->servers[i].id, role_of_core(from->servers[i].role));
    }
    return c;
}

/* Before an entry of its own term is committed a leader may not know of a change that was, and two
 * changes from one configuration have majorities that do not meet. */
static enum err may_change(const struct group *g, uint64_t replica)
{
    bool leads = group_guard_is_on(GROUP_GUARD_OWN_TERM) ? g->leading : g->core_leads;
    if (!leads) {
        return ERR_NOT_OWNER;
    }
    if (replica == g->core.id) {
        return ERR_CONFLICT;
    }
    if (raft_transferee(&g->core) != 0 || g->core.configuration_uncommitted_index != 0) {
        return ERR_OVERLOADED;
    }
    return ERR_OK;
}

static enum err submit_config(struct group *g, const struct group_config *c, uint64_t now_ms)
{
    struct buf bytes = {0};
    group_config_encode(c, &bytes);
    group_rouse(g, now_ms);
    g->core.now = now_ms;
    int rc = group_submit(g, GROUP_CONFIGURATION, buf_slice(&bytes));
    INVARIANT(rc == 0); /* what the core refuses was looked at */
    buf_done(&bytes);
    group_settle(g);
    return ERR_OK;
}

/* It knows as well that it is a member: whoever is none by its own log is no help in an election. */
static bool is_close(const struct group *g, uint64_t replica)
{
    raft_index match;
    int rc = raft_match_index(&g->core, replica, &match);
    return rc == 0 && match + GROUP_PROMOTE_LAG >= group_last_index(g) &&
           match >= g->core.configuration_committed_index;
}

enum err group_assign(struct group *g, uint64_t replica, enum group_role role, uint64_t now_ms)
{
    PRE(replica > 0 && now_ms >= g->core.now);
    enum err err = may_change(g, replica);
    if (err != ERR_OK) {
        return err;
    }
    struct group_config c = config_of(&g->core.configuration);
    struct group_member *m = group_config_find(&c, replica);
    if (m != NULL ? m->role == role : c.count == GROUP_MEMBERS_MAX) {
        return m != NULL ? ERR_CONFLICT : ERR_TOO_LARGE;
    }
    if (role == GROUP_VOTER && (m == NULL || m->role != GROUP_STANDBY)) {
        return ERR_CONFLICT;
    }
    if (role == GROUP_VOTER && !is_close(g, replica)) {
        return ERR_OVERLOADED; /* it would be waited for by every write */
    }
    if (m != NULL) {
        m->role = role;
    } else {
        group_config_add(&c, replica, role);
    }
    return submit_config(g, &c, now_ms);
}

enum err group_remove(struct group *g, uint64_t replica, uint64_t now_ms)
{
    PRE(replica > 0 && now_ms >= g->core.now);
    enum err err = may_change(g, replica);
    if (err != ERR_OK) {
        return err;
    }
    struct group_config c = config_of(&g->core.configuration);
    if (group_config_find(&c, replica) == NULL) {
        return ERR_NOT_FOUND;
    }
    group_config_remove(&c, replica);
    return submit_config(g, &c, now_ms);
}

enum err group_transfer(struct group *g, uint64_t replica, uint64_t now_ms)
{
    if (!g->leading) {
        return ERR_NOT_OWNER;
    }
    if (raft_transferee(&g->core) != 0) {
        return ERR_OVERLOADED;
    }
    g->owed_index = 0;
    group_rouse(g, now_ms);
    struct raft_event event = {.time = now_ms, .type = RAFT_TRANSFER};
    event.transfer.server_id = replica;
    int rc = group_step(g, &event);
    INVARIANT(rc == 0 || rc == RAFT_BADID || rc == RAFT_NOTFOUND);
    return rc == 0 ? ERR_OK : ERR_NOT_FOUND;
}

bool group_is_transferring(const struct group *g)
{
    return raft_transferee(&g->core) != 0;
}

bool group_is_changing(const struct group *g)
{
    return g->core.configuration_uncommitted_index != 0;
}

static size_t peers_of(const struct group *g, const struct raft_configuration *from,
                       struct group_peer ret_peers[GROUP_MEMBERS_MAX])
{
    struct group_config c = config_of(from);
    for (size_t i = 0; i < c.count; i++) {
        raft_index match = 0;
        (void)raft_match_index(&g->core, c.members[i].replica, &match); /* 0 where it cannot say */
        ret_peers[i] = (struct group_peer){
            .replica = c.members[i].replica, .role = c.members[i].role, .match = match};
    }
    return c.count;
}

size_t group_peers(const struct group *g, struct group_peer ret_peers[GROUP_MEMBERS_MAX])
{
    return peers_of(g, &g->core.configuration, ret_peers);
}

size_t group_agreed_peers(const struct group *g, struct group_peer ret_peers[GROUP_MEMBERS_MAX])
{
    return peers_of(
        g, group_is_changing(g) ? &g->core.configuration_committed : &g->core.configuration,
        ret_peers);
}
