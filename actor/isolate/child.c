#include "actor/isolate/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor/isolate/memory.h"
#include "actor/isolate_control.h"
#include "base/clock.h"
#include "base/invariant.h"

enum {
    STDERR_FD = 2,
    FRAMES_PER_TURN_MAX = 64,
    IDLE_MS = 1000,
    IDLE_GROWTH_BYTES = 2 << 20, /* less garbage is not worth its collection */
};

/* One line where the zygote's standard error is kept; nobody else would hear of it. */
static int give_up(const char *what, const char *text, int code)
{
    (void)dprintf(STDERR_FD, "dormouse-isolate: %s: %s\n", what, text);
    return code;
}

/* `err` of the engine. */
static int give_up_engine(const struct child *c, const char *what, enum err err)
{
    return give_up(what, engine_text(c->engine),
                   err == ERR_NO_MEMORY ? ISOLATE_EXIT_MEMORY : ISOLATE_EXIT_BUG);
}

/* The engine reads its own size from a descriptor that is of the zygote: it becomes one of this process. */
static int open_statm(const struct child *c)
{
    int fd = memory_open(c->lockdown->proc_fd);
    if (fd < 0 || c->engine_statm_fd < 0) {
        return fd;
    }
    int moved = dup3(fd, c->engine_statm_fd, O_CLOEXEC);
    (void)close(fd);
    return moved;
}

/* A fork shares what wakes the engine's loops with the zygote and all other children: each would wake all, and
 * could be seen by all. */
static bool own_events(const struct child *c)
{
    for (size_t i = 0; i < c->engine_event_fds->count; i++) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0 || dup3(fd, c->engine_event_fds->fds[i], O_CLOEXEC) < 0) {
            return false;
        }
        (void)close(fd);
    }
    return true;
}

/* The descriptors of a child, all of them: standard ones (null), its channel, the engine's, its statm; of one
 * that rehearses also its pagemap. */
static struct proc_fds kept_fds(const struct child *c, int statm_fd, int pagemap_fd)
{
    struct proc_fds kept = {.fds = {0, 1, STDERR_FD}, .count = 3};
    for (size_t i = 0; i < c->engine_fds->count; i++) {
        proc_fds_add(&kept, c->engine_fds->fds[i]);
    }
    const int more[] = {statm_fd, c->channel->fd, c->lockdown->landlock_fd, pagemap_fd};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        if (more[i] >= 0 && !proc_fds_have(&kept, more[i])) {
            proc_fds_add(&kept, more[i]);
        }
    }
    return kept;
}

static int lock(const struct child *c, int pagemap_fd)
{
    /* The zygote may have died before this was asked for; then the channel's other end is all there is,
     * and its closing ends this process. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)dup2(c->stderr_fd, STDERR_FD);
    int statm_fd = open_statm(c);
    if (statm_fd < 0 || !own_events(c)) {
        return errno;
    }
    c->host->statm_fd = statm_fd;
    struct proc_fds kept = kept_fds(c, statm_fd, pagemap_fd);
    return lockdown_child(c->lockdown, &(struct lockdown_limits){
                                           .kept_fds = kept.fds,
                                           .kept_count = kept.count,
                                           .statm_fd = statm_fd,
                                           .memory_bytes = c->memory_bytes,
                                           .cpu_seconds = c->cpu_seconds,
                                       });
}

/* All whole frames, up to a bound, so that timers have their turn. ERR_MORE: none is left. */
static enum err take_frames(const struct child *c)
{
    for (int i = 0; i < FRAMES_PER_TURN_MAX; i++) {
        struct slice frame;
        struct buf large = {0};
        enum err err = channel_next(c->channel, &frame, &large);
        if (err == ERR_OK) {
            err = engine_frame(c->engine, frame, &large);
        }
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

/* Garbage goes back to the system once nothing has happened for a while, since who decides which child sleeps
 * looks at what each holds. */
static void collect_if_grown(const struct child *c, uint64_t *own_bytes)
{
    if (memory_own_bytes(c->host->statm_fd) > *own_bytes + IDLE_GROWTH_BYTES) {
        engine_collect(c->engine);
        *own_bytes = memory_own_bytes(c->host->statm_fd);
    }
}

/* ERR_MORE: done for now. ERR_OK: more frames may be whole. */
static enum err turn(const struct child *c, double *ret_wait_ms)
{
    enum err err = take_frames(c);
    if (err != ERR_OK && err != ERR_MORE) {
        return err;
    }
    enum err tick_err = engine_tick(c->engine, (double)clock_mono_ns() / 1e6, ret_wait_ms);
    return tick_err == ERR_OK ? err : tick_err;
}

static int serve(const struct child *c)
{
    c->host->channel = c->channel;
    uint64_t own_bytes = memory_own_bytes(c->host->statm_fd);
    bool was_busy = false; /* since the last collection */
    enum err err = engine_forked(c->engine);
    while (err == ERR_OK || err == ERR_MORE) {
        double wait_ms = 0;
        err = turn(c, &wait_ms);
        channel_flush(c->channel);
        wait_ms = err == ERR_OK ? 0 : wait_ms;
        bool may_idle = was_busy && wait_ms > IDLE_MS;
        if (engine_wait(c->engine, c->channel->fd, may_idle ? IDLE_MS : wait_ms)) {
            was_busy = true;
            err = channel_read(c->channel);
        } else if (may_idle) {
            collect_if_grown(c, &own_bytes);
            was_busy = false;
        }
    }
    if (err == ERR_CLOSED) {
        return ISOLATE_EXIT_OK;
    }
    return err == ERR_BAD_REQUEST ? give_up("channel", "a frame is malformed", ISOLATE_EXIT_FRAME)
                                  : give_up_engine(c, "runtime", err);
}

/* Code, compiled code, memory taken and given back, an exception, the collector. */
static int prove_engine(const struct child *c)
{
    static const char text[] =
        "let sum = 0; for (let i = 0; i < 20000; i++) { sum += [i, i + 1].map(x => x * 2)[1]; }"
        "try { (function f() { f(); })(); } catch (e) { sum += e instanceof RangeError ? 1 : 0; }"
        "if (sum !== 400020001) { throw new Error('wrong sum: ' + sum); }";
    enum err err = engine_run(c->engine, SLICE(text), "self-test");
    if (err != ERR_OK) {
        return give_up_engine(c, "self-test", err);
    }
    engine_collect(c->engine);
    return ISOLATE_EXIT_OK;
}

/* Which pages that has written its zygote has written ahead for all who come after this one. */
static int tell_touched(const struct child *c, const struct touched_watch *w)
{
    touched_find(w, c->rehearsed);
    return ISOLATE_EXIT_OK;
}

/* What must not come back. */
static int prove_filter(void)
{
    (void)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    return give_up("self-test", "a forbidden call returned", ISOLATE_EXIT_LOCKDOWN);
}

/* What most will do first, with preludes that are thrown away, while nobody waits: where the machine is a virtual
 * one, the first touch of each page in a process is dear, of code as of data. */
static enum err rehearse(const struct child *c)
{
    bool is_done = c->task != CHILD_SERVE && c->task != CHILD_REHEARSE;
    enum err err = ERR_OK;
    while (err == ERR_OK && !is_done) {
        err = engine_rehearse(c->engine, &is_done);
    }
    return err;
}

int child_run(const struct child *c)
{
    struct touched_watch watch = {.pagemap_fd = -1};
    if (c->task == CHILD_REHEARSE && !touched_watch(&watch, c->lockdown->proc_fd)) {
        return ISOLATE_EXIT_OK; /* it is not known, then */
    }
    touched_write(c->touched);
    int error = lock(c, watch.pagemap_fd);
    if (error != 0) {
        return give_up("lock-down", strerrordesc_np(error), ISOLATE_EXIT_LOCKDOWN);
    }
    enum err err = engine_after_fork(c->engine);
    err = err == ERR_OK ? rehearse(c) : err;
    if (err != ERR_OK) {
        return give_up_engine(c, "after the fork", err);
    }
    switch (c->task) {
    case CHILD_SERVE:
        return serve(c);
    case CHILD_PROVE_ENGINE:
        return prove_engine(c);
    case CHILD_PROVE_FILTER:
        return prove_filter();
    case CHILD_REHEARSE:
        return tell_touched(c, &watch);
    }
    UNREACHABLE();
}
