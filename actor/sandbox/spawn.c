/* The processes that the daemon has asked for. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor/sandbox/init.h"

enum { PATH_BYTES = 4096, EXIT_NOT_FOUND = 127, EXIT_NOT_RUN = 126, WITH_STDIN = 1 };

struct spawned {
    pid_t pid; /* 0: free */
    uint32_t id;
    bool is_builtin;
};

static struct spawned alive[SANDBOX_SPAWNS_MAX];

static struct spawned *find_pid(pid_t pid)
{
    for (size_t i = 0; i < SANDBOX_SPAWNS_MAX; i++) {
        if (alive[i].pid == pid) {
            return &alive[i];
        }
    }
    return NULL;
}

static struct spawned *find_id(uint32_t id)
{
    for (size_t i = 0; i < SANDBOX_SPAWNS_MAX; i++) {
        if (alive[i].pid != 0 && alive[i].id == id) {
            return &alive[i];
        }
    }
    return NULL;
}

/* Both ends of its streams, from here: 0 standard input, 1 output, 2 errors; of a driver 3 what it is asked, 4 what it
 * answers. */
enum { STREAMS_MAX = 5 };

struct streams {
    int own[STREAMS_MAX];   /* the process's; -1: it has none */
    int other[STREAMS_MAX]; /* the daemon's; -1: null */
    bool is_terminal;       /* `other[0]` is its other side */
};

static void close_one(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

static void close_streams(struct streams *s)
{
    for (int i = 0; i < STREAMS_MAX; i++) {
        close_one(&s->own[i]);
        close_one(&s->other[i]);
    }
}

/* Pipes that are made here belong to the sandbox's root, so that /dev/stdout can be opened inside. */
static int make_pipes(struct streams *s, int count, bool has_stdin)
{
    for (int i = 0; i < count; i++) {
        int pair[2];
        bool is_read = i == 0 || i == 3;
        if (i == 0 && (!has_stdin || count > 3)) {
            s->own[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
            if (s->own[0] >= 0) {
                continue;
            }
        } else if (pipe2(pair, O_CLOEXEC) == 0) {
            s->own[i] = pair[is_read ? 0 : 1];
            s->other[i] = pair[is_read ? 1 : 0];
            continue;
        }
        int error = errno;
        close_streams(s);
        return error;
    }
    return 0;
}

static int make_terminal(struct streams *s, uint32_t size)
{
    int error = pty_make(size, &s->other[0], &s->own[0]);
    s->is_terminal = true;
    for (int i = 1; i < 3 && error == 0; i++) {
        s->own[i] = fcntl(s->own[0], F_DUPFD_CLOEXEC, 0);
        error = s->own[i] < 0 ? errno : 0;
    }
    if (error != 0) {
        close_streams(s);
    }
    return error;
}

static int make_streams(struct streams *s, const struct sandbox_frame *f)
{
    *s = (struct streams){.is_terminal = false};
    for (int i = 0; i < STREAMS_MAX; i++) {
        s->own[i] = s->other[i] = -1;
    }
    return f->a == SANDBOX_SPAWN_TERMINAL
               ? make_terminal(s, f->b)
               : make_pipes(s, f->a == SANDBOX_SPAWN_DRIVER ? STREAMS_MAX : 3,
                            (f->b & WITH_STDIN) != 0);
}

/* In the child. After vfork it shares memory with this process, which waits. */

static void prepare(const struct streams *s)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid();
    /* None of ours is below 4 but the daemon's socket, which is 3; so none is overwritten that is still to be moved. */
    for (int i = 0; i < STREAMS_MAX && s->own[i] >= 0; i++) {
        if (s->own[i] == i) {
            (void)fcntl(i, F_SETFD, 0);
        } else {
            (void)dup2(s->own[i], i);
        }
    }
    if (s->is_terminal) {
        (void)ioctl(0, TIOCSCTTY, 0);
    }
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "500", 3); /* it goes before the first process does */
        (void)close(fd);
    }
}

static const char *value_of(char *const *environment, const char *name)
{
    size_t len = strlen(name);
    for (; *environment != NULL; environment++) {
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=') {
            return *environment + len + 1;
        }
    }
    return NULL;
}

/* As a shell looks for it. errno is that of the last try, or EACCES where one was not allowed. */
static void search(const char *name, char *const *argv, char *const *environment)
{
    static char path[PATH_BYTES];
    const char *folders = value_of(environment, "PATH");
    bool was_refused = false;
    if (strchr(name, '/') != NULL || *name == '\0' || folders == NULL) {
        (void)execve(name, argv, environment);
        return;
    }
    for (const char *at = folders;; at++) {
        size_t len = strcspn(at, ":");
        if (len + strlen(name) + 2 <= sizeof path) {
            memcpy(path, at, len);
            path[len] = '/';
            memcpy(path + len + (len > 0), name, strlen(name) + 1);
            (void)execve(path, argv, environment);
            was_refused = was_refused || errno == EACCES;
        }
        at += len;
        if (*at == '\0') {
            break;
        }
    }
    errno = was_refused ? EACCES : errno;
}

static void complain(const char *name)
{
    int error = errno;
    char text[PATH_BYTES];
    int n = snprintf(text, sizeof text, "%.200s: %s\n", name,
                     error == ENOENT ? "not found" : strerror(error));
    (void)!write(STDERR_FILENO, text, (size_t)n);
    _exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
}

static volatile int folder_error;

static pid_t start_program(const struct streams *s, const struct texts *t)
{
    folder_error = 0;
    pid_t pid = vfork(); /* NOLINT: what follows is written for it */
    if (pid == 0) {
        prepare(s);
        if (chdir(t->list[0]) != 0) {
            folder_error = errno;
            _exit(EXIT_NOT_RUN);
        }
        search(t->list[1], t->list + 1, t->environment);
        complain(t->list[1]);
    }
    return pid;
}

static int run_builtin(enum sandbox_spawn_kind kind, const struct texts *t)
{
    switch (kind) {
    case SANDBOX_SPAWN_LIST:
        return file_list(t->list[0], t->count > 1 && t->list[1][0] == '1');
    case SANDBOX_SPAWN_REMOVE:
        return file_remove(t->list[0]);
    case SANDBOX_SPAWN_MKDIR:
        return file_mkdir(t->list[0]);
    case SANDBOX_SPAWN_MOVE:
        return t->count < 2 ? EINVAL : file_move(t->list[0], t->list[1]);
    case SANDBOX_SPAWN_COPY:
        return t->count < 2 ? EINVAL : file_copy(t->list[0], t->list[1]);
    case SANDBOX_SPAWN_WATCH:
        return watch_run(t->list[0], t->count > 1 && t->list[1][0] == '1');
    case SANDBOX_SPAWN_PROGRAM:
    case SANDBOX_SPAWN_TERMINAL:
    case SANDBOX_SPAWN_DRIVER:
    case SANDBOX_SPAWN_KINDS:
        break;
    }
    return EINVAL;
}

static pid_t start_builtin(const struct streams *s, enum sandbox_spawn_kind kind,
                           const struct texts *t)
{
    pid_t pid = fork();
    if (pid == 0) {
        prepare(s);
        (void)close(SANDBOX_INIT_FD);
        int error = run_builtin(kind, t);
        _exit(error > 255 ? EIO : error);
    }
    return pid;
}

/* In this process */

static void send_started(uint32_t id, pid_t pid, struct streams *s)
{
    const struct sandbox_frame f = {.kind = SANDBOX_SPAWNED, .id = id, .a = (uint32_t)pid};
    const int piped[] = {s->other[1], s->other[2], s->other[0]};
    const int driven[] = {s->other[1], s->other[2], s->other[3], s->other[4]};
    bool is_driven = s->other[4] >= 0;
    const int *fds = s->is_terminal ? &piped[2] : is_driven ? driven : piped;
    size_t count = s->is_terminal ? 1 : is_driven ? 4 : s->other[0] >= 0 ? 3 : 2;
    for (int i = 0; i < STREAMS_MAX; i++) {
        s->other[i] = -1;
    }
    init_send(&f, NULL, 0, fds, count);
}

void spawn_start(const struct sandbox_frame *f, struct texts *t)
{
    struct streams streams;
    struct spawned *place = find_pid(0);
    bool is_program = f->a == SANDBOX_SPAWN_PROGRAM || f->a == SANDBOX_SPAWN_TERMINAL ||
                      f->a == SANDBOX_SPAWN_DRIVER;
    if (place == NULL || f->a >= SANDBOX_SPAWN_KINDS || (is_program && t->count < 2)) {
        init_fail(f->id, place == NULL ? EAGAIN : EINVAL, 0);
        return;
    }
    int error = make_streams(&streams, f);
    if (error != 0) {
        init_fail(f->id, error, 0);
        return;
    }
    pid_t pid = is_program ? start_program(&streams, t)
                           : start_builtin(&streams, (enum sandbox_spawn_kind)f->a, t);
    error = errno;
    if (pid < 0 || (is_program && folder_error != 0)) {
        init_fail(f->id, pid < 0 ? error : folder_error, pid < 0 ? 0 : 1);
    } else {
        *place = (struct spawned){.pid = pid, .id = f->id, .is_builtin = !is_program};
        send_started(f->id, pid, &streams);
    }
    close_streams(&streams);
}

void spawn_signal(uint32_t id, int number)
{
    const struct spawned *s = find_id(id);
    if (s != NULL && number > 0 && number < NSIG) {
        (void)kill(-s->pid, number);
    }
}

void spawn_reap(void)
{
    struct rusage usage;
    int status;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        struct spawned *s = find_pid(pid);
        if (s == NULL) {
            continue; /* an orphan */
        }
        const struct sandbox_frame f = {
            .kind = SANDBOX_EXITED,
            .id = s->id,
            .a = (uint32_t)status,
            .b = s->is_builtin,
            .c = (uint32_t)((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
                            (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000)};
        *s = (struct spawned){0};
        init_send(&f, NULL, 0, NULL, 0);
    }
}
