/* What a start makes of its flags and of the file CLUSTER: a node of its own, the first of a cluster, one
 * that asks to be let in, or a member. Pure.
 *
 *     file    data    flags              role
 *     -       any     none               SINGLE
 *     -       any     --cluster-init     INIT      what a single node keeps stays
 *     -       -       --join             JOIN
 *     -       yes     --join             refused: it has a cluster of its own
 *     yes     -       the same or none   INIT or JOIN again: the first time was cut short
 *     yes     -       others             as without a file: nothing depends on it yet
 *     yes     yes     the same or none   MEMBER
 *     yes     yes     others             refused
 *
 * INIT and JOIN are over once there is data; whether the cluster knows of the member is in its records. */
#ifndef NODE_CLUSTER_PLAN_H
#define NODE_CLUSTER_PLAN_H

#include <stdbool.h>

#include "base/err.h"
#include "node/cluster_file.h"
#include "node/options.h"

enum cluster_role { CLUSTER_SINGLE, CLUSTER_INIT, CLUSTER_JOIN, CLUSTER_MEMBER };

struct cluster_plan {
    enum cluster_role role;
    struct cluster_file file; /* all zero for CLUSTER_SINGLE; a birth of 0 is to be drawn */
    bool writes_file;         /* it is not what the directory has */
};

/* `file` is NULL where there is none. ERR_BAD_REQUEST with one sentence: the flags do not fit. */
enum err cluster_plan(const struct options *o, bool has_data, const struct cluster_file *file,
                      struct cluster_plan *ret_plan,
                      char ret_detail[OPTIONS_DETAIL_BYTES]) MUST_CHECK;

#endif
