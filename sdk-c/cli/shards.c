/* cluster move-shard and rebalance: where the replicas of shards are, and who leads them. */
#include <stdio.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/cluster_doc.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_FROM = 1, KEY_TO, KEY_WAIT, KEY_FOR, KEY_TIMEOUT };

enum {
    SPREAD_REPLICAS = 1, /* between the members that hold most and least, in balance */
    SPREAD_LEADS = 2,    /* the cluster's own group is led too, and in no list */
};

static error_t parse_time(struct argp_state *state, const char *name, const char *arg,
                          uint64_t *ret_ms)
{
    if (!duration_parse(arg, ret_ms) || *ret_ms == 0) {
        argp_error(state, "--%s takes a time like 90s, 10m or 24h: %s", name, arg);
    }
    return 0;
}

/* ---- move-shard ---- */

struct move {
    uint64_t shard;
    uint64_t from; /* 0: not given */
    uint64_t to;
    bool waits;
    uint64_t wait_ms;
};

static error_t parse_member(struct argp_state *state, const char *name, const char *arg,
                            uint64_t *ret_id)
{
    if (!number_parse(arg, ret_id) || *ret_id == 0 || *ret_id > UINT32_MAX) {
        argp_error(state, "--%s takes the id of a member, a number from 1 on: %s", name, arg);
    }
    return 0;
}

static error_t parse_move(void *data, int key, char *arg, struct argp_state *state)
{
    struct move *m = data;
    switch (key) {
    case KEY_FROM:
        return parse_member(state, "from", arg, &m->from);
    case KEY_TO:
        return parse_member(state, "to", arg, &m->to);
    case KEY_WAIT:
        m->waits = true;
        return 0;
    case KEY_FOR:
        return parse_time(state, "for", arg, &m->wait_ms);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

enum move_state { MOVE_FILLS, MOVE_LEAVES, MOVE_DONE };

/* The new replica counts once it votes; the old one goes then. */
static enum move_state state_of(const struct dormouse_doc *doc, const struct move *m)
{
    for (struct dormouse_walk w = dormouse_node_walk(cluster_named(doc, "shards"));
         dormouse_walk_next(&w);) {
        struct dormouse_node replicas = dormouse_node_member(w.value, "replicas");
        if (dormouse_node_int(dormouse_node_member(w.value, "id"), -1) != (int64_t)m->shard) {
            continue;
        }
        if (!cluster_has_number(replicas, (int64_t)m->to)) {
            return MOVE_FILLS;
        }
        return cluster_has_number(replicas, (int64_t)m->from) ? MOVE_LEAVES : MOVE_DONE;
    }
    return MOVE_FILLS;
}

static void print_move(const struct cli *cli, const struct move *m, enum move_state state)
{
    static const char *const names[] = {"filling", "leaving", "moved"};
    static const char *const texts[] = {"is being copied to", "votes on", "has moved to"};
    if (cli->json) {
        printf("{\"shard\":%u,\"from\":%u,\"to\":%u,\"state\":\"%s\"}\n", (unsigned)m->shard,
               (unsigned)m->from, (unsigned)m->to, names[state]);
        return;
    }
    printf("shard %u %s member %u%s\n", (unsigned)m->shard, texts[state], (unsigned)m->to,
           state == MOVE_LEAVES ? ", and has not yet left the other" : "");
}

static int follow_move(struct cli *cli, const struct move *m)
{
    static const char *const notes[] = {"the new replica is filled ", "the old replica goes ", ""};
    uint64_t until_ms = cli_now_ms() + m->wait_ms;
    progress_begin("shard %u goes from member %u to member %u", (unsigned)m->shard,
                   (unsigned)m->from, (unsigned)m->to);
    for (;;) {
        struct dormouse_doc *doc;
        int code = cluster_ask(cli, &doc);
        if (code != EXIT_OK) {
            return code;
        }
        enum move_state state = state_of(doc, m);
        dormouse_doc_free(doc);
        if (state == MOVE_DONE || !m->waits || cli_now_ms() >= until_ms) {
            progress_end();
            print_move(cli, m, state);
            return state != MOVE_DONE && m->waits ? EXIT_UNREACHABLE : EXIT_OK;
        }
        progress_note("%s", notes[state]);
        cli_pause_ms(CLUSTER_POLL_MS);
    }
}

int cluster_move_shard(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"from", KEY_FROM, "ID", 0, "the member that gives its replica up", 0},
        {"to", KEY_TO, "ID", 0, "the member that takes it", 0},
        {"wait", KEY_WAIT, NULL, 0, "until it has moved; exit code 5 if it has not in the end", 0},
        {"for", KEY_FOR, "TIME", 0, "how long --wait does: 90s, 10m, 24h (10m)", 0},
        {0}};
    struct move m = {.wait_ms = CLUSTER_WAIT_MS};
    const struct syntax syntax = {
        .usage = "SHARD --from ID --to ID",
        .help = "Has another member take over a replica of a shard, while it is served. The shard "
                "stays there: what is evened out from then on is others, until rebalance.",
        .positionals_min = 1,
        .positionals_max = 1,
        .options = options,
        .option = parse_move,
        .data = &m};
    struct dormouse_error error;
    cli_parse(cli, argc, argv, &syntax);
    if (!number_parse(cli->positionals[0], &m.shard) || m.shard > UINT32_MAX) {
        return cli_usage(cli, "a shard's id is a number from 0 on: %s", cli->positionals[0]);
    }
    if (m.from == 0 || m.to == 0) {
        return cli_usage(cli, "--from and --to are needed: the members that give and take it");
    }
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_shard_move(cli->d, (uint32_t)m.shard, (uint32_t)m.from, (uint32_t)m.to, NULL,
                            &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    return follow_move(cli, &m);
}

/* ---- rebalance ---- */

/* What is left until the members that are up hold and lead as much as each other. */
struct imbalance {
    unsigned replicas;
    unsigned leads;
    unsigned
        unsettled; /* shards with a replica too many or too few, without a leader, or that lag */
};

/* How many would have to go from those that have more than their part, or to those that have less. */
static unsigned to_move(const unsigned *counts, size_t count, unsigned spread)
{
    unsigned sum = 0;
    unsigned least = UINT32_MAX;
    unsigned most = 0;
    unsigned over = 0;
    unsigned under = 0;
    for (size_t i = 0; i < count; i++) {
        sum += counts[i];
        least = counts[i] < least ? counts[i] : least;
        most = counts[i] > most ? counts[i] : most;
    }
    if (count == 0 || most - least <= spread) {
        return 0;
    }
    unsigned part = sum / (unsigned)count;
    unsigned part_up = part + (sum % count != 0);
    for (size_t i = 0; i < count; i++) {
        over += counts[i] > part_up ? counts[i] - part_up : 0;
        under += counts[i] < part ? part - counts[i] : 0;
    }
    return over > under ? over : under;
}

enum { MEMBERS_MAX = 1000 };

static bool is_up(struct dormouse_node member)
{
    size_t bytes = 0;
    const char *state = dormouse_node_text(dormouse_node_member(member, "state"), &bytes);
    return state != NULL && bytes == 2 && memcmp(state, "up", 2) == 0;
}

static void count_shares(const struct dormouse_doc *doc, struct imbalance *ret)
{
    static unsigned replicas[MEMBERS_MAX];
    static unsigned leads[MEMBERS_MAX];
    size_t count = 0;
    for (struct dormouse_walk w = dormouse_node_walk(cluster_named(doc, "members"));
         dormouse_walk_next(&w) && count < MEMBERS_MAX;) {
        int64_t id = dormouse_node_int(dormouse_node_member(w.value, "id"), -1);
        if (is_up(w.value)) {
            struct cluster_share share = cluster_share(doc, id);
            replicas[count] = share.replicas;
            leads[count++] = share.leads;
        }
    }
    ret->replicas = to_move(replicas, count, SPREAD_REPLICAS);
    ret->leads = to_move(leads, count, SPREAD_LEADS);
}

static struct imbalance imbalance_of(const struct dormouse_doc *doc)
{
    struct imbalance left = {0};
    size_t usual = SIZE_MAX;
    for (struct dormouse_walk w = dormouse_node_walk(cluster_named(doc, "shards"));
         dormouse_walk_next(&w);) {
        size_t count = dormouse_node_count(dormouse_node_member(w.value, "replicas"));
        usual = count < usual ? count : usual;
    }
    for (struct dormouse_walk w = dormouse_node_walk(cluster_named(doc, "shards"));
         dormouse_walk_next(&w);) {
        size_t count = dormouse_node_count(dormouse_node_member(w.value, "replicas"));
        bool is_led = dormouse_node_int(dormouse_node_member(w.value, "leader"), -1) >= 0;
        left.unsettled += count != usual || !is_led;
    }
    count_shares(doc, &left);
    return left;
}

static bool is_even(const struct imbalance *left)
{
    return left->replicas == 0 && left->leads == 0 && left->unsettled == 0;
}

static void print_balance(const struct cli *cli, const struct imbalance *left)
{
    if (cli->json) {
        printf(
            "{\"balanced\":%s,\"replicas_left\":%u,\"leaders_left\":%u,\"shards_changing\":%u}\n",
            is_even(left) ? "true" : "false", left->replicas, left->leads, left->unsettled);
    } else if (is_even(left)) {
        puts("the members hold and lead as much as each other");
    } else {
        printf("%u replicas and %u leaderships are left to move, %u shards change\n",
               left->replicas, left->leads, left->unsettled);
    }
}

static error_t parse_rebalance(void *data, int key, char *arg, struct argp_state *state)
{
    return key == KEY_TIMEOUT ? parse_time(state, "timeout", arg, data) : ARGP_ERR_UNKNOWN;
}

/* It is in balance where it is so twice: a change that is about to begin shows a little later. */
static int follow_balance(struct cli *cli, uint64_t timeout_ms)
{
    uint64_t until_ms = cli_now_ms() + timeout_ms;
    bool was_even = false;
    progress_begin("evening out");
    for (;;) {
        struct dormouse_doc *doc;
        int code = cluster_ask(cli, &doc);
        if (code != EXIT_OK) {
            return code;
        }
        struct imbalance left = imbalance_of(doc);
        dormouse_doc_free(doc);
        bool even = is_even(&left);
        if ((even && was_even) || cli_now_ms() >= until_ms) {
            progress_end();
            print_balance(cli, &left);
            return even ? EXIT_OK : EXIT_UNREACHABLE;
        }
        was_even = even;
        progress_note("%u replicas, %u leaderships left ", left.replicas, left.leads);
        cli_pause_ms(CLUSTER_POLL_MS);
    }
}

int cluster_rebalance(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"timeout", KEY_TIMEOUT, "TIME", 0,
         "ends with 5 where it takes longer: 90s, 10m, 24h (10m)", 0},
        {0}};
    uint64_t timeout_ms = CLUSTER_WAIT_MS;
    const struct syntax syntax = {
        .help = "Evens out what the members hold and lead, also what was moved by hand, and waits "
                "until that is done. All else the cluster evens out by itself, all the time.",
        .options = options,
        .option = parse_rebalance,
        .data = &timeout_ms};
    struct dormouse_error error;
    cli_parse(cli, argc, argv, &syntax);
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_rebalance(cli->d, NULL, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    return follow_balance(cli, timeout_ms);
}
