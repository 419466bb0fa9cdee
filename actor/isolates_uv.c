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
#include "actor/isolate_proc.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/value.h"

enum {
    ISOLATE_MAGIC = 0x69736f02,
    READ_BYTES = 64 * 1024,
    READS_MAX = 8,  /* of one isolate, in one go */
    LOOKS_MAX = 16, /* at the memory of isolates, in one go */
};

struct isolate {
    uint32_t magic;
    struct isolates *isolates;
    struct zygote *zygote; /* that it was forked from; NULL: gone */
    struct list link;      /* isolates.all */
    struct list warm;      /* isolates.warm, or alone */
    struct list dirty;     /* isolates.dirty, or alone */
    uint32_t tag;
    int fd;
    int pidfd; /* -1: not known yet, or gone */
    int32_t pid;
    uv_poll_t poll;
    int polls_for;
    struct buf unsent;
    struct channel_inbox inbox;
    struct isolate_user *user; /* NULL: nobody's, or killed */
    uint64_t memory_bytes;     /* that it may have */
    uint64_t seen_bytes;       /* that it had when it was looked at last */
    uint64_t up_us;            /* CPU time of its own until it was up: nobody's who uses it */
    bool is_up;                /* it has said READY */
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

static void close_if_done(struct isolates *p, struct zygote *z);

/* A process whose pidfd has not come yet ends because its channel does. */
static void bury(struct isolate *i)
{
    list_remove(&i->link);
    if (i->pidfd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, i->pidfd, SIGKILL, NULL, 0);
    }
    (void)shutdown(i->fd, SHUT_RDWR);
    uv_close((uv_handle_t *)&i->poll, on_closed);
}

static void bury_all(struct isolates *p)
{
    struct isolate *i;
    while ((i = LIST_FIRST(&p->doomed, struct isolate, link)) != NULL) {
        bury(i);
    }
}

/* The process ends when the loop is about to sleep: what it takes to end one would be in the way of the
 * answer that it has given. */
void isolate_kill(struct isolate *i)
{
    PRE(i->magic == ISOLATE_MAGIC);
    if (i->is_killed) {
        return;
    }
    i->is_killed = true;
    i->user = NULL;
    i->isolates->count--;
    i->isolates->memory_bytes -= i->seen_bytes;
    list_remove(&i->warm);
    list_remove(&i->dirty);
    list_remove(&i->link);
    list_append(&i->isolates->doomed, &i->link);
    (void)uv_poll_stop(&i->poll);
    if (i->zygote != NULL) {
        i->zygote->isolates--;
        close_if_done(i->isolates, i->zygote);
        i->zygote = NULL;
    }
    if (i->isolates->is_closed) {
        bury(i); /* nothing is flushed any more */
    }
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

bool isolate_is_up(const struct isolate *i)
{
    return i->is_up;
}

static enum err on_frame(void *ctx, struct slice frame)
{
    struct isolate *i = ctx;
    static const uint8_t ready[] = {0x92, FRAME_READY, 0};
    bool is_ready = slice_equal(frame, slice_of(ready, sizeof ready));
    if (is_ready && !i->is_up) { /* once, before any code of a user's runs in it */
        i->is_up = true;
        i->up_us = clock_process_us(i->pid);
    }
    if (is_ready || i->user == NULL) {
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

static uint64_t used_us(const struct isolate *i, uint64_t process_us)
{
    return i->is_up && process_us > i->up_us ? process_us - i->up_us : 0;
}

void isolate_usage(const struct isolate *i, bool wants_peak, struct isolate_usage *ret)
{
    *ret = (struct isolate_usage){.cpu_us = used_us(i, clock_process_us(i->pid))};
    ret->peak_bytes = wants_peak ? isolate_proc_peak_bytes(i->pid) : 0;
}

uint64_t isolate_memory_bytes(struct isolate *i)
{
    uint64_t bytes = isolate_proc_memory_bytes(i->pid);
    i->isolates->memory_bytes += bytes - i->seen_bytes;
    i->seen_bytes = bytes;
    return bytes;
}

/* The zygotes */

/* What was forked from it ends with it, and is told so. */
static void lose_zygote(struct isolates *p, struct zygote *z, const char *why)
{
    bool was_current = z == p->zygote;
    zygote_close(z);
    if (z == p->successor) {
        p->successor = NULL;
        p->succeed_ms = p->now_ms + ISOLATES_RETRY_MS;
    } else if (was_current) {
        p->zygote = p->successor; /* if there is one: it may be on its way */
        p->successor = NULL;
        p->retry_ms = p->now_ms + ISOLATES_RETRY_MS;
    } else {
        p->retired_count--;
    }
    if (was_current && p->text[0] == '\0') {
        (void)snprintf(p->text, sizeof p->text, "%s", why);
    }
    LIST_FOREACH_SAFE (link, &p->all) {
        struct isolate *i = LIST_ENTRY(link, struct isolate, link);
        if (i->zygote == z) {
            i->zygote = NULL;
            end(i, ISOLATE_END_KILLED);
        }
    }
}

static void close_if_done(struct isolates *p, struct zygote *z)
{
    if (z != p->zygote && z != p->successor && z->isolates == 0 && !z->is_closed) {
        p->retired_count--;
        zygote_close(z);
    }
}

/* From now on the successor forks. What runs under the old one goes on until it ends; what is nobody's ends
 * now. */
static void succeed(struct isolates *p)
{
    struct zygote *old = p->zygote;
    p->zygote = p->successor;
    p->successor = NULL;
    p->stats.zygotes_retired++;
    p->retired_count++;
    list_append(&p->retired, &old->link);
    old->isolates++; /* not before all of them are gone */
    LIST_FOREACH_SAFE (link, &p->warm) {
        struct isolate *i = LIST_ENTRY(link, struct isolate, warm);
        if (i->zygote == old) {
            isolate_kill(i);
        }
    }
    old->isolates--;
    close_if_done(p, old);
}

static void on_hello(void *ctx, struct zygote *z, const struct isolate_hello *m)
{
    struct isolates *p = ctx;
    p->layers = m->layers;
    z->is_ready = m->error == 0;
    if (z->is_ready && z == p->successor) {
        succeed(p);
    } else if (!z->is_ready) {
        if (z == p->zygote) {
            (void)snprintf(p->text, sizeof p->text, "%.*s", ISOLATE_TEXT_BYTES, m->text);
        }
        lose_zygote(p, z, "the isolates' self-test failed");
    }
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

static void on_spawned(void *ctx, const struct isolate_spawned *m, int pidfd)
{
    struct isolate *i = find(ctx, m->tag);
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

static void on_exited(void *ctx, const struct isolate_exited *m)
{
    struct isolate *i = find(ctx, m->tag);
    if (i != NULL) {
        const struct isolate_usage usage = {.cpu_us = used_us(i, m->cpu_us),
                                            .peak_bytes = m->peak_bytes};
        end_with(i, isolate_control_end(m->status), &usage);
    }
}

static void on_lost(void *ctx, struct zygote *z)
{
    lose_zygote(ctx, z, "the isolates' zygote ended");
}

static struct zygote *start_zygote(struct isolates *p, const char **ret_why)
{
    static const struct zygote_hooks hooks = {
        .hello = on_hello, .spawned = on_spawned, .exited = on_exited, .lost = on_lost};
    struct zygote *z = zygote_start(p->loop, p->launch, &hooks, p, ret_why);
    if (z != NULL) {
        z->started_ms = p->now_ms;
        p->stats.zygotes_started++;
    }
    return z;
}

static bool start_first(struct isolates *p)
{
    const char *why = "";
    if (p->now_ms < p->retry_ms || p->is_closed) {
        return false;
    }
    p->zygote = start_zygote(p, &why);
    (void)snprintf(p->text, sizeof p->text, "%s", why);
    p->retry_ms = p->zygote == NULL ? p->now_ms + ISOLATES_RETRY_MS : p->retry_ms;
    return p->zygote != NULL;
}

static bool is_worn(const struct isolates *p, const struct zygote *z)
{
    return z->children >= p->children_max || p->now_ms >= z->started_ms + p->age_ms_max;
}

/* Until the successor is ready the old one forks on: nobody waits. Where too many old ones are still needed,
 * it goes on likewise. */
static void look_for_successor(struct isolates *p)
{
    const char *why;
    if (p->zygote == NULL || !p->zygote->is_ready || p->successor != NULL || p->is_closed ||
        !is_worn(p, p->zygote) || p->retired_count >= ISOLATES_RETIRED_MAX ||
        p->now_ms < p->succeed_ms) {
        return;
    }
    p->successor = start_zygote(p, &why);
    p->succeed_ms = p->now_ms + ISOLATES_RETRY_MS;
}

static struct isolate *spawn(struct isolates *p, const struct isolate_limits *limits)
{
    int pair[2];
    if ((p->zygote == NULL && !start_first(p)) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return NULL;
    }
    const struct isolate_spawn s = {.kind = ISOLATE_SPAWN,
                                    .tag = ++p->next_tag,
                                    .memory_bytes = limits->memory_bytes,
                                    .cpu_seconds = limits->cpu_seconds};
    bool is_sent = zygote_spawn(p->zygote, &s, pair[1]);
    (void)close(pair[1]);
    if (!is_sent) { /* it is behind with its forks, or gone */
        (void)close(pair[0]);
        return NULL;
    }
    struct isolate *i = MEM_NEW(struct isolate);
    i->magic = ISOLATE_MAGIC;
    i->isolates = p;
    i->zygote = p->zygote;
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
    p->stats.started++;
    p->zygote->children++;
    p->zygote->isolates++;
    int rc = uv_poll_init(p->loop, &i->poll, i->fd);
    INVARIANT(rc == 0);
    poll_for(i);
    return i;
}

/* All of them */

void isolates_open(struct isolates *p, uv_loop_t *loop, const struct launch *launch,
                   const uint64_t *sizes, size_t size_count)
{
    PRE(size_count <= ISOLATES_SIZES_MAX);
    *p = (struct isolates){.magic = ISOLATES_MAGIC,
                           .loop = loop,
                           .launch = launch,
                           .now_ms = clock_mono_ms(),
                           .children_max = ISOLATE_ZYGOTE_CHILDREN_MAX,
                           .age_ms_max = ISOLATE_ZYGOTE_AGE_MS_MAX};
    memcpy(p->sizes, sizes, size_count * sizeof sizes[0]);
    p->size_count = size_count;
    list_init(&p->all);
    list_init(&p->warm);
    list_init(&p->dirty);
    list_init(&p->doomed);
    list_init(&p->retired);
}

void isolates_close(struct isolates *p)
{
    struct zygote *z;
    p->is_closed = true;
    if (p->successor != NULL) {
        lose_zygote(p, p->successor, "");
    }
    if (p->zygote != NULL) {
        lose_zygote(p, p->zygote, "the worker ends");
    }
    while ((z = LIST_FIRST(&p->retired, struct zygote, link)) != NULL) {
        lose_zygote(p, z, "");
    }
    bury_all(p);
}

static size_t count_warm(const struct isolates *p, uint64_t memory_bytes)
{
    size_t count = 0;
    LIST_FOREACH (link, &p->warm) {
        count += LIST_ENTRY(link, struct isolate, warm)->memory_bytes == memory_bytes ? 1 : 0;
    }
    return count;
}

size_t isolates_warm_count(const struct isolates *p)
{
    size_t count = 0;
    LIST_FOREACH (link, &p->warm) {
        count++;
    }
    return count;
}

void isolates_look_at_memory(struct isolates *p)
{
    for (size_t left = p->count < LOOKS_MAX ? p->count : LOOKS_MAX; left > 0; left--) {
        struct isolate *i = LIST_FIRST(&p->all, struct isolate, link);
        (void)isolate_memory_bytes(i);
        list_remove(&i->link);
        list_append(&p->all, &i->link);
    }
}

/* A fork takes the processor from what was taken for it: it waits for a moment without demand, as long as
 * there are some. */
static void warm_up(struct isolates *p, uint64_t memory_bytes)
{
    const struct isolate_limits limits = {.memory_bytes = memory_bytes};
    bool is_quiet = p->now_ms >= p->taken_ms + ISOLATES_QUIET_MS;
    size_t enough = is_quiet ? ISOLATES_WARM : ISOLATES_WARM_LEAST;
    for (size_t count = count_warm(p, memory_bytes); count < enough; count++) {
        struct isolate *i = spawn(p, &limits);
        if (i == NULL) {
            return;
        }
        list_append(&p->warm, &i->warm);
    }
    p->wants_more = p->wants_more || enough < ISOLATES_WARM;
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
            p->taken_ms = clock_mono_ms();
            return i;
        }
    }
    i = spawn(p, limits);
    if (i != NULL) {
        i->user = user;
    }
    return i;
}

uint64_t isolates_next_ms(const struct isolates *p)
{
    bool may_fork = p->zygote != NULL && p->zygote->is_ready;
    return may_fork && p->wants_more ? p->taken_ms + ISOLATES_QUIET_MS : UINT64_MAX;
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
    look_for_successor(p);
    p->wants_more = false;
    for (size_t n = 0; p->zygote != NULL && p->zygote->is_ready && n < p->size_count; n++) {
        warm_up(p, p->sizes[n]);
    }
    bury_all(p);
}
