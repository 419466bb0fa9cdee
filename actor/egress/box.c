#include "actor/egress/box.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actor/egress/dns.h"
#include "actor/egress/egress.h"
#include "actor/egress/guest.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/tls_mint.h"

/* Rules */

static void wipe(struct buf *b)
{
    if (b->data != NULL) {
        explicit_bzero(b->data, b->cap);
    }
    buf_done(b);
}

static struct box_rules *new_rules(struct slice frame)
{
    struct egress_frame f;
    struct box_rules *r = MEM_NEW(struct box_rules);
    r->refs = 1;
    buf_append_slice(&r->frame, frame);
    enum err err = egress_frame_decode(buf_slice(&r->frame), &f);
    INVARIANT(err == ERR_OK); /* it was read once */
    r->rules = f.kind == EGRESS_BOX_OPEN ? f.open.rules : f.rules;
    scrub_set_init(&r->scrub, r->rules.secrets);
    return r;
}

struct box_rules *box_rules_ref(struct box_rules *r)
{
    r->refs++;
    return r;
}

void box_rules_unref(struct box_rules *r)
{
    if (r == NULL || --r->refs > 0) {
        return;
    }
    scrub_set_done(&r->scrub);
    wipe(&r->frame);
    mem_free(r);
}

void box_set_rules(struct box *b, struct slice frame)
{
    box_rules_unref(b->rules);
    b->rules = new_rules(frame);
}

/* Sockets */

static void accept_guests(struct box_socket *s, enum egress_box_socket way)
{
    struct box *b = s->box;
    for (int i = 0; i < BOX_ACCEPTS_A_TURN; i++) {
        int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            return; /* none is left, or it has gone again */
        }
        if (b->guest_count >= BOX_GUESTS_MAX || b->egress->guest_count >= GUESTS_MAX) {
            (void)close(fd); /* who has that many open learns that it is too many */
            continue;
        }
        guest_open(b, fd, way);
    }
}

static void answer_names(struct box_socket *s)
{
    uint8_t query[DNS_QUERY_BYTES_MAX];
    uint8_t answer[DNS_ANSWER_BYTES_MAX];
    for (int i = 0; i < BOX_NAMES_A_TURN; i++) {
        struct sockaddr_in6 from;
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(s->fd, query, sizeof query, MSG_DONTWAIT | MSG_TRUNC,
                             (struct sockaddr *)&from, &from_len);
        if (n < 0) {
            return;
        }
        size_t len = (size_t)n <= sizeof query ? dns_answer(slice_of(query, (size_t)n), answer) : 0;
        if (len > 0) {
            (void)sendto(s->fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&from,
                         from_len);
        }
    }
}

static void act(struct source *source, uint32_t events)
{
    struct box_socket *s = CONTAINER_OF(source, struct box_socket, source);
    enum egress_box_socket way = (enum egress_box_socket)(s - s->box->sockets);
    if (s->box->is_closed || (events & EPOLLIN) == 0) {
        return;
    }
    if (way == EGRESS_BOX_DNS) {
        answer_names(s);
    } else {
        accept_guests(s, way);
    }
}

/* What came as a descriptor is looked at: a file in place of a socket would be read. */
static bool is_socket_of(int fd, enum egress_box_socket way)
{
    int type = 0;
    int listens = 0;
    int domain = 0;
    socklen_t len = sizeof type;
    bool good = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
                getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
                getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0;
    bool is_name = way == EGRESS_BOX_DNS;
    return good && (domain == AF_INET || domain == AF_INET6) &&
           type == (is_name ? SOCK_DGRAM : SOCK_STREAM) && (listens != 0) == !is_name;
}

static bool watch(struct box *b, enum egress_box_socket way)
{
    struct box_socket *s = &b->sockets[way];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &s->source};
    s->source.act = act;
    s->box = b;
    return is_socket_of(s->fd, way) && fcntl(s->fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0 &&
           epoll_ctl(b->egress->epoll, EPOLL_CTL_ADD, s->fd, &event) == 0;
}

static void close_sockets(struct box *b)
{
    for (size_t i = 0; i < EGRESS_BOX_SOCKETS; i++) {
        if (b->sockets[i].fd >= 0) {
            (void)epoll_ctl(b->egress->epoll, EPOLL_CTL_DEL, b->sockets[i].fd, NULL);
            (void)close(b->sockets[i].fd);
            b->sockets[i].fd = -1;
        }
    }
}

/* Life */

static uint64_t hash_of_id(uint64_t id)
{
    return hash_of(slice_of(&id, sizeof id));
}

struct box *box_find(const struct egress *e, uint64_t id)
{
    for (struct map_node *n = map_find(&e->boxes, hash_of_id(id)); n != NULL;
         n = map_next_same(n)) {
        struct box *b = CONTAINER_OF(n, struct box, node);
        if (b->id == id) {
            return b;
        }
    }
    return NULL;
}

static struct box *new_box(struct egress *e, uint64_t id, struct slice frame, const int *fds)
{
    struct egress_frame f;
    struct box *b = MEM_NEW(struct box);
    b->magic = BOX_MAGIC;
    b->egress = e;
    b->id = id;
    list_init(&b->guests);
    list_init(&b->link);
    buf_append_slice(&b->frame, frame);
    enum err err = egress_frame_decode(buf_slice(&b->frame), &f);
    INVARIANT(err == ERR_OK); /* it was read once */
    b->who = f.open;
    b->rules = new_rules(frame);
    (void)snprintf(b->pool, sizeof b->pool, "/%" PRIu64, id); /* no namespace is called so */
    for (size_t i = 0; i < EGRESS_BOX_SOCKETS; i++) {
        b->sockets[i].fd = fds[i];
    }
    map_add(&e->boxes, &b->node, hash_of_id(id));
    return b;
}

enum err box_open(struct egress *e, uint64_t id, struct slice frame, int *fds, size_t fd_count)
{
    if (fd_count < EGRESS_BOX_SOCKETS || box_find(e, id) != NULL || e->mint == NULL) {
        return ERR_CORRUPT;
    }
    struct box *b = new_box(e, id, frame, fds);
    bool good = e->boxes.count <= BOXES_MAX;
    for (int i = 0; i < EGRESS_BOX_SOCKETS; i++) {
        good = good && watch(b, (enum egress_box_socket)i);
    }
    if (!good) {
        close_sockets(b);
    }
    return ERR_OK;
}

void box_close(struct box *b)
{
    if (b->is_closed) {
        return;
    }
    b->is_closed = true;
    close_sockets(b);
    guests_close(b);
    map_remove(&b->egress->boxes, &b->node);
    list_append(&b->egress->closed_boxes, &b->link);
}

/* After its guests, which end at the end of the turn as well. */
void boxes_free_closed(struct egress *e)
{
    LIST_FOREACH_SAFE (link, &e->closed_boxes) {
        struct box *b = LIST_ENTRY(link, struct box, link);
        if (b->guest_count > 0) {
            continue;
        }
        list_remove(&b->link);
        box_rules_unref(b->rules);
        wipe(&b->frame);
        b->magic = 0;
        mem_free(b);
    }
}

void boxes_close(struct egress *e)
{
    struct map_node *n;
    while ((n = map_first(&e->boxes)) != NULL) {
        box_close(CONTAINER_OF(n, struct box, node));
    }
    guests_run(e);
    boxes_free_closed(e);
    tls_mint_free(e->mint);
    e->mint = NULL;
}

enum err boxes_set_ca(struct egress *e, const struct egress_ca *ca)
{
    return e->mint != NULL ? ERR_BAD_REQUEST : tls_mint_new(ca->cert, ca->key, &e->mint);
}
