#include "actor/egress/egress.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actor/egress/box.h"
#include "actor/egress/files.h"
#include "actor/egress/guest.h"
#include "actor/egress/pool.h"
#include "actor/egress/source.h"
#include "actor/egress/transfer.h"
#include "actor/egress_frame.h"
#include "base/clock.h"
#include "base/invariant.h"

enum { EVENTS_MAX = 64, OUT_KEPT_BYTES = 256 * 1024 };

/* The channel */

static enum err on_box_frame(struct egress *e, struct slice frame, const struct egress_frame *f)
{
    struct box *b = box_find(e, f->id); /* NULL: it may have been closed meanwhile */
    if (f->kind == EGRESS_BOX_OPEN) {
        enum err err = box_open(e, f->id, frame, e->fds, e->fd_count);
        if (err == ERR_OK) {
            e->fd_count -= EGRESS_BOX_SOCKETS;
            memmove(e->fds, e->fds + EGRESS_BOX_SOCKETS, e->fd_count * sizeof e->fds[0]);
        }
        return err;
    }
    if (b != NULL && f->kind == EGRESS_BOX_RULES) {
        box_set_rules(b, frame);
    } else if (b != NULL) {
        box_close(b);
    }
    return ERR_OK;
}

static enum err on_frame(void *ctx, struct slice frame)
{
    struct egress *e = ctx;
    struct egress_frame f;
    enum err err = egress_frame_decode(frame, &f);
    if (err != ERR_OK) {
        return err;
    }
    struct transfer *t = transfer_find(e, f.id);
    switch (f.kind) {
    case EGRESS_FETCH:
        if (t != NULL) {
            return ERR_CORRUPT;
        }
        transfer_begin(e, frame, &f);
        return ERR_OK;
    case EGRESS_CREDIT: /* its transfer may have ended meanwhile */
        if (t != NULL) {
            transfer_credit(t, f.credit);
        }
        return ERR_OK;
    case EGRESS_CANCEL:
        if (t != NULL) {
            transfer_cancel(t);
        }
        return ERR_OK;
    case EGRESS_BOX_OPEN:
    case EGRESS_BOX_RULES:
    case EGRESS_BOX_CLOSE:
        return on_box_frame(e, frame, &f);
    case EGRESS_CA:
        return boxes_set_ca(e, &f.ca) == ERR_OK ? ERR_OK : ERR_CORRUPT;
    case EGRESS_HEAD:
    case EGRESS_CHUNK:
    case EGRESS_FAIL:
    case EGRESS_RECORD:
    case EGRESS_HELLO:
        return ERR_CORRUPT;
    }
    return ERR_CORRUPT;
}

static bool is_for_later(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* They come with the first byte of a frame, and so before it. False: more than can be waited for. */
static bool take_fds(struct egress *e, struct msghdr *message)
{
    bool good = (message->msg_flags & MSG_CTRUNC) == 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        size_t count = c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (e->fd_count < EGRESS_FDS_MAX) {
                e->fds[e->fd_count++] = fd;
            } else {
                (void)close(fd);
                good = false;
            }
        }
    }
    return good;
}

static enum err read_channel(struct egress *e)
{
    uint8_t bytes[EGRESS_READ_BYTES];
    union {
        char bytes[CMSG_SPACE(sizeof e->fds)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(e->options->channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (is_for_later(n)) {
        return ERR_OK;
    }
    if (n <= 0) {
        e->is_closed = true;
        return ERR_OK;
    }
    if (!take_fds(e, &message)) {
        return ERR_CORRUPT;
    }
    return channel_inbox_feed(&e->inbox, slice_of(bytes, (size_t)n), on_frame, e);
}

/* What is not sent yet; the channel says when it has room again. */
static void watch_channel(struct egress *e, bool wants_room)
{
    if (e->is_writable_watched != wants_room) {
        struct epoll_event event = {.events = EPOLLIN | (wants_room ? EPOLLOUT : 0U)};
        (void)epoll_ctl(e->epoll, EPOLL_CTL_MOD, e->options->channel, &event);
        e->is_writable_watched = wants_room;
    }
}

static void forget_sent(struct egress *e)
{
    if (e->out_at < e->out.len) {
        return;
    }
    e->out_at = 0;
    if (e->out.cap > OUT_KEPT_BYTES) {
        buf_done(&e->out);
    } else {
        buf_clear(&e->out);
    }
}

static void flush(struct egress *e)
{
    while (e->out_at < e->out.len && !e->is_closed) {
        ssize_t n = send(e->options->channel, e->out.data + e->out_at, e->out.len - e->out_at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (is_for_later(n)) {
            break;
        }
        if (n < 0) {
            e->is_closed = true;
            break;
        }
        e->out_at += (size_t)n;
    }
    forget_sent(e);
    watch_channel(e, e->out.len > 0);
}

/* Bodies */

static size_t unsent_bytes(const struct egress *e)
{
    return e->out.len - e->out_at;
}

/* In turn, a chunk each, as long as the channel takes them. */
static void pump(struct egress *e)
{
    flush(e);
    while (!list_is_empty(&e->ready) && unsent_bytes(e) < EGRESS_OUT_BYTES_MAX && !e->is_closed) {
        transfer_pump(LIST_FIRST(&e->ready, struct transfer, ready));
        flush(e);
    }
}

/* Time */

static void expire(struct egress *e)
{
    struct heap_node *n;
    while ((n = heap_first(&e->deadlines)) != NULL && n->key <= e->now_ms) {
        transfer_expire(CONTAINER_OF(n, struct transfer, deadline));
    }
    while ((n = heap_first(&e->guest_deadlines)) != NULL && n->key <= e->now_ms) {
        guest_expire(CONTAINER_OF(n, struct guest, deadline));
    }
}

static int wait_ms(const struct egress *e)
{
    const struct heap_node *n = heap_first(&e->deadlines);
    uint64_t next_ms = pools_next_ms(e);
    next_ms = n != NULL && n->key < next_ms ? n->key : next_ms;
    n = heap_first(&e->guest_deadlines);
    next_ms = n != NULL && n->key < next_ms ? n->key : next_ms;
    if (next_ms == UINT64_MAX) {
        return -1;
    }
    uint64_t now_ms = clock_mono_ms();
    uint64_t left_ms = next_ms > now_ms ? next_ms - now_ms : 0;
    return left_ms < INT32_MAX ? (int)left_ms : INT32_MAX;
}

/* The loop */

static enum err act(struct egress *e, const struct epoll_event *event)
{
    if (event->data.ptr == e) {
        e->is_stale = files_changed(e->options->files) || e->is_stale;
        return ERR_OK;
    }
    if (event->data.ptr != NULL) {
        struct source *s = event->data.ptr;
        s->act(s, event->events);
        return ERR_OK;
    }
    return (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 ? read_channel(e) : ERR_OK;
}

static enum err turn(struct egress *e)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(e->epoll, events, EVENTS_MAX, wait_ms(e));
    enum err err = ERR_OK;
    e->now_ms = clock_mono_ms();
    for (int i = 0; i < n && err == ERR_OK; i++) {
        err = act(e, &events[i]);
    }
    pools_tick(e);
    expire(e);
    guests_run(e);
    boxes_free_closed(e);
    pools_free_unwatched(e);
    pump(e);
    if (e->is_stale && e->transfer_count == 0 && e->guest_count == 0 && e->out.len == 0) {
        e->is_closed = true;
    }
    return err;
}

enum err egress_run(struct egress *e)
{
    enum err err = ERR_OK;
    flush(e); /* what was put there before */
    while (err == ERR_OK && !e->is_closed) {
        err = turn(e);
    }
    return err;
}

/* Where an event is from: no pointer for the channel, one to `e` for the files, else one of a pool. */
static bool watch(struct egress *e, int fd, void *pointer)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = pointer};
    return epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

enum err egress_open(struct egress *e, const struct egress_options *options)
{
    *e = (struct egress){.options = options, .now_ms = clock_mono_ms()};
    channel_inbox_init(&e->inbox);
    list_init(&e->ready);
    list_init(&e->pools);
    list_init(&e->unwatched);
    list_init(&e->closed_boxes);
    list_init(&e->awake);
    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (e->epoll < 0) {
        return ERR_IO;
    }
    if (!watch(e, options->channel, NULL) ||
        (options->files >= 0 && !watch(e, options->files, e))) {
        (void)close(e->epoll);
        return ERR_IO;
    }
    return ERR_OK;
}

void egress_close(struct egress *e)
{
    transfers_close(e);
    boxes_close(e);
    pools_close(e);
    pools_free_unwatched(e);
    INVARIANT(e->transfer_count == 0 && e->request_bytes == 0);
    map_done(&e->transfers);
    heap_done(&e->deadlines);
    heap_done(&e->guest_deadlines);
    map_done(&e->boxes);
    while (e->fd_count > 0) {
        (void)close(e->fds[--e->fd_count]);
    }
    channel_inbox_done(&e->inbox);
    buf_done(&e->out);
    (void)close(e->epoll);
}
