#include "actor/isolates_uv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor/isolate_frame.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/value.h"

enum {
    ISOLATE_MAGIC = 0x69736f02,
    READ_BYTES = 64 * 1024,
    READS_MAX = 8, /* of one isolate, in one go */
    STATUS_BYTES = 4096,
};

struct isolate {
    uint32_t magic;
    struct isolates *isolates;
    struct list link;  /* isolates.all */
    struct list warm;  /* isolates.warm, or alone */
    struct list dirty; /* isolates.dirty, or alone */
    uint32_t tag;
    int fd;
    int pidfd; /* -1: not known yet, or gone */
    int32_t pid;
    uv_poll_t poll;
    int polls_for;
    struct buf unsent;
    struct channel_inbox inbox;
    struct isolate_user *user; /* NULL: nobody's, or killed */
    uint64_t memory_bytes;
    bool is_paused;
    bool has_hung_up; /* it waits for what EXITED says of it */
    bool is_killed;
};

/* One isolate */

static void on_poll(uv_poll_t *poll, int status, int events);

static void poll_for(struct isolate *i)
{
    int events = i->is_paused || i->has_hung_up ? 0 : UV_READABLE;
    events |= i->unsent.len > 0 ? UV_WRITABLE : 0;
    if (events == i->polls_for || i->is_killed) {
        return;
    }
    i->polls_for = events;
    int rc = events != 0 ? uv_poll_start(&i->poll, events, on_poll) : uv_poll_stop(&i->poll);
    INVARIANT(rc == 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct isolate *i = handle->data;
    INVARIANT(i->magic == ISOLATE_MAGIC);
    (void)close(i->fd);
    if (i->pidfd >= 0) {
        (void)close(i->pidfd);
    }
    buf_done(&i->unsent);
    channel_inbox_done(&i->inbox);
    i->magic = 0;
    mem_free(i);
}

static void forget(struct isolate *i)
{
    i->is_killed = true;
    i->user = NULL;
    i->isolates->count--;
    list_remove(&i->warm);
    list_remove(&i->dirty);
    list_remove(&i->link);
    (void)shutdown(i->fd, SHUT_RDWR);
    uv_close((uv_handle_t *)&i->poll, on_closed);
}

/* A process whose pidfd has not come yet ends because its channel does. */
void isolate_kill(struct isolate *i)
{
    PRE(i->magic == ISOLATE_MAGIC);
    if (i->is_killed) {
        return;
    }
    if (i->pidfd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, i->pidfd, SIGKILL, NULL, 0);
    }
    forget(i);
}

static void end_with(struct isolate *i, enum isolate_end why, const struct isolate_usage *usage)
{
    struct isolate_user *user = i->user;
    isolate_kill(i);
    if (user != NULL) {
        user->ended(user, why, usage);
    }
}

static void end(struct isolate *i, enum isolate_end why)
{
    const struct isolate_usage nothing = {0};
    end_with(i, why, &nothing);
}

struct isolate_user *isolate_user(const struct isolate *i)
{
    return i->user;
}

static enum err on_frame(void *ctx, struct slice frame)
{
    struct isolate *i = ctx;
    static const uint8_t ready[] = {0x92, FRAME_READY, 0};
    if (slice_equal(frame, slice_of(ready, sizeof ready)) || i->user == NULL) {
        return i->is_killed ? ERR_CLOSED : ERR_OK;
    }
    i->user->frame(i->user, frame);
    return i->is_killed ? ERR_CLOSED : ERR_OK;
}

static void read_frames(struct isolate *i)
{
    uint8_t bytes[READ_BYTES];
    for (int left = READS_MAX; left > 0 && !i->is_paused; left--) {
        ssize_t n = recv(i->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) { /* why is known when its zygote has reaped it */
            i->has_hung_up = true;
            if (i->isolates->control < 0) {
                end(i, ISOLATE_END_CRASHED);
            }
            return;
        }
        enum err err = channel_inbox_feed(&i->inbox, slice_of(bytes, (size_t)n), on_frame, i);
        if (i->is_killed) {
            return;
        }
        if (err != ERR_OK) {
            end(i, ISOLATE_END_CRASHED);
            return;
        }
        if ((size_t)n < sizeof bytes) {
            return;
        }
    }
}

static void write_frames(struct isolate *i)
{
    while (i->unsent.len > 0) {
        ssize_t n = send(i->fd, i->unsent.data, i->unsent.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            if (errno != EAGAIN) {
                buf_clear(&i->unsent); /* its end is heard on the other side */
            }
            return;
        }
        buf_consume(&i->unsent, (size_t)n);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    OBJ_CAST(isolate, poll->data, ISOLATE_MAGIC);
    struct isolate *i = isolate;
    if (status < 0 || (events & UV_WRITABLE) != 0) {
        write_frames(i);
    }
    if (status < 0 || (events & UV_READABLE) != 0) {
        read_frames(i);
    }
    if (!i->is_killed) {
        poll_for(i);
    }
}

void isolate_send(struct isolate *i, struct slice frame)
{
    PRE(i->magic == ISOLATE_MAGIC && !i->is_killed);
    size_t at = channel_begin(&i->unsent);
    buf_append_slice(&i->unsent, frame);
    channel_end(&i->unsent, at);
    if (list_is_empty(&i->dirty)) {
        list_append(&i->isolates->dirty, &i->dirty);
    }
}

void isolate_pause(struct isolate *i, bool paused)
{
    PRE(i->magic == ISOLATE_MAGIC && !i->is_killed);
    i->is_paused = paused;
    poll_for(i);
}

static uint64_t peak_bytes(int32_t pid)
{
    char path[64];
    char text[STATUS_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, "\nVmHWM:");
    return line != NULL ? strtoull(line + sizeof "\nVmHWM:" - 1, NULL, 10) * 1024 : 0;
}

void isolate_usage(const struct isolate *i, bool wants_peak, struct isolate_usage *ret)
{
    *ret = (struct isolate_usage){.cpu_us = clock_process_us(i->pid)};
    ret->peak_bytes = wants_peak && i->pid > 0 ? peak_bytes(i->pid) : 0;
}

/* The zygote */

static void on_control(uv_poll_t *poll, int status, int events);

static void free_poll(uv_handle_t *handle)
{
    mem_free(handle);
}

static void lose_zygote(struct isolates *p, const char *why)
{
    if (p->control < 0) {
        return;
    }
    uv_close((uv_handle_t *)p->poll, free_poll);
    (void)close(p->control);
    p->control = -1;
    p->poll = NULL;
    p->is_ready = false;
    p->retry_ms = p->now_ms + ISOLATES_RETRY_MS;
    if (p->text[0] == '\0') {
        (void)snprintf(p->text, sizeof p->text, "%s", why);
    }
    LIST_FOREACH_SAFE (link, &p->all) { /* they end with it */
        end(LIST_ENTRY(link, struct isolate, link), ISOLATE_END_KILLED);
    }
}

static bool start_zygote(struct isolates *p)
{
    int pair[2];
    if (p->now_ms < p->retry_ms || p->is_closed) {
        return false;
    }
    p->text[0] = '\0';
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        (void)snprintf(p->text, sizeof p->text, "no socket for the isolates' zygote");
        return false;
    }
    if (launch_start(p->launch, LAUNCH_ISOLATE, pair[1], NULL) != ERR_OK) {
        (void)close(pair[0]);
        p->retry_ms = p->now_ms + ISOLATES_RETRY_MS;
        (void)snprintf(p->text, sizeof p->text, "the isolates' program cannot be started");
        return false;
    }
    p->control = pair[0];
    p->children = 0;
    p->zygote_ms = p->now_ms;
    p->poll = MEM_NEW(uv_poll_t);
    p->poll->data = p;
    int rc = uv_poll_init(p->loop, p->poll, p->control);
    rc = rc == 0 ? uv_poll_start(p->poll, UV_READABLE, on_control) : rc;
    INVARIANT(rc == 0);
    return true;
}

static bool send_spawn(struct isolates *p, const struct isolate_spawn *spawn, int fd)
{
    char control[CMSG_SPACE(sizeof fd)] = {0};
    struct isolate_spawn copy = *spawn;
    struct iovec iov = {.iov_base = &copy, .iov_len = sizeof copy};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(p->control, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof copy;
}

static struct isolate *spawn(struct isolates *p, const struct isolate_limits *limits)
{
    int pair[2];
    if (p->control < 0 && !start_zygote(p)) {
        return NULL;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return NULL;
    }
    const struct isolate_spawn s = {.kind = ISOLATE_SPAWN,
                                    .tag = ++p->next_tag,
                                    .memory_bytes = limits->memory_bytes,
                                    .cpu_seconds = limits->cpu_seconds};
    bool is_sent = send_spawn(p, &s, pair[1]);
    (void)close(pair[1]);
    if (!is_sent) { /* it is behind with its forks, or gone */
        (void)close(pair[0]);
        return NULL;
    }
    struct isolate *i = MEM_NEW(struct isolate);
    i->magic = ISOLATE_MAGIC;
    i->isolates = p;
    i->tag = s.tag;
    i->fd = pair[0];
    i->pidfd = -1;
    i->memory_bytes = limits->memory_bytes;
    i->poll.data = i;
    list_init(&i->link);
    list_init(&i->warm);
    list_init(&i->dirty);
    list_append(&p->all, &i->link);
    channel_inbox_init(&i->inbox);
    p->count++;
    p->children++;
    int rc = uv_poll_init(p->loop, &i->poll, i->fd);
    INVARIANT(rc == 0);
    poll_for(i);
    return i;
}

static struct isolate *find(const struct isolates *p, uint32_t tag)
{
    LIST_FOREACH (link, &p->all) {
        struct isolate *i = LIST_ENTRY(link, struct isolate, link);
        if (i->tag == tag) {
            return i;
        }
    }
    return NULL;
}

static void on_spawned(struct isolates *p, const struct isolate_spawned *m, int pidfd)
{
    struct isolate *i = find(p, m->tag);
    if (i == NULL || m->error != 0) {
        if (pidfd >= 0) {
            (void)close(pidfd);
        }
        if (i != NULL) {
            end(i, ISOLATE_END_CRASHED);
        }
        return;
    }
    i->pidfd = pidfd;
    if (isolate_control_pid(pidfd, &i->pid) != ERR_OK) {
        i->pid = 0;
    }
}

static void on_hello(struct isolates *p, const struct isolate_hello *m)
{
    p->layers = m->layers;
    if (m->error == 0) {
        p->is_ready = true;
        return;
    }
    (void)snprintf(p->text, sizeof p->text, "%.*s", ISOLATE_TEXT_BYTES, m->text);
    lose_zygote(p, "the isolates' self-test failed");
}

static void on_exited(struct isolates *p, const struct isolate_exited *m)
{
    struct isolate *i = find(p, m->tag);
    if (i != NULL) {
        const struct isolate_usage usage = {.cpu_us = m->cpu_us, .peak_bytes = m->peak_bytes};
        end_with(i, isolate_control_end(m->status), &usage);
    }
}

union control_message {
    uint32_t kind;
    struct isolate_spawned spawned;
    struct isolate_exited exited;
    struct isolate_hello hello;
};

/* The number of bytes, with what descriptor came along; as recvmsg. */
static ssize_t receive(int socket, union control_message *ret, int *ret_fd)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {.iov_base = ret, .iov_len = sizeof *ret};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *ret_fd = -1;
    if (n > 0) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        if (c != NULL && c->cmsg_type == SCM_RIGHTS) {
            memcpy(ret_fd, CMSG_DATA(c), sizeof *ret_fd);
        }
    }
    return n;
}

static void on_control(uv_poll_t *poll, int status, int events)
{
    OBJ_CAST(isolates, poll->data, ISOLATES_MAGIC);
    struct isolates *p = isolates;
    (void)status;
    (void)events;
    while (p->control >= 0) {
        union control_message m;
        int fd;
        ssize_t n = receive(p->control, &m, &fd);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            lose_zygote(p, "the isolates' zygote ended");
            return;
        }
        if (m.kind == ISOLATE_SPAWNED && n == (ssize_t)sizeof m.spawned) {
            on_spawned(p, &m.spawned, fd);
            continue;
        }
        if (fd >= 0) {
            (void)close(fd);
        }
        if (m.kind == ISOLATE_EXITED && n == (ssize_t)sizeof m.exited) {
            on_exited(p, &m.exited);
        } else if (m.kind == ISOLATE_HELLO && n == (ssize_t)sizeof m.hello) {
            on_hello(p, &m.hello);
        }
    }
}

/* All of them */

void isolates_open(struct isolates *p, uv_loop_t *loop, const struct launch *launch,
                   const uint64_t *sizes, size_t size_count)
{
    PRE(size_count <= ISOLATES_SIZES_MAX);
    *p = (struct isolates){.magic = ISOLATES_MAGIC, .loop = loop, .launch = launch, .control = -1};
    memcpy(p->sizes, sizes, size_count * sizeof sizes[0]);
    p->size_count = size_count;
    list_init(&p->all);
    list_init(&p->warm);
    list_init(&p->dirty);
}

void isolates_close(struct isolates *p)
{
    p->is_closed = true;
    lose_zygote(p, "the worker ends");
}

static size_t count_warm(const struct isolates *p, uint64_t memory_bytes)
{
    size_t count = 0;
    LIST_FOREACH (link, &p->warm) {
        count += LIST_ENTRY(link, struct isolate, warm)->memory_bytes == memory_bytes ? 1 : 0;
    }
    return count;
}

static void warm_up(struct isolates *p, uint64_t memory_bytes)
{
    const struct isolate_limits limits = {.memory_bytes = memory_bytes};
    for (size_t count = count_warm(p, memory_bytes); count < ISOLATES_WARM; count++) {
        struct isolate *i = spawn(p, &limits);
        if (i == NULL) {
            return;
        }
        list_append(&p->warm, &i->warm);
    }
}

struct isolate *isolates_take(struct isolates *p, const struct isolate_limits *limits,
                              struct isolate_user *user)
{
    struct isolate *i;
    LIST_FOREACH (link, &p->warm) {
        i = LIST_ENTRY(link, struct isolate, warm);
        if (i->memory_bytes == limits->memory_bytes) {
            list_remove(&i->warm);
            i->user = user;
            return i;
        }
    }
    i = spawn(p, limits);
    if (i != NULL) {
        i->user = user;
    }
    return i;
}

void isolates_flush(struct isolates *p, uint64_t now_ms)
{
    struct isolate *i;
    p->now_ms = now_ms;
    while ((i = LIST_FIRST(&p->dirty, struct isolate, dirty)) != NULL) {
        list_remove(&i->dirty);
        write_frames(i);
        if (i->unsent.len > ISOLATE_UNSENT_BYTES_MAX) {
            end(i, ISOLATE_END_CRASHED);
        } else {
            poll_for(i);
        }
    }
    for (size_t n = 0; p->control >= 0 && p->is_ready && n < p->size_count; n++) {
        warm_up(p, p->sizes[n]);
    }
}
