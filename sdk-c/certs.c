/* Certificates of a cluster. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "rpc/tls_make.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/error.h"

static enum dormouse_code check(const struct dormouse_certs_options *o,
                                struct dormouse_error *error)
{
    if (o->dir == NULL || o->dir[0] == '\0') {
        return error_set(error, DORMOUSE_INVALID_ARGUMENT, "No directory is given.");
    }
    if (o->node_id == 0) {
        return error_set(error, DORMOUSE_INVALID_ARGUMENT, "A node's id is a number from 1 on.");
    }
    if (o->host_count > TLS_NODE_HOSTS_MAX || o->days > TLS_CA_DAYS) {
        return error_set(error, DORMOUSE_INVALID_ARGUMENT, "At most %d hosts and %d days.",
                         TLS_NODE_HOSTS_MAX, TLS_CA_DAYS);
    }
    return DORMOUSE_OK;
}

enum dormouse_code dormouse_cluster_certs(const struct dormouse_certs_options *options,
                                          struct dormouse_certs_made *ret_made,
                                          struct dormouse_error *ret_error)
{
    struct dormouse_error scratch;
    struct dormouse_error *error = ret_error == NULL ? &scratch : ret_error;
    error_clear(error);
    enum dormouse_code code = check(options, error);
    if (code != DORMOUSE_OK) {
        return code;
    }
    const struct tls_make_options o = {.dir = options->dir,
                                       .node = options->node_id,
                                       .hosts = options->hosts,
                                       .host_count = options->host_count,
                                       .days = options->days,
                                       .renew = options->renew};
    struct tls_made made;
    char detail[TLS_DETAIL_BYTES];
    random_init();
    if (tls_make_node(&o, clock_wall_ms(), &made, detail) != ERR_OK) {
        return error_set(error, DORMOUSE_INVALID_ARGUMENT, "%s", detail);
    }
    *ret_made = (struct dormouse_certs_made){.is_new_cluster = made.is_new_ca,
                                             .expires_ms = (int64_t)made.expires_ms};
    _Static_assert(sizeof ret_made->cluster == sizeof made.name.cluster, "a cluster's name");
    memcpy(ret_made->cluster, made.name.cluster, sizeof made.name.cluster);
    return DORMOUSE_OK;
}
