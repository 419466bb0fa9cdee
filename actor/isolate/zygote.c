#include "actor/isolate/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "actor/isolate/child.h"
#include "actor/isolate/embedded.h"
#include "actor/isolate/host_crypto.h"
#include "actor/isolate/packet.h"
#include "actor/isolate/text_pages.h"
#include "actor/isolate_control.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/list.h"
#include "base/mem.h"

enum {
    STDERR_FD = 2,
    PROOF_MEMORY_BYTES = 64 << 20,
    PROOF_MS_MAX = 10000, /* a self-test that takes longer has failed: a helper's lock was copied */
    ONE_TASK_MS_MAX = 5000, /* the allocator's helper ends within less than one */
    EXITED_PER_WAKE_MAX = 64,
};

/* One that runs. */
struct running {
    struct list link;
    pid_t pid;
    uint32_t tag;
};

struct zygote {
    const struct zygote_options *options;
    struct lockdown *lockdown;
    struct engine *engine;
    struct host host;
    struct channel channel; /* of the next child: its memory is had once */
    struct proc_fds engine_fds;
    int engine_statm_fd;
    struct proc_fds engine_event_fds;
    int signal_fd; /* SIGCHLD */
    int null_fd;
    const struct touched *touched; /* NULL: not known */
    struct list running;
    uint32_t children_count;
    struct isolate_hello hello;
};

static void complain(const char *what, const char *text)
{
    (void)fprintf(stderr, "dormouse-isolate: %s%s%s\n", what, text[0] == '\0' ? "" : ": ", text);
}

static bool fail_hello(struct zygote *z, int error, const char *what, const char *text)
{
    z->hello.error = error;
    (void)snprintf(z->hello.text, sizeof z->hello.text, "%s%s%.200s", what,
                   text[0] == '\0' ? "" : ": ", text);
    return false;
}

/* Forks */

/* The engine's helper may take a moment to end. */
static bool has_one_task(struct zygote *z)
{
    engine_before_fork(z->engine);
    uint64_t until_ms = clock_mono_ms() + ONE_TASK_MS_MAX;
    size_t count;
    while ((count = proc_task_count(z->lockdown->proc_fd)) > 1 && clock_mono_ms() < until_ms) {
        (void)sched_yield();
    }
    return count == 1;
}

/* The new child's pid, or -1 with errno set. */
static pid_t fork_child(struct zygote *z, const struct child *child)
{
    if (!has_one_task(z)) {
        errno = EBUSY;
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        _exit(child_run(child));
    }
    return pid;
}

static struct child child_of(struct zygote *z, enum child_task task)
{
    return (struct child){
        .task = task,
        .engine = z->engine,
        .host = &z->host,
        .lockdown = z->lockdown,
        .engine_fds = &z->engine_fds,
        .engine_statm_fd = z->engine_statm_fd,
        .engine_event_fds = &z->engine_event_fds,
        .channel = &z->channel,
        .stderr_fd = z->options->keeps_stderr ? STDERR_FD : z->null_fd,
        .touched = z->touched,
        .memory_bytes = PROOF_MEMORY_BYTES,
    };
}

/* Self-test */

/* Its status; -1: it does not end. */
static int wait_for_proof(pid_t pid)
{
    int status = -1;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    bool has_ended = pidfd >= 0 && poll(&end, 1, PROOF_MS_MAX) > 0;
    if (!has_ended) {
        (void)kill(pid, SIGKILL);
    }
    int ended_as = 0;
    if (waitpid(pid, &ended_as, 0) == pid && has_ended) {
        status = ended_as;
    }
    if (pidfd >= 0) {
        (void)close(pidfd);
    }
    return status;
}

static int prove(struct zygote *z, enum child_task task)
{
    struct child child = child_of(z, task);
    pid_t pid = fork_child(z, &child);
    return pid < 0 ? -1 : wait_for_proof(pid);
}

static bool self_test(struct zygote *z)
{
    int status = prove(z, CHILD_PROVE_ENGINE);
    if (status != 0) {
        char text[64];
        (void)snprintf(text, sizeof text, "status %d", status);
        return fail_hello(z, ENOEXEC, "self-test: a child that runs code does not end well", text);
    }
    status = prove(z, CHILD_PROVE_FILTER);
    if (status < 0 || !WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
        return fail_hello(z, EPERM, "self-test: a forbidden system call is not killed for", "");
    }
    return true;
}

/* Without it children are slower, and no more. */
static void rehearse(struct zygote *z)
{
    struct child child = child_of(z, CHILD_REHEARSE);
    child.rehearsed = touched_open();
    if (child.rehearsed == NULL) {
        return;
    }
    pid_t pid = fork_child(z, &child);
    if (pid < 0 || wait_for_proof(pid) != 0) {
        child.rehearsed->count = 0;
    }
    z->touched = touched_close(child.rehearsed);
}

/* Set-up */

static bool find_engine_fds(struct zygote *z, const struct proc_fds *before)
{
    struct proc_fds after;
    if (proc_list_fds(z->lockdown->proc_fd, &after) != ERR_OK) {
        return fail_hello(z, EMFILE, "descriptors cannot be listed", "");
    }
    for (size_t i = 0; i < after.count; i++) {
        int fd = after.fds[i];
        if (proc_fds_have(before, fd)) {
            continue;
        }
        proc_fds_add(&z->engine_fds, fd);
        if (proc_fd_is(z->lockdown->proc_fd, fd, "/statm")) {
            z->engine_statm_fd = fd;
        } else if (proc_fd_is(z->lockdown->proc_fd, fd, "[eventfd]")) {
            proc_fds_add(&z->engine_event_fds, fd);
        }
    }
    return true;
}

/* Files that the engine would open on first use, pages that every child would otherwise make, and what the
 * allocators reserve once: 64 MB of it would be over the bound of a small child. */
static bool warm(struct zygote *z)
{
    static const char text[] =
        "new Date().toString(); new Date(2020, 1, 1).toLocaleString('en');"
        "new Intl.DateTimeFormat('en', {timeZone: 'Europe/Berlin'}).format(0);"
        "new Intl.NumberFormat('en').format(1); 'a'.localeCompare('b');"
        "JSON.parse(JSON.stringify({a: [1, 'b', null]}));"
        "Promise.resolve(1).then(x => x + 1); /a+(b|c)/u.exec('aab');"
        "for (let n = 1; n < 1e4; n *= 8) {"
        "    new Uint8Array(n).buffer; new ArrayBuffer(n); 'x'.repeat(n) + n;"
        "    new Array(n).fill(1.5); new Array(n).fill({}); new Map([[n, n]]);"
        "}";
    double wait_ms; /* of a tick with nothing to do: what it compiles, children share */
    if (engine_run(z->engine, SLICE(text), "warm-up") != ERR_OK ||
        engine_tick(z->engine, (double)clock_mono_ns() / 1e6, &wait_ms) != ERR_OK) {
        return fail_hello(z, ENOEXEC, "warm-up", engine_text(z->engine));
    }
    return true;
}

/* It says on standard error that it has no cage. */
static struct engine *new_engine(struct zygote *z)
{
    int stderr_fd = fcntl(STDERR_FD, F_DUPFD_CLOEXEC, STDERR_FD + 1);
    (void)dup2(z->null_fd, STDERR_FD);
    struct engine *e = engine_new(z->options->has_jit);
    if (stderr_fd >= 0) {
        (void)dup2(stderr_fd, STDERR_FD);
        (void)close(stderr_fd);
    }
    return e;
}

static bool make_engine(struct zygote *z)
{
    struct proc_fds before;
    if (proc_list_fds(z->lockdown->proc_fd, &before) != ERR_OK) {
        return fail_hello(z, EMFILE, "descriptors cannot be listed", "");
    }
    z->engine = new_engine(z);
    if (z->engine == NULL) {
        return fail_hello(z, ENOTSUP, "the engine lacks an option", "");
    }
    host_crypto_init();
    host_add(&z->host, z->engine);
    if (z->options->add_hosts != NULL) {
        z->options->add_hosts(z->engine);
    }
    if (engine_on_fork(z->engine, embedded_random(), "dormouse:random") != ERR_OK) {
        return fail_hello(z, ENOEXEC, "random", engine_text(z->engine));
    }
    if (engine_load(z->engine, z->options->prelude, "dormouse:prelude") != ERR_OK) {
        return fail_hello(z, ENOEXEC, "prelude", engine_text(z->engine));
    }
    bool is_warm = warm(z);
    engine_give_back(z->engine); /* what the zygote holds every fork copies the page tables of */
    return is_warm && find_engine_fds(z, &before);
}

/* Standard descriptors lead nowhere, but standard error of the zygote. */
static bool close_standard(struct zygote *z)
{
    z->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return z->null_fd > STDERR_FD && dup2(z->null_fd, 0) >= 0 && dup2(z->null_fd, 1) >= 0;
}

static bool set_up(struct zygote *z)
{
    sigset_t child_signals;
    (void)sigemptyset(&child_signals);
    (void)sigaddset(&child_signals, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &child_signals, NULL);
    z->signal_fd = signalfd(-1, &child_signals, SFD_CLOEXEC | SFD_NONBLOCK);
    (void)signal(SIGPIPE, SIG_IGN);
    if (!close_standard(z) || z->lockdown->proc_fd < 0 || z->signal_fd < 0) {
        return fail_hello(z, ENOENT, "there is no /proc or /dev/null", "");
    }
    bool is_made = make_engine(z);
    text_pages_share(z->lockdown->proc_fd);
    enum err err = lockdown_prepare(z->lockdown);
    lockdown_close_root(z->lockdown);
    if (err != ERR_OK) {
        return fail_hello(z, ENOSYS, "this system has no seccomp filters", "");
    }
    if (!is_made || !self_test(z)) {
        return false;
    }
    rehearse(z);
    return true;
}

/* Service */

static bool spawn(struct zygote *z, const struct isolate_spawn *request, int channel_fd)
{
    struct isolate_spawned answer = {.kind = ISOLATE_SPAWNED, .tag = request->tag};
    int pidfd = -1;
    pid_t pid = -1;
    if (z->hello.error != 0) {
        answer.error = z->hello.error;
    } else if (channel_fd < 0 || request->memory_bytes < ISOLATE_MEMORY_BYTES_MIN) {
        answer.error = EINVAL;
    } else if ((request->flags & ISOLATE_SPAWN_NO_JIT) != 0 && z->options->has_jit) {
        answer.error = EOPNOTSUPP;
    } else {
        struct child child = child_of(z, CHILD_SERVE);
        z->channel.fd = channel_fd;
        child.memory_bytes = request->memory_bytes;
        child.cpu_seconds = request->cpu_seconds;
        pid = fork_child(z, &child);
        pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
        answer.error = pidfd < 0 ? errno : 0;
    }
    if (pid > 0) {
        struct running *r = MEM_NEW(struct running);
        *r = (struct running){.pid = pid, .tag = request->tag};
        list_append(&z->running, &r->link);
        z->children_count++;
        answer.pid = pid;
        if (pidfd < 0) { /* nobody could end it later */
            (void)kill(pid, SIGKILL);
        }
    }
    answer.children_count = z->children_count;
    enum err err = packet_send(z->options->control_fd, &answer, sizeof answer, pidfd);
    if (pidfd >= 0) {
        (void)close(pidfd);
    }
    return err == ERR_OK;
}

/* False: the worker is gone, or does not keep to the protocol. */
static bool take_request(struct zygote *z)
{
    struct isolate_spawn request;
    size_t bytes = 0;
    int channel_fd = -1;
    enum err err =
        packet_receive(z->options->control_fd, &request, sizeof request, &bytes, &channel_fd);
    bool is_served = false;
    if (err == ERR_OK && bytes == sizeof request && request.kind == ISOLATE_SPAWN) {
        is_served = spawn(z, &request, channel_fd);
    } else if (err != ERR_CLOSED) {
        complain("control", "a packet is malformed");
    }
    if (channel_fd >= 0) {
        (void)close(channel_fd);
    }
    return is_served;
}

static uint64_t microseconds(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_usec;
}

static bool report_exit(struct zygote *z, pid_t pid, int status, const struct rusage *usage)
{
    LIST_FOREACH (link, &z->running) {
        struct running *r = CONTAINER_OF(link, struct running, link);
        if (r->pid != pid) {
            continue;
        }
        struct isolate_exited exited = {
            .kind = ISOLATE_EXITED,
            .tag = r->tag,
            .status = status,
            .cpu_us = microseconds(usage->ru_utime) + microseconds(usage->ru_stime),
            .peak_bytes = (uint64_t)usage->ru_maxrss * 1024,
        };
        list_remove(&r->link);
        mem_free(r);
        return packet_send(z->options->control_fd, &exited, sizeof exited, -1) == ERR_OK;
    }
    return true; /* a self-test's */
}

static bool reap(struct zygote *z)
{
    struct signalfd_siginfo info;
    while (read(z->signal_fd, &info, sizeof info) > 0) {
    }
    for (;;) {
        int status = 0;
        struct rusage usage;
        pid_t pid = wait4(-1, &status, WNOHANG, &usage);
        if (pid <= 0) {
            return true;
        }
        if (!report_exit(z, pid, status, &usage)) {
            return false;
        }
    }
}

static int serve(struct zygote *z)
{
    z->hello.kind = ISOLATE_HELLO;
    z->hello.layers = z->lockdown->layers;
    if (packet_send(z->options->control_fd, &z->hello, sizeof z->hello, -1) != ERR_OK) {
        return EX_OK;
    }
    struct pollfd fds[] = {{.fd = z->options->control_fd, .events = POLLIN},
                           {.fd = z->signal_fd, .events = POLLIN}};
    for (;;) {
        if (poll(fds, sizeof fds / sizeof fds[0], -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            complain("poll", strerror(errno));
            return EX_OSERR;
        }
        if (fds[1].revents != 0 && !reap(z)) {
            return EX_OK;
        }
        if (fds[0].revents != 0 && !take_request(z)) {
            return EX_OK;
        }
    }
}

int zygote_run(const struct zygote_options *o, struct lockdown *l)
{
    struct zygote z = {.options = o,
                       .lockdown = l,
                       .host = {.statm_fd = -1},
                       .engine_statm_fd = -1,
                       .signal_fd = -1};
    list_init(&z.running);
    channel_init(&z.channel, -1);
    if (!set_up(&z)) {
        complain("code is refused", z.hello.text);
    }
    return serve(&z);
}
