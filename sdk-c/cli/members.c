/* cluster: status, members, join-token, drain, undrain, remove; shards.c moves shards, certs is in a
 * file of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/cluster_doc.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_TTL = 1, KEY_WAIT, KEY_FOR };

/* ---- status ---- */

struct summary {
    unsigned shards;
    unsigned without_leader;
    size_t replicas_min;
    size_t replicas_max;
    int64_t lag_max;
};

static struct summary summarise(const struct dormouse_doc *doc)
{
    struct summary s = {.replicas_min = SIZE_MAX};
    for (struct dormouse_walk w = dormouse_node_walk(cluster_named(doc, "shards"));
         dormouse_walk_next(&w);) {
        size_t replicas = dormouse_node_count(dormouse_node_member(w.value, "replicas"));
        int64_t lag = dormouse_node_int(dormouse_node_member(w.value, "lag"), 0);
        s.shards++;
        s.without_leader += dormouse_node_int(dormouse_node_member(w.value, "leader"), -1) < 0;
        s.replicas_min = replicas < s.replicas_min ? replicas : s.replicas_min;
        s.replicas_max = replicas > s.replicas_max ? replicas : s.replicas_max;
        s.lag_max = lag > s.lag_max ? lag : s.lag_max;
    }
    s.replicas_min = s.shards > 0 ? s.replicas_min : 0;
    return s;
}

static void print_status_json(const struct cli *cli, const struct dormouse_doc *doc,
                              const struct summary *s)
{
    const char *comma = "";
    fputs("{\"url\":", stdout);
    json_text(stdout, cli_url(cli), strlen(cli_url(cli)));
    fputs(",\"members\":[", stdout);
    for (struct dormouse_walk w = dormouse_node_walk(cluster_named(doc, "members"));
         dormouse_walk_next(&w);) {
        int64_t id = dormouse_node_int(dormouse_node_member(w.value, "id"), -1);
        struct cluster_share share = cluster_share(doc, id);
        char *state = dormouse_node_json(dormouse_node_member(w.value, "state"), NULL);
        char *address = dormouse_node_json(dormouse_node_member(w.value, "address"), NULL);
        printf("%s{\"id\":%lld,\"state\":%s,\"address\":%s,\"leads\":%u,\"replicas\":%u}", comma,
               (long long)id, state, address, share.leads, share.replicas);
        dormouse_text_free(state);
        dormouse_text_free(address);
        comma = ",";
    }
    printf("],\"shards\":%u,\"without_leader\":%u,\"replicas_min\":%zu,\"replicas_max\":%zu,"
           "\"lag_max\":%lld}\n",
           s->shards, s->without_leader, s->replicas_min, s->replicas_max, (long long)s->lag_max);
}

static void print_members_with_shares(const struct dormouse_doc *doc)
{
    static struct table table = {.headings = {"MEMBER", "STATE", "LEADS", "REPLICAS", "ADDRESS"}};
    for (struct dormouse_walk w = dormouse_node_walk(cluster_named(doc, "members"));
         dormouse_walk_next(&w);) {
        struct dormouse_node id = dormouse_node_member(w.value, "id");
        struct cluster_share share = cluster_share(doc, dormouse_node_int(id, -1));
        table_node(&table, id);
        table_node(&table, dormouse_node_member(w.value, "state"));
        table_printf(&table, "%u", share.leads);
        table_printf(&table, "%u", share.replicas);
        table_node(&table, dormouse_node_member(w.value, "address"));
    }
    table_end(&table);
}

static void print_leaderless(const struct dormouse_doc *doc)
{
    static struct table table = {.headings = {"NO LEADER", "REPLICAS"}};
    puts("");
    for (struct dormouse_walk w = dormouse_node_walk(cluster_named(doc, "shards"));
         dormouse_walk_next(&w);) {
        if (dormouse_node_int(dormouse_node_member(w.value, "leader"), -1) < 0) {
            table_node(&table, dormouse_node_member(w.value, "id"));
            table_node(&table, dormouse_node_member(w.value, "replicas"));
        }
    }
    table_end(&table);
}

static void print_status(const struct dormouse_doc *doc, const struct summary *s)
{
    print_members_with_shares(doc);
    printf("\n%u shards of ", s->shards);
    if (s->replicas_min == s->replicas_max) {
        printf("%zu replica%s, ", s->replicas_min, s->replicas_min == 1 ? "" : "s");
    } else {
        printf("%zu to %zu replicas, ", s->replicas_min, s->replicas_max);
    }
    if (s->without_leader == 0) {
        printf("each with a leader; ");
    } else {
        printf("%u without a leader; ", s->without_leader);
    }
    printf("the slowest replica is %lld entries behind\n", (long long)s->lag_max);
    if (s->without_leader > 0) {
        print_leaderless(doc);
    }
}

static int cluster_status(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {
        .help = "Shows what each member leads and holds, and how the shards are, as the node that "
                "is asked knows it. Exit code 5 where a shard has no leader."};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_doc *doc;
    int code = cluster_ask(cli, &doc);
    if (code != EXIT_OK) {
        return code;
    }
    progress_end();
    const struct summary s = summarise(doc);
    if (cli->json) {
        print_status_json(cli, doc, &s);
    } else {
        print_status(doc, &s);
    }
    dormouse_doc_free(doc);
    return s.without_leader > 0 ? EXIT_UNREACHABLE : EXIT_OK;
}

/* ---- members ---- */

static int cluster_members(struct cli *cli, int argc, char **argv)
{
    static struct table table = {.headings = {"MEMBER", "STATE", "ADDRESS", "PEER"}};
    static const char *const columns[] = {"id", "state", "address", "peer"};
    const struct syntax syntax = {
        .help =
            "Lists the members of the cluster: where clients reach them, where other nodes do."};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_doc *doc;
    int code = cluster_ask(cli, &doc);
    if (code != EXIT_OK) {
        return code;
    }
    progress_end();
    for (struct dormouse_walk w = dormouse_node_walk(cluster_named(doc, "members"));
         dormouse_walk_next(&w);) {
        if (cli->json) {
            print_json(w.value);
            continue;
        }
        for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
            table_node(&table, dormouse_node_member(w.value, columns[i]));
        }
    }
    if (!cli->json) {
        table_end(&table);
    }
    dormouse_doc_free(doc);
    return EXIT_OK;
}

/* ---- join-token ---- */

static error_t parse_ttl(void *data, int key, char *arg, struct argp_state *state)
{
    uint64_t *ttl_ms = data;
    if (key != KEY_TTL) {
        return ARGP_ERR_UNKNOWN;
    }
    if (!duration_parse(arg, ttl_ms) || *ttl_ms == 0) {
        argp_error(state, "--ttl takes a time like 90s, 10m or 24h: %s", arg);
    }
    return 0;
}

static int cluster_join_token(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"ttl", KEY_TTL, "TIME", 0, "expires after so long: 90s, 10m, 24h (1h)", 0}, {0}};
    uint64_t ttl_ms = 0;
    const struct syntax syntax = {
        .help = "Makes a token that lets one node join the cluster, once, and prints it alone: "
                "dormoused takes it as DORMOUSE_JOIN_TOKEN or --join-token.",
        .options = options,
        .option = parse_ttl,
        .data = &ttl_ms};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_doc *doc;
    struct dormouse_error error;
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_join_token(cli->d, ttl_ms, NULL, &doc, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    size_t bytes;
    const char *token = dormouse_node_text(cluster_named(doc, "token"), &bytes);
    if (cli->json) {
        print_json(dormouse_doc_root(doc));
    } else if (token != NULL) {
        printf("%.*s\n", (int)bytes, token);
    }
    dormouse_doc_free(doc);
    return EXIT_OK;
}

/* ---- drain, undrain, remove ---- */

struct change {
    bool waits;
    uint64_t wait_ms;
};

typedef enum dormouse_code change_fn(struct dormouse *d, uint32_t id,
                                     const struct dormouse_call *call,
                                     struct dormouse_error *ret_error);

/* A kind of change, and what is left to do until it is done. */
struct change_kind {
    change_fn *give;
    const char *state; /* while there is something left */
    const char *done;  /* "drained" */
    unsigned (*left)(const struct dormouse_doc *doc, int64_t id);
};

static unsigned leads_left(const struct dormouse_doc *doc, int64_t id)
{
    return cluster_share(doc, id).leads;
}

static unsigned replicas_left(const struct dormouse_doc *doc, int64_t id)
{
    return cluster_share(doc, id).replicas;
}

static error_t parse_change(void *data, int key, char *arg, struct argp_state *state)
{
    struct change *c = data;
    switch (key) {
    case KEY_WAIT:
        c->waits = true;
        return 0;
    case KEY_FOR:
        if (!duration_parse(arg, &c->wait_ms) || c->wait_ms == 0) {
            argp_error(state, "--for takes a time like 90s, 10m or 24h: %s", arg);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_change(const struct cli *cli, const struct change_kind *kind, uint32_t id,
                         unsigned left)
{
    if (cli->json) {
        printf("{\"member\":%u,\"state\":\"%s\",\"shards_left\":%u}\n", id,
               left > 0 ? kind->state : kind->done, left);
    } else if (left > 0) {
        printf("member %u is %s: %u shards left\n", id, kind->state, left);
    } else {
        printf("member %u is %s\n", id, kind->done);
    }
}

/* Looks once, and again until nothing is left where the command waits. A node that is asked while it
 * restarts is asked again. */
static int follow(struct cli *cli, const struct change *c, const struct change_kind *kind,
                  uint32_t id)
{
    uint64_t until_ms = cli_now_ms() + c->wait_ms;
    struct dormouse_doc *doc = NULL;
    progress_begin("member %u is %s", id, kind->state);
    for (;;) {
        int code = cluster_ask(cli, &doc);
        if (code != EXIT_OK) {
            return code;
        }
        unsigned left = kind->left(doc, id);
        dormouse_doc_free(doc);
        bool is_over = left == 0 || !c->waits || cli_now_ms() >= until_ms;
        if (is_over) {
            progress_end();
            print_change(cli, kind, id, left);
            return left > 0 && c->waits ? EXIT_UNREACHABLE : EXIT_OK;
        }
        progress_note("%u shards left ", left);
        cli_pause_ms(CLUSTER_POLL_MS);
    }
}

static int change(struct cli *cli, int argc, char **argv, const char *help,
                  const struct change_kind *kind)
{
    static const struct argp_option options[] = {
        {"wait", KEY_WAIT, NULL, 0, "until no shard is left; exit code 5 if some are in the end",
         0},
        {"for", KEY_FOR, "TIME", 0, "how long --wait does: 90s, 10m, 24h (10m)", 0},
        {0}};
    struct change c = {.wait_ms = CLUSTER_WAIT_MS};
    const struct syntax syntax = {.usage = "ID",
                                  .help = help,
                                  .positionals_min = 1,
                                  .positionals_max = 1,
                                  .options = kind->left != NULL ? options : NULL,
                                  .option = parse_change,
                                  .data = &c};
    uint64_t id;
    struct dormouse_error error;
    cli_parse(cli, argc, argv, &syntax);
    if (!number_parse(cli->positionals[0], &id) || id == 0 || id > UINT32_MAX) {
        return cli_usage(cli, "a member's id is a number from 1 on: %s", cli->positionals[0]);
    }
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (kind->give(cli->d, (uint32_t)id, NULL, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    if (kind->left != NULL) {
        return follow(cli, &c, kind, (uint32_t)id);
    }
    progress_end();
    print_change(cli, kind, (uint32_t)id, 0);
    return EXIT_OK;
}

static int cluster_drain(struct cli *cli, int argc, char **argv)
{
    static const struct change_kind kind = {dormouse_member_drain, "draining", "drained",
                                            leads_left};
    return change(cli, argc, argv,
                  "Has other members lead the shards of a member, which may then stop without "
                  "anybody waiting. It keeps its replicas.",
                  &kind);
}

static int cluster_undrain(struct cli *cli, int argc, char **argv)
{
    static const struct change_kind kind = {dormouse_member_undrain, "up", "up", NULL};
    return change(cli, argc, argv, "Ends a drain: the member leads shards again.", &kind);
}

static int cluster_remove(struct cli *cli, int argc, char **argv)
{
    static const struct change_kind kind = {dormouse_member_remove, "leaving", "removed",
                                            replicas_left};
    return change(
        cli, argc, argv,
        "Removes a member, running or dead: others take over its replicas. Its id is never "
        "used again. A node that runs is stopped only when nothing is left: see --wait.",
        &kind);
}

int command_cluster(struct cli *cli, int argc, char **argv)
{
    static const struct command commands[] = {
        {"status", "what members lead and hold, how shards are", cluster_status},
        {"members", "who and where they are", cluster_members},
        {"join-token", "make a token that lets a node join", cluster_join_token},
        {"drain", "have others lead a member's shards", cluster_drain},
        {"undrain", "let it lead again", cluster_undrain},
        {"remove", "let a member go, for good", cluster_remove},
        {"move-shard", "put a replica of a shard on another member", cluster_move_shard},
        {"rebalance", "even out what members hold and lead", cluster_rebalance},
        {"certs", "make the certificates of a cluster", cluster_certs},
        {NULL, NULL, NULL},
    };
    return cli_dispatch(cli, argv[0], commands, argc, argv);
}
