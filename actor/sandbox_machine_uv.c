#include "actor/sandbox_machine_uv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actor/sandbox_machine_own_uv.h"
#include "base/invariant.h"
#include "base/mem.h"

enum { FRAME_FDS_MAX = 4 };

static const char *const stages[] = {
    [0] = "it ended",
    [SANDBOX_STAGE_JOIN] = "it cannot become its own root",
    [SANDBOX_STAGE_OVERLAY] = "its layers cannot be mounted",
    [SANDBOX_STAGE_PROC] = "proc cannot be mounted",
    [SANDBOX_STAGE_DEV] = "its devices cannot be made",
    [SANDBOX_STAGE_ROOT] = "its root cannot be entered",
    [SANDBOX_STAGE_PRIVILEGES] = "it cannot give up its privileges",
    [SANDBOX_STAGE_FILTER] = "its filter of system calls is refused",
    [SANDBOX_STAGE_EXEC] = "its first process does not start",
};

/* A state change has one door. */
static void machine_move(struct machine *m, enum machine_state to)
{
    static const bool allowed[MACHINE_ENDING + 1][MACHINE_ENDING + 1] = {
        [MACHINE_STARTING] = {[MACHINE_RUNNING] = true, [MACHINE_ENDING] = true},
        [MACHINE_RUNNING] = {[MACHINE_FROZEN] = true, [MACHINE_ENDING] = true},
        [MACHINE_FROZEN] = {[MACHINE_RUNNING] = true, [MACHINE_ENDING] = true},
    };
    INVARIANT(allowed[m->state][to]);
    m->state = to;
}

/* Frames */

static struct machine_open *find_open(const struct machine *m, uint32_t id)
{
    LIST_FOREACH (link, &m->opens) {
        struct machine_open *o = LIST_ENTRY(link, struct machine_open, link);
        if (o->id == id) {
            return o;
        }
    }
    return NULL;
}

enum err machine_send_frame(struct machine *m, const struct sandbox_frame *f, struct slice payload)
{
    struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)f, .iov_len = sizeof *f},
        {.iov_base = (void *)(uintptr_t)payload.data, .iov_len = payload.len},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (sizeof *f + payload.len > SANDBOX_FRAME_BYTES_MAX) {
        return ERR_TOO_LARGE;
    }
    ssize_t n = sendmsg(m->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n == (ssize_t)(sizeof *f + payload.len) ? ERR_OK : ERR_OVERLOADED;
}

void machine_bad_frame(struct machine *m)
{
    (void)snprintf(m->why, sizeof m->why, "its first process does not keep to the rules");
    machine_kill(m);
}

static void on_failed(struct machine *m, const struct sandbox_frame *f)
{
    if (f->id == 0) {
        bool is_known = f->a < sizeof stages / sizeof stages[0] && stages[f->a] != NULL;
        (void)snprintf(m->why, sizeof m->why, "%s: %s", stages[is_known ? f->a : 0],
                       strerror((int)(f->b & 0xfff)));
        machine_kill(m);
        return;
    }
    int error = f->a > 0 && f->a < 4096 ? (int)f->a : EIO;
    struct machine_spawn *s = machine_find_spawn(m, f->id);
    struct machine_open *o = find_open(m, f->id);
    if (s != NULL && s->pid == 0) {
        machine_spawn_finish(s, error, f->b == 1);
    } else if (o != NULL) {
        machine_open_forget(o);
        o->done(o, error, -1, SLICE(""));
    } else {
        machine_bad_frame(m);
    }
}

static bool on_opened(struct machine *m, const struct sandbox_frame *f, struct slice payload,
                      const int *fds, size_t count)
{
    struct machine_open *o = find_open(m, f->id);
    if (count != 1) {
        return false;
    }
    if (o != NULL) {
        machine_open_forget(o);
        o->done(o, 0, fds[0], payload);
        return true;
    }
    return false;
}

static void on_hello(struct machine *m)
{
    if (m->state != MACHINE_STARTING) {
        machine_bad_frame(m);
        return;
    }
    machine_move(m, MACHINE_RUNNING);
    m->hooks->ready(m->ctx);
}

static void take_frame(struct machine *m, struct slice frame, const int *fds, size_t count)
{
    struct sandbox_frame f;
    memcpy(&f, frame.data, sizeof f);
    struct slice payload = slice_skip(frame, sizeof f);
    bool has_taken = false;
    switch (f.kind) {
    case SANDBOX_HELLO:
        on_hello(m);
        break;
    case SANDBOX_SPAWNED:
        has_taken = machine_on_spawned(m, &f, fds, count);
        break;
    case SANDBOX_EXITED:
        machine_on_exited(m, &f);
        break;
    case SANDBOX_OPENED:
        has_taken = on_opened(m, &f, payload, fds, count);
        break;
    case SANDBOX_FAILED:
        on_failed(m, &f);
        break;
    default:
        machine_bad_frame(m);
        break;
    }
    for (size_t i = 0; i < count && !has_taken; i++) {
        (void)close(fds[i]);
    }
}

static void on_init(uv_poll_t *poll, int status, int events)
{
    OBJ_CAST(machine, poll->data, MACHINE_MAGIC);
    static _Thread_local uint8_t bytes[SANDBOX_FRAME_BYTES_MAX];
    struct machine *m = machine;
    (void)status;
    (void)events;
    for (int i = 0; i < 64 && m->state != MACHINE_ENDING; i++) {
        struct iovec iov = {.iov_base = bytes, .iov_len = sizeof bytes};
        union {
            struct cmsghdr head;
            char space[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
        } control;
        struct msghdr message = {.msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = control.space,
                                 .msg_controllen = sizeof control};
        int fds[FRAME_FDS_MAX];
        size_t count = 0;
        ssize_t n = recvmsg(m->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        const struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
        if (head != NULL && head->cmsg_type == SCM_RIGHTS) {
            count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(head), count * sizeof(int));
        }
        bool is_cut = n > 0 && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
        if (n < (ssize_t)sizeof(struct sandbox_frame) || is_cut) {
            for (size_t at = 0; at < count; at++) {
                (void)close(fds[at]);
            }
            (void)snprintf(m->why, sizeof m->why, "%s", stages[0]); /* or makes no sense */
            machine_kill(m);
            return;
        }
        take_frame(m, slice_of(bytes, (size_t)n), fds, count);
    }
}

/* Life */

static void on_machine_closed(uv_handle_t *handle)
{
    struct machine *m = handle->data;
    m->magic = 0;
    mem_free(m);
}

static void drop_spawns(struct machine *m)
{
    struct machine_spawn *s;
    struct machine_open *o;
    while ((s = LIST_FIRST(&m->spawns, struct machine_spawn, link)) != NULL) {
        bool has_run = s->pid != 0;
        if (has_run && !s->has_exited) {
            s->has_exited = true;
            s->status = SIGKILL;
        }
        machine_spawn_finish(s, has_run ? 0 : ESHUTDOWN, false);
    }
    while ((o = LIST_FIRST(&m->opens, struct machine_open, link)) != NULL) {
        machine_open_forget(o);
        o->done(o, ESHUTDOWN, -1, SLICE(""));
    }
}

static void machine_free(struct machine *m, bool tells)
{
    const struct machine_hooks *hooks = m->hooks;
    if (m->state != MACHINE_ENDING) {
        machine_move(m, MACHINE_ENDING);
    }
    drop_spawns(m);
    launch_ask_drop(m->ask);
    for (int i = 0; i < SANDBOX_FDS; i++) {
        if (m->fds[i] >= 0) {
            (void)close(m->fds[i]);
        }
    }
    list_remove(&m->link);
    m->owner->count--;
    uv_close((uv_handle_t *)&m->init, on_machine_closed);
    (void)close(m->socket);
    if (tells) {
        hooks->ended(m->ctx, m->is_killed ? "" : m->why);
    }
}

static void take_started(struct machine *m, const int *fds, size_t count)
{
    int listeners[4];
    if (count != SANDBOX_FDS) {
        for (size_t i = 0; i < count; i++) {
            (void)close(fds[i]);
        }
        return;
    }
    memcpy(m->fds, fds, sizeof m->fds);
    for (int i = 0; i < 4; i++) {
        listeners[i] = m->fds[SANDBOX_FD_PROXY + i];
        m->fds[SANDBOX_FD_PROXY + i] = -1;
    }
    m->hooks->listeners(m->ctx, listeners);
    if (m->state == MACHINE_ENDING) {
        (void)!write(m->fds[SANDBOX_FD_KILL], "1", 1); /* it was killed before it was there */
    }
}

static void on_report(void *ctx, struct launch_ask *a, const struct launch_report *r,
                      const int *fds, size_t count)
{
    OBJ_CAST(machine, ctx, MACHINE_MAGIC);
    struct machine *m = machine;
    (void)a;
    if (r != NULL && r->kind == LAUNCH_STARTED && r->error == 0) {
        take_started(m, fds, count);
        return;
    }
    if (r != NULL && r->kind == LAUNCH_STARTED) {
        (void)snprintf(m->why, sizeof m->why, "the launcher cannot make it: %s",
                       strerror(r->error));
    } else if (m->why[0] == '\0') {
        (void)snprintf(m->why, sizeof m->why, "%s", stages[0]);
    }
    machine_free(m, true);
}

static struct machine *machine_new(struct machines *ms, const struct machine_hooks *hooks,
                                   void *ctx, int socket)
{
    struct machine *m = MEM_NEW(struct machine);
    m->magic = MACHINE_MAGIC;
    m->owner = ms;
    m->hooks = hooks;
    m->ctx = ctx;
    m->socket = socket;
    for (int i = 0; i < SANDBOX_FDS; i++) {
        m->fds[i] = -1;
    }
    list_init(&m->spawns);
    list_init(&m->opens);
    list_init(&m->link);
    list_append(&ms->all, &m->link);
    ms->count++;
    m->init.data = m;
    int rc = uv_poll_init(ms->loop, &m->init, socket);
    rc = rc == 0 ? uv_poll_start(&m->init, UV_READABLE, on_init) : rc;
    INVARIANT(rc == 0);
    return m;
}

enum err machine_start(struct machines *ms, const struct machine_spec *spec,
                       const struct machine_hooks *hooks, void *ctx, struct machine **ret_machine,
                       const char **ret_why)
{
    const struct launch_sandbox what = {.kind = LAUNCH_SANDBOX,
                                        .pids_max = spec->pids_max,
                                        .cpu_milli = spec->cpu_milli,
                                        .memory_bytes = spec->memory_bytes};
    int fds[LAUNCH_FDS_MAX];
    int pair[2];
    PRE(spec->layer_count > 0 && spec->layer_count <= LAUNCH_LAYERS_MAX);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        (void)close(spec->disk);
        *ret_why = "there is no socket for its first process";
        return ERR_UNAVAILABLE;
    }
    fds[0] = pair[1];
    fds[1] = spec->disk;
    memcpy(fds + 2, spec->layers, spec->layer_count * sizeof(int));
    struct machine *m = machine_new(ms, hooks, ctx, pair[0]);
    m->ask =
        launch_ask_begin(ms->loop, ms->launch, &what, fds, 2 + spec->layer_count, on_report, m);
    (void)close(pair[1]);
    (void)close(spec->disk);
    if (m->ask == NULL) {
        machine_free(m, false);
        *ret_why = "the launcher does not take it";
        return ERR_UNAVAILABLE;
    }
    *ret_machine = m;
    return ERR_OK;
}

void machine_kill(struct machine *m)
{
    if (m->state == MACHINE_ENDING) {
        return;
    }
    m->is_killed = m->why[0] == '\0' && m->state != MACHINE_STARTING;
    machine_move(m, MACHINE_ENDING);
    int rc = uv_poll_stop(&m->init);
    INVARIANT(rc == 0);
    if (m->fds[SANDBOX_FD_KILL] >= 0) {
        (void)!write(m->fds[SANDBOX_FD_KILL], "1", 1);
    }
}

void machine_freeze(struct machine *m, bool is_frozen)
{
    if (m->state == (is_frozen ? MACHINE_RUNNING : MACHINE_FROZEN)) {
        machine_move(m, is_frozen ? MACHINE_FROZEN : MACHINE_RUNNING);
        (void)!write(m->fds[SANDBOX_FD_FREEZE], is_frozen ? "1" : "0", 1);
    }
}

bool machine_is_frozen(const struct machine *m)
{
    return m->state == MACHINE_FROZEN;
}

void machines_open(struct machines *ms, uv_loop_t *loop, const struct launch *launch)
{
    *ms = (struct machines){.loop = loop, .launch = launch};
    list_init(&ms->all);
}

void machines_close(struct machines *ms)
{
    struct machine *m;
    while ((m = LIST_FIRST(&ms->all, struct machine, link)) != NULL) {
        machine_kill(m);
        machine_free(m, false);
    }
}

/* What it uses */

static uint64_t number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static void read_text(int fd, char *ret, size_t bytes)
{
    ssize_t n = fd >= 0 ? pread(fd, ret, bytes - 1, 0) : -1;
    ret[n > 0 ? n : 0] = '\0';
}

void machine_usage(struct machine *m, struct machine_usage *ret)
{
    char text[1024];
    read_text(m->fds[SANDBOX_FD_CPU], text, sizeof text);
    ret->cpu_us = number_after(text, "usage_usec ");
    read_text(m->fds[SANDBOX_FD_MEMORY], text, sizeof text);
    ret->memory_bytes = strtoull(text, NULL, 10);
    read_text(m->fds[SANDBOX_FD_OOM], text, sizeof text);
    ret->oom_kills = number_after(text, "oom_kill ");
}

size_t machine_ports(struct machine *m, uint16_t *ret_ports, size_t max)
{
    return m->fds[SANDBOX_FD_DIAG] < 0 ? 0
                                       : machine_ports_of(m->fds[SANDBOX_FD_DIAG], ret_ports, max);
}

/* Files and ports */

enum err machine_open(struct machine *m, struct machine_open *o, struct slice path,
                      bool is_for_replacing)
{
    enum { FOR_REPLACING = 1 << 30 };
    const struct sandbox_frame f = {
        .kind = SANDBOX_OPEN, .id = ++m->last_id, .a = is_for_replacing ? FOR_REPLACING : 0};
    enum err err = machine_send_frame(m, &f, path);
    if (err == ERR_OK) {
        o->machine = m;
        o->id = f.id;
        list_init(&o->link);
        list_append(&m->opens, &o->link);
    }
    return err;
}

void machine_open_forget(struct machine_open *o)
{
    if (o->machine != NULL) {
        list_remove(&o->link);
        o->machine = NULL;
    }
}

static void on_connect(void *ctx, struct launch_ask *a, const struct launch_report *r,
                       const int *fds, size_t count)
{
    struct machine_connect *c = ctx;
    int fd = count == 1 ? fds[0] : -1;
    int error = r == NULL ? ESHUTDOWN : r->error != 0 ? r->error : fd < 0 ? EIO : 0;
    c->ask = NULL;
    if (r != NULL) {
        launch_ask_drop(a);
    }
    c->done(c, error, fd);
}

enum err machine_connect(struct machine *m, struct machine_connect *c, uint16_t port)
{
    const struct launch_sandbox what = {.kind = LAUNCH_CONNECT, .port = port};
    if (m->fds[SANDBOX_FD_PROCESS] < 0) {
        return ERR_UNAVAILABLE;
    }
    c->ask = launch_ask_begin(m->owner->loop, m->owner->launch, &what, &m->fds[SANDBOX_FD_PROCESS],
                              1, on_connect, c);
    return c->ask != NULL ? ERR_OK : ERR_UNAVAILABLE;
}

void machine_connect_forget(struct machine_connect *c)
{
    launch_ask_drop(c->ask);
    c->ask = NULL;
}
