#include "sdk-c/cli/cluster_doc.h"

#include <time.h>

struct dormouse_node cluster_named(const struct dormouse_doc *doc, const char *name)
{
    return dormouse_node_member(dormouse_doc_root(doc), name);
}

bool cluster_has_number(struct dormouse_node array, int64_t number)
{
    for (struct dormouse_walk w = dormouse_node_walk(array); dormouse_walk_next(&w);) {
        if (dormouse_node_int(w.value, -1) == number) {
            return true;
        }
    }
    return false;
}

struct cluster_share cluster_share(const struct dormouse_doc *doc, int64_t id)
{
    struct cluster_share share = {0};
    for (struct dormouse_walk w = dormouse_node_walk(cluster_named(doc, "shards"));
         dormouse_walk_next(&w);) {
        share.leads += dormouse_node_int(dormouse_node_member(w.value, "leader"), -1) == id;
        share.replicas += cluster_has_number(dormouse_node_member(w.value, "replicas"), id);
    }
    return share;
}

int cluster_ask(struct cli *cli, struct dormouse_doc **ret_doc)
{
    struct dormouse_error error;
    int code = cli->d != NULL ? EXIT_OK : cli_connect(cli);
    if (code == EXIT_OK && dormouse_cluster(cli->d, NULL, ret_doc, &error) != DORMOUSE_OK) {
        code = cli_fail(cli, &error);
    }
    return code;
}

uint64_t cli_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void cli_pause_ms(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}
