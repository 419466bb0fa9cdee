#include "node/cluster_plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/invariant.h"

static enum err refuse(char detail[OPTIONS_DETAIL_BYTES], const char *format, ...)
    PRINTF_LIKE(2, 3);

static enum err refuse(char detail[OPTIONS_DETAIL_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, OPTIONS_DETAIL_BYTES, format, args);
    va_end(args);
    return ERR_BAD_REQUEST;
}

static bool begins_or_joins(const struct options *o)
{
    return o->cluster_init || o->join != NULL;
}

static void copy(char *ret, size_t bytes, const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    INVARIANT(len < bytes); /* options_parse has seen to it */
    memcpy(ret, text != NULL ? text : "", len);
    ret[len] = '\0';
}

static struct cluster_file file_of_flags(const struct options *o)
{
    struct cluster_file f = {.node = o->node_id};
    copy(f.peer_listen, sizeof f.peer_listen, o->peer_listen);
    copy(f.certs, sizeof f.certs, o->cluster_certs);
    copy(f.seed, sizeof f.seed, o->join);
    return f;
}

static bool is_same(const struct cluster_file *a, const struct cluster_file *b)
{
    return a->node == b->node && strcmp(a->peer_listen, b->peer_listen) == 0 &&
           strcmp(a->certs, b->certs) == 0 && strcmp(a->seed, b->seed) == 0;
}

/* By what flags say; `file` is what is there of an earlier try. */
static enum err plan_by_flags(const struct options *o, bool has_data,
                              const struct cluster_file *file, struct cluster_plan *ret_plan,
                              char detail[OPTIONS_DETAIL_BYTES])
{
    const char *flag = o->cluster_init ? "--cluster-init" : "--join";
    if (o->node_id == 0 || o->peer_listen == NULL) {
        return refuse(detail, "%s needs --node-id and --peer-listen; --%s is missing", flag,
                      o->node_id == 0 ? "node-id" : "peer-listen");
    }
    if (o->cluster_init && o->node_id != 1) {
        return refuse(detail, "--cluster-init --node-id %" PRIu32 ": the first node is node 1",
                      o->node_id);
    }
    if (!o->cluster_init && has_data) {
        return refuse(detail,
                      "%s: has data of its own, and --join begins without; give it an empty "
                      "directory, or make it the first of a cluster with --cluster-init",
                      o->data);
    }
    if (!o->cluster_init && o->join_token == NULL) {
        return refuse(detail,
                      "--join needs --join-token, or DORMOUSE_JOIN_TOKEN in the environment");
    }
    struct cluster_file f = file_of_flags(o);
    bool is_again = file != NULL && is_same(&f, file);
    f.birth = is_again ? file->birth : 0;
    *ret_plan = (struct cluster_plan){
        .role = o->cluster_init ? CLUSTER_INIT : CLUSTER_JOIN, .file = f, .writes_file = !is_again};
    return ERR_OK;
}

/* Flags that are given must say what the file says. */
static enum err check_flags(const struct options *o, const struct cluster_file *f,
                            char detail[OPTIONS_DETAIL_BYTES])
{
    static const char other[] = "the data directory says";
    bool began = f->seed[0] == '\0';
    if (o->node_id != 0 && o->node_id != f->node) {
        return refuse(detail, "--node-id %" PRIu32 ": %s %" PRIu32, o->node_id, other, f->node);
    }
    if (o->peer_listen != NULL && strcmp(o->peer_listen, f->peer_listen) != 0) {
        return refuse(detail, "--peer-listen %s: %s %s", o->peer_listen, other, f->peer_listen);
    }
    if (o->cluster_certs != NULL && strcmp(o->cluster_certs, f->certs) != 0) {
        return refuse(detail, "--cluster-certs %s: %s %s", o->cluster_certs, other,
                      f->certs[0] != '\0' ? f->certs : "certs in itself");
    }
    if (o->cluster_init && !began) {
        return refuse(detail, "--cluster-init: %s that the node joined by %s", other, f->seed);
    }
    if (o->join != NULL && strcmp(o->join, f->seed) != 0) {
        return refuse(detail, "--join %s: %s that the node %s%s", o->join, other,
                      began ? "began its cluster" : "joined by ", f->seed);
    }
    return ERR_OK;
}

/* The file is there, and no flags that could replace it. */
static enum err plan_by_file(const struct options *o, bool has_data, const struct cluster_file *f,
                             struct cluster_plan *ret_plan, char detail[OPTIONS_DETAIL_BYTES])
{
    enum err err = check_flags(o, f, detail);
    if (err != ERR_OK) {
        return err;
    }
    bool joins = !has_data && f->seed[0] != '\0';
    if (joins && o->join_token == NULL) {
        return refuse(detail,
                      "%s: the node has not joined by %s yet: give --join-token, or "
                      "DORMOUSE_JOIN_TOKEN in the environment, once more",
                      o->data, f->seed);
    }
    enum cluster_role begins = joins ? CLUSTER_JOIN : CLUSTER_INIT;
    *ret_plan = (struct cluster_plan){.role = has_data ? CLUSTER_MEMBER : begins, .file = *f};
    return ERR_OK;
}

enum err cluster_plan(const struct options *o, bool has_data, const struct cluster_file *file,
                      struct cluster_plan *ret_plan, char ret_detail[OPTIONS_DETAIL_BYTES])
{
    PRE(o->data != NULL && !(o->cluster_init && o->join != NULL));

    if (begins_or_joins(o) && (file == NULL || !has_data)) {
        return plan_by_flags(o, has_data, file, ret_plan, ret_detail);
    }
    if (file != NULL) {
        return plan_by_file(o, has_data, file, ret_plan, ret_detail);
    }
    if (o->node_id != 0 || o->peer_listen != NULL || o->cluster_certs != NULL) {
        return refuse(ret_detail,
                      "--%s is given with --cluster-init or --join, and %s is in no cluster",
                      o->node_id != 0          ? "node-id"
                      : o->peer_listen != NULL ? "peer-listen"
                                               : "cluster-certs",
                      o->data);
    }
    *ret_plan = (struct cluster_plan){.role = CLUSTER_SINGLE};
    return ERR_OK;
}
