/* A client connection of the load generator: requests in, status codes out, one socket.
 *
 *     connection_open -> connection_submit ... -> on_answer(status) for each -> connection_close
 *
 * The protocol (HTTP/2 or HTTP/1.1) works on bytes alone and hangs below as a table of functions;
 * the socket is handled here, without blocking. HTTP/1.1 carries one request at a time. */
#ifndef TESTS_BENCH_CONNECTION_H
#define TESTS_BENCH_CONNECTION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "tests/bench/workload.h"

struct connection;

/* One request under way. */
struct exchange {
    struct connection *connection;
    uint64_t sent_ns;
    uint64_t sends_at_ns; /* where it pauses; 0: it does not */
    uint64_t body_at;     /* bytes of the body already handed to the protocol */
    struct buf body;
    int status;
};

/* May submit the next request on the same exchange. Status 0: reset by the server. */
typedef void (*answer_cb)(struct exchange *x);

struct protocol {
    void (*open)(struct connection *c);
    void (*close)(struct connection *c);
    void (*submit)(struct connection *c, struct exchange *x, const struct request *r);
    bool (*received)(struct connection *c, struct slice bytes); /* false: not this protocol */
    void (*collect)(struct connection *c); /* moves what is to be sent into `out` */
};

extern const struct protocol http2_protocol;
extern const struct protocol http1_protocol;

struct connection {
    const struct protocol *protocol;
    void *session; /* the protocol's own */
    int fd;
    bool wants_write; /* as epoll was last told */
    struct buf out;
    const char *authority;
    answer_cb on_answer;
};

/* Connects; the process ends with one line where that fails. */
void connection_open(struct connection *c, const struct sockaddr_in *to);
void connection_close(struct connection *c);
void connection_submit(struct connection *c, struct exchange *x, const struct request *r);
/* False where the server closed the connection or broke the protocol. */
bool connection_read(struct connection *c);
/* Sends what can be sent; `ret_blocked` says that some is left until the socket is writable. */
bool connection_write(struct connection *c, bool *ret_blocked);

#endif
