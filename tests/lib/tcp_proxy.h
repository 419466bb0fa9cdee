/* A proxy between two programs of a test, on the test's loop: it cuts bytes into pieces, holds them back
 * or breaks connections when told to. Its own port stands for that of the target. */
#ifndef TESTS_LIB_TCP_PROXY_H
#define TESTS_LIB_TCP_PROXY_H

#include <uv.h>

#include "base/list.h"

struct tcp_proxy {
    uv_tcp_t tcp;
    uint16_t target;
    size_t piece_bytes; /* at most so many are read at a time; 0: as many as come */
    bool is_paused;     /* nothing is read, either way */
    bool refuses;       /* what connects is closed at once */
    struct list pairs;
    size_t pair_count;
    size_t accepted_count;
};

void tcp_proxy_open(struct tcp_proxy *p, uv_loop_t *loop, uint16_t target);
uint16_t tcp_proxy_port(const struct tcp_proxy *p);
void tcp_proxy_pause(struct tcp_proxy *p, bool is_paused);
void tcp_proxy_cut(struct tcp_proxy *p);   /* every connection there is */
void tcp_proxy_close(struct tcp_proxy *p); /* the loop must run until pair_count is 0 */

#endif
