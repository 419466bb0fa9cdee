/* The sockets of a worker, both ends: those of its connections' clients (node/client_socket.h, with their lines)
 * and those of its shards' actors (node/socket_owner.h); and how the two reach each other: within the worker,
 * by the mail rings to another one of the node, and as messages between nodes.
 *
 *     this worker's clients: lines --up, SOCKET_UP-----> the worker of the actor's shard, where it leads
 *     this worker's actors:  owner --down, SOCKET_DOWN-> the worker that the socket's number says
 *
 * A line sends on its own worker's connections, and what comes from another node comes to the worker of the
 * shard, who hands it on. Whichever way it is, what one end says to the other keeps its order. */
#ifndef NODE_SOCKETS_H
#define NODE_SOCKETS_H

#include "node/client_body.h"
#include "node/client_socket.h"
#include "node/socket_line.h"
#include "node/socket_owner.h"
#include "rpc/peer_frame.h"

struct worker;

struct sockets {
    struct worker *worker;
    struct socket_lines lines;
    struct client_sockets clients;
    struct client_bodies bodies;
    struct websocket_limits limits; /* of the clients */
    struct socket_owner owner;
    struct list here; /* mails from this worker to itself */
};

void sockets_init(struct sockets *s, struct worker *w);
void sockets_done(struct sockets *s);

/* SOCKET_UP and SOCKET_DOWN, from the node `from`. */
enum err sockets_take(struct sockets *s, uint32_t from, const struct peer_message *m) MUST_CHECK;
void sockets_on_lost(struct sockets *s, uint32_t node); /* a connection to or from it */
/* After the code host has given back what it had of the shard. */
void sockets_depose(struct sockets *s, uint32_t shard);

void sockets_tick(struct sockets *s, uint64_t now_ms, uint64_t wall_ms);
void sockets_check_tokens(
    struct sockets *s);                /* often enough for a revocation to hold in a second */
void sockets_flush(struct sockets *s); /* before the loop sleeps, and before the neighbours' */

/* The node stops: clients are told, and actors of other nodes hear of it while sockets_are_quiet is false. */
void sockets_end_all(struct sockets *s);
bool sockets_are_quiet(const struct sockets *s);

#endif
