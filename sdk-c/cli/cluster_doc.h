/* What the cluster says of itself, as commands look at it. */
#ifndef SDK_C_CLI_CLUSTER_DOC_H
#define SDK_C_CLI_CLUSTER_DOC_H

#include "sdk-c/cli/cli.h"

enum {
    CLUSTER_POLL_MS = 500,            /* between two looks of a command that waits */
    CLUSTER_WAIT_MS = 10 * 60 * 1000, /* where nobody says how long */
};

/* EXIT_OK, or a failure that has been reported. Connects where that is not done yet. */
int cluster_ask(struct cli *cli, struct dormouse_doc **ret_doc);

struct dormouse_node cluster_named(const struct dormouse_doc *doc, const char *name);
bool cluster_has_number(struct dormouse_node array, int64_t number);

/* Of a member, in the shards as the node that was asked knows them. */
struct cluster_share {
    unsigned leads;
    unsigned replicas;
};
struct cluster_share cluster_share(const struct dormouse_doc *doc, int64_t id);

uint64_t cli_now_ms(void); /* monotonic */
void cli_pause_ms(unsigned ms);

#endif
