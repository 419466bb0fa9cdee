#include "node/cluster_start.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "node/listen_socket.h"
#include "node/node.h"

static enum err explain(char detail[CLUSTER_START_DETAIL_BYTES], const char *what,
                        const char *reason)
{
    (void)snprintf(detail, CLUSTER_START_DETAIL_BYTES, "%.280s: %.200s", what, reason);
    return ERR_BAD_REQUEST;
}

/* Address */

/* "HOST:PORT", "[V6]:PORT", of which it is known that it has that form. */
static void split(const char *address, char host[MEMBER_ADDRESS_BYTES], char port[8])
{
    const char *colon = strrchr(address, ':');
    size_t len = (size_t)(colon - address);
    bool is_v6 = len > 2 && address[0] == '[';
    (void)snprintf(host, MEMBER_ADDRESS_BYTES, "%.*s", (int)(is_v6 ? len - 2 : len),
                   is_v6 ? address + 1 : address);
    (void)snprintf(port, 8, "%s", colon + 1);
}

/* A name is looked up once, and listened on where it leads now. */
static enum err take_address(struct node *n, char detail[CLUSTER_START_DETAIL_BYTES])
{
    const char *address = n->cluster.file.peer_listen;
    char host[MEMBER_ADDRESS_BYTES];
    char port[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    split(address, host, port);
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0) {
        return explain(detail, address, gai_strerror(rc));
    }
    char service[8];
    rc = getnameinfo(found->ai_addr, found->ai_addrlen, n->peer_host, sizeof n->peer_host, service,
                     sizeof service, NI_NUMERICHOST | NI_NUMERICSERV);
    freeaddrinfo(found);
    if (rc != 0) {
        return explain(detail, address, gai_strerror(rc));
    }
    n->peer_port = (uint16_t)strtoul(service, NULL, 10);
    (void)snprintf(n->peer_address, sizeof n->peer_address, "%s", address);
    return ERR_OK;
}

/* Certificate */

static char *path_in(const char *dir, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s%c", dir, name, 0);
    return (char *)path.data;
}

static enum err open_tls(struct node *n, char detail[CLUSTER_START_DETAIL_BYTES])
{
    _Static_assert((int)TLS_DETAIL_BYTES == (int)CLUSTER_START_DETAIL_BYTES, "both fit");
    struct cluster_start *s = &n->start;
    char *dir = cluster_certs_path(n->options->data, &n->cluster.file);
    s->cert = path_in(dir, "node.pem");
    s->key = path_in(dir, "node-key.pem");
    s->ca = path_in(dir, "ca.pem");
    mem_free(dir);
    const struct tls_files files = {.cert = s->cert, .key = s->key, .ca = s->ca};
    enum err err =
        tls_source_open(&s->tls, TLS_FOR_PEERS, &files, clock_mono_ms(), clock_wall_ms(), detail);
    s->is_open = err == ERR_OK;
    if (s->is_open) {
        n->peer_tls = &s->tls;
    }
    return err;
}

/* Which node of which cluster this is. What is begun here has a birth of its own. */
static enum err plan(struct node *n, char detail[CLUSTER_START_DETAIL_BYTES])
{
    _Static_assert((int)OPTIONS_DETAIL_BYTES == (int)CLUSTER_START_DETAIL_BYTES &&
                       (int)DATA_DETAIL_BYTES == (int)CLUSTER_START_DETAIL_BYTES,
                   "all fit");
    const struct options *o = n->options;
    struct cluster_file file;
    enum err err = cluster_file_read(o->data, &file, detail);
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        return err;
    }
    err = cluster_plan(o, data_dir_is_there(o->data), err == ERR_OK ? &file : NULL, &n->cluster,
                       detail);
    while (err == ERR_OK && n->cluster.role != CLUSTER_SINGLE && n->cluster.file.birth == 0) {
        n->cluster.file.birth = random_u64();
    }
    return err;
}

enum err cluster_start_open(struct node *n, char ret_detail[CLUSTER_START_DETAIL_BYTES])
{
    const char *reason;
    n->id = 1;
    enum err err = plan(n, ret_detail);
    if (err != ERR_OK || n->cluster.role == CLUSTER_SINGLE) {
        return err;
    }
    n->id = n->cluster.file.node;
    n->birth = n->cluster.file.birth;
    n->has_joined = true;
    n->founds = n->cluster.role == CLUSTER_INIT;
    err = take_address(n, ret_detail);
    if (err == ERR_OK && listen_socket_probe(n->peer_host, n->peer_port, &reason) != ERR_OK) {
        err = explain(ret_detail, n->peer_address, reason);
    }
    return err == ERR_OK ? open_tls(n, ret_detail) : err;
}

void cluster_start_close(struct node *n)
{
    if (n->start.is_open) {
        tls_source_close(&n->start.tls);
    }
    mem_free(n->start.cert);
    mem_free(n->start.key);
    mem_free(n->start.ca);
    n->start = (struct cluster_start){0};
    n->peer_tls = NULL;
}

/* Joining */

static bool is_stopped(void *ctx)
{
    (void)ctx;
    return node_is_stopped();
}

static enum err ask(struct node *n, struct data_origin *ret_origin,
                    char detail[CLUSTER_START_DETAIL_BYTES])
{
    _Static_assert((int)JOIN_DETAIL_BYTES == (int)CLUSTER_START_DETAIL_BYTES, "both fit");
    uint64_t generation;
    struct tls_context *tls = tls_source_take(n->peer_tls, &generation);
    struct join_request request = {.token =
                                       n->options->join_token != NULL ? n->options->join_token : "",
                                   .seed = n->cluster.file.seed,
                                   .host = n->peer_host,
                                   .port = n->peer_port,
                                   .tls = tls,
                                   .is_stopped = is_stopped};
    n->port = n->options->port; /* it listens later */
    node_describe(n, &request.self);
    n->port = 0;
    enum err err = join_cluster(&request, ret_origin, detail);
    tls_context_unref(tls);
    return err;
}

/* Who this is must be durable before it is told: whoever is let in and then forgets it would be taken for
 * another, which has lost its data. */
enum err cluster_start_join(struct node *n, uint32_t wal_count,
                            char ret_detail[CLUSTER_START_DETAIL_BYTES])
{
    struct data_origin origin;
    enum err err = data_dir_prepare(n->options->data, ret_detail);
    if (err == ERR_OK && n->cluster.writes_file) {
        err = cluster_file_write(n->options->data, &n->cluster.file, ret_detail);
    }
    if (err == ERR_OK) {
        err = ask(n, &origin, ret_detail);
    }
    return err == ERR_OK ? data_dir_make(&n->data, n->options->data, &origin, wal_count, ret_detail)
                         : err;
}
