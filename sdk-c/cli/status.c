/* status: is the node well, and what runs there; members and shards of its cluster. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

static void print_table(struct dormouse_node rows, struct table *table, const char *const *columns)
{
    for (struct dormouse_walk w = dormouse_node_walk(rows); dormouse_walk_next(&w);) {
        for (size_t i = 0; columns[i] != NULL; i++) {
            table_node(table, dormouse_node_member(w.value, columns[i]));
        }
    }
    table_end(table);
}

static long long number_of(struct dormouse_node map, const char *name)
{
    return (long long)dormouse_node_int(dormouse_node_member(map, name), 0);
}

static void print_names(struct dormouse_node list)
{
    const char *between = "";
    for (struct dormouse_walk w = dormouse_node_walk(list); dormouse_walk_next(&w);) {
        size_t bytes;
        const char *text = dormouse_node_text(w.value, &bytes);
        printf("%s", between);
        plain_text(stdout, text, text != NULL ? bytes : 0);
        between = ", ";
    }
}

/* Of a node that has been asked for code: what runs, and what it is locked down by. */
static void print_code(struct dormouse_node node)
{
    struct dormouse_node isolates = dormouse_node_member(node, "isolates");
    struct dormouse_node code = dormouse_node_member(node, "code");
    struct dormouse_node why = dormouse_node_member(isolates, "no_code");
    if (dormouse_node_type(why) == DORMOUSE_TEXT) {
        size_t bytes;
        const char *text = dormouse_node_text(why, &bytes);
        printf("no code runs: ");
        plain_text(stdout, text, bytes);
        printf("\n");
    } else if (number_of(isolates, "started") > 0) {
        printf("code: %lld awake, %lld kept warm, %.1f MB; %lld events, %lld exceptions; locked "
               "down by ",
               number_of(code, "sessions"), number_of(isolates, "warm"),
               (double)number_of(isolates, "memory_bytes") / 1e6, number_of(code, "events"),
               number_of(code, "exceptions"));
        print_names(dormouse_node_member(isolates, "layers"));
        printf("\n");
    }
}

static void print_plain(const struct cli *cli, const struct dormouse_error *ready,
                        struct dormouse_node node, struct dormouse_node cluster)
{
    static const char *const member_columns[] = {"id", "state", "address", NULL};
    static const char *const shard_columns[] = {"id", "leader", "lag", "replicas", NULL};
    static struct table members = {.headings = {"MEMBER", "STATE", "ADDRESS"}};
    static struct table shards = {.headings = {"SHARD", "LEADER", "LAG", "REPLICAS"}};
    printf("%s is ", cli_url(cli));
    if (ready->kind == DORMOUSE_OK) {
        printf("ready\n");
    } else {
        printf("not ready: ");
        plain_text(stdout, ready->detail, strlen(ready->detail));
        printf("\n");
    }
    print_code(node);
    if (dormouse_node_type(cluster) == DORMOUSE_MAP) {
        printf("\n");
        print_table(dormouse_node_member(cluster, "members"), &members, member_columns);
        printf("\n");
        print_table(dormouse_node_member(cluster, "shards"), &shards, shard_columns);
    }
}

static void print_member_json(const char *name, struct dormouse_node value)
{
    char *json = dormouse_node_json(value, NULL);
    printf(",\"%s\":%s", name, json);
    dormouse_text_free(json);
}

static void print_all_json(const struct cli *cli, const struct dormouse_error *ready,
                           struct dormouse_node node, struct dormouse_node cluster)
{
    printf("{\"url\":");
    json_text(stdout, cli_url(cli), strlen(cli_url(cli)));
    printf(",\"ready\":%s", ready->kind == DORMOUSE_OK ? "true" : "false");
    if (ready->kind != DORMOUSE_OK) {
        printf(",\"detail\":");
        json_text(stdout, ready->detail, strlen(ready->detail));
    }
    print_member_json("node", node);
    print_member_json("cluster", cluster);
    printf("}\n");
}

int command_status(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {
        .help =
            "Says whether the node is ready and what code runs there, and shows the members and "
            "shards of its cluster where the token may see them. Exit code 5 where it is not "
            "ready."};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_error error;
    struct dormouse_error ready;
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_health(cli->d, NULL, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    dormouse_ready(cli->d, NULL, &ready);
    struct dormouse_doc *status = NULL;
    struct dormouse_doc *doc = NULL;
    struct dormouse_node node = {0};
    struct dormouse_node cluster = {0};
    if (dormouse_node_status(cli->d, NULL, &status, &error) == DORMOUSE_OK) {
        node = dormouse_doc_root(status);
    }
    if (dormouse_cluster(cli->d, NULL, &doc, &error) == DORMOUSE_OK) {
        cluster = dormouse_doc_root(doc);
    }
    progress_end();
    if (cli->json) {
        print_all_json(cli, &ready, node, cluster);
    } else {
        print_plain(cli, &ready, node, cluster);
    }
    dormouse_doc_free(status);
    dormouse_doc_free(doc);
    if (ready.kind != DORMOUSE_OK) {
        return EXIT_UNREACHABLE;
    }
    /* What a token may not see, or a node does not show yet, says nothing about its health. */
    bool is_expected = error.kind == DORMOUSE_OK || error.kind == DORMOUSE_FORBIDDEN ||
                       error.kind == DORMOUSE_UNAUTHENTICATED ||
                       error.kind == DORMOUSE_NOT_IMPLEMENTED;
    return is_expected ? EXIT_OK : cli_fail(cli, &error);
}
