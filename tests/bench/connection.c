#include "tests/bench/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

void connection_open(struct connection *c, const struct sockaddr_in *to)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) != 0) {
        (void)fprintf(stderr, "load: cannot connect to %s: %s\n", c->authority, strerror(errno));
        exit(EXIT_FAILURE);
    }
    int on = 1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->protocol->open(c);
}

void connection_close(struct connection *c)
{
    c->protocol->close(c);
    buf_done(&c->out);
    (void)close(c->fd);
}

void connection_submit(struct connection *c, struct exchange *x, const struct request *r)
{
    x->connection = c;
    x->body_at = 0;
    x->status = 0;
    c->protocol->submit(c, x, r);
}

bool connection_read(struct connection *c)
{
    static uint8_t bytes[READ_BYTES];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    return n > 0 && c->protocol->received(c, slice_of(bytes, (size_t)n));
}

bool connection_write(struct connection *c, bool *ret_blocked)
{
    c->protocol->collect(c);
    *ret_blocked = false;
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            *ret_blocked = errno == EAGAIN;
            return *ret_blocked;
        }
        buf_consume(&c->out, (size_t)n);
    }
    return true;
}
