/* Which ports something listens on, by inet_diag: seen without a connection that the program would have to accept. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "actor/sandbox_machine_own.h"

enum { TCP_LISTEN_STATE = 10, ANSWER_BYTES = 32 * 1024, ANSWERS_MAX = 64 };

static bool ask(int diag, uint8_t family)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } request = {
        .head = {.nlmsg_len = sizeof request,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = 1U << TCP_LISTEN_STATE},
    };
    return send(diag, &request, sizeof request, MSG_DONTWAIT) == (ssize_t)sizeof request;
}

static size_t add(uint16_t *ports, size_t count, size_t max, uint16_t port)
{
    for (size_t i = 0; i < count; i++) {
        if (ports[i] == port) {
            return count;
        }
    }
    if (count < max) {
        ports[count++] = port;
    }
    return count;
}

/* The kernel answers a dump within the calls that ask and read. */
static size_t take(int diag, uint16_t *ports, size_t count, size_t max)
{
    union {
        struct nlmsghdr head;
        char bytes[ANSWER_BYTES];
    } answer;
    for (int i = 0; i < ANSWERS_MAX; i++) {
        ssize_t n = recv(diag, &answer, sizeof answer, MSG_DONTWAIT);
        if (n <= 0) {
            return count;
        }
        size_t left = (size_t)n;
        for (struct nlmsghdr *h = &answer.head; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
                return count;
            }
            if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg))) {
                const struct inet_diag_msg *m = NLMSG_DATA(h);
                count = add(ports, count, max, ntohs(m->id.idiag_sport));
            }
        }
    }
    return count;
}

size_t machine_ports_of(int diag, uint16_t *ret_ports, size_t max)
{
    size_t count = 0;
    if (ask(diag, AF_INET)) {
        count = take(diag, ret_ports, count, max);
    }
    if (ask(diag, AF_INET6)) {
        count = take(diag, ret_ports, count, max);
    }
    return count;
}
