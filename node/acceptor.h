/* An acceptor: takes the connections that wait at a listening socket off its queue, one at a time.
 *
 * A client that connects and hangs up again and again costs the node least where nothing is made for him:
 * whether somebody is still there is asked first.
 *
 * Where descriptors run out it gives up one that it keeps for that, takes a waiting connection and closes
 * it: a queue that is never emptied is one in which clients wait for nothing, and the loop would be
 * told of it for ever. */
#ifndef NODE_ACCEPTOR_H
#define NODE_ACCEPTOR_H

#include <stdbool.h>
#include <sys/socket.h>

struct acceptor {
    int fd;       /* that listens; its own */
    int spare_fd; /* negative: there was none to be had */
};

enum acceptor_found {
    ACCEPTOR_NONE,        /* nobody waits */
    ACCEPTOR_GONE,        /* one waited, and has hung up */
    ACCEPTOR_TURNED_AWAY, /* one waited, and there was no descriptor for it */
    ACCEPTOR_ONE,
};

void acceptor_init(struct acceptor *a, int fd);
void acceptor_done(struct acceptor *a); /* no more connections come */

struct accepted {
    int fd; /* the caller's; does not block, and is closed by exec */
    bool has_bytes;
    struct sockaddr_storage from;
};

/* ONE: `ret_accepted` is filled in. */
enum acceptor_found acceptor_take(struct acceptor *a, struct accepted *ret_accepted);

#endif
