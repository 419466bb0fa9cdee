/* cluster certs. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/output.h"

enum { KEY_DIR = 1, KEY_NODE_ID, KEY_HOST, KEY_DAYS, KEY_RENEW, HOSTS_MAX = 64 };

struct certs_options {
    const char *dir;
    uint64_t node_id;
    const char *hosts[HOSTS_MAX];
    size_t host_count;
    uint64_t days; /* 0: not given */
    bool renew;
};

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct certs_options *o = data;
    switch (key) {
    case KEY_DIR:
        o->dir = arg;
        return 0;
    case KEY_NODE_ID:
        if (!number_parse(arg, &o->node_id) || o->node_id == 0 || o->node_id > UINT32_MAX) {
            argp_error(state, "--node-id takes a number from 1 on: %s", arg);
        }
        return 0;
    case KEY_HOST:
        if (o->host_count == HOSTS_MAX) {
            argp_error(state, "too many hosts: %s", arg);
        }
        o->hosts[o->host_count++] = arg;
        return 0;
    case KEY_DAYS:
        if (!number_parse(arg, &o->days) || o->days == 0 || o->days > UINT32_MAX) {
            argp_error(state, "--days takes a number from 1 on: %s", arg);
        }
        return 0;
    case KEY_RENEW:
        o->renew = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_made(const struct cli *cli, const struct certs_options *o,
                       const struct dormouse_certs_made *made)
{
    char day[32] = "?";
    time_t at = (time_t)(made->expires_ms / 1000);
    struct tm tm;
    if (cli->json) {
        fputs("{\"cluster\":", stdout);
        json_text(stdout, made->cluster, strlen(made->cluster));
        printf(",\"new\":%s,\"node\":%llu,\"dir\":", made->is_new_cluster ? "true" : "false",
               (unsigned long long)o->node_id);
        json_text(stdout, o->dir, strlen(o->dir));
        printf(",\"expires\":%lld}\n", (long long)made->expires_ms);
        return;
    }
    if (gmtime_r(&at, &tm) != NULL) {
        (void)strftime(day, sizeof(day), "%Y-%m-%d", &tm);
    }
    printf("%s cluster %s; node %llu has its certificate in ", made->is_new_cluster ? "new" : "the",
           made->cluster, (unsigned long long)o->node_id);
    plain_text(stdout, o->dir, strlen(o->dir));
    printf("/node-%llu until %s\n", (unsigned long long)o->node_id, day);
}

int cluster_certs(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"dir", KEY_DIR, "DIR", 0, "where the CA of the cluster is, or is made", 0},
        {"node-id", KEY_NODE_ID, "N", 0, "the node that the certificate is for", 0},
        {"host", KEY_HOST, "NAME", 0, "a name or an address for it; may be repeated", 0},
        {"days", KEY_DAYS, "N", 0, "how long it lasts (1095)", 0},
        {"renew", KEY_RENEW, NULL, 0, "replace the one that is there", 0},
        {0}};
    struct certs_options o = {0};
    const struct syntax syntax = {
        .help = "Makes the CA of a cluster, once, and the certificate of a node: the folder "
                "DIR/node-N is what that node is given as --cluster-certs. DIR/ca-key.pem is for "
                "making more, and belongs on no node. No node is asked.",
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    if (o.dir == NULL || o.node_id == 0) {
        return cli_usage(cli, "cluster certs needs --dir and --node-id");
    }
    const struct dormouse_certs_options wanted = {.dir = o.dir,
                                                  .node_id = (uint32_t)o.node_id,
                                                  .hosts = o.hosts,
                                                  .host_count = o.host_count,
                                                  .days = (uint32_t)o.days,
                                                  .renew = o.renew};
    struct dormouse_certs_made made;
    struct dormouse_error error;
    if (dormouse_cluster_certs(&wanted, &made, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    print_made(cli, &o, &made);
    return EXIT_OK;
}
