#include "actor/isolate/program.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "actor/isolate/embedded.h"
#include "actor/isolate/lockdown.h"
#include "actor/isolate/zygote.h"
#include "actor/isolate_control.h"
#include "base/buf.h"
#include "base/mem.h"
#include "config.h"

enum { FIRST_FREE_FD = 3, SIGNAL_EXIT = 128, PRELUDE_BYTES_MAX = 64 << 20 };

struct arguments {
    int control_fd;
    bool has_no_jit;
    bool keeps_stderr;
    const char *prelude_path; /* NULL: the one of this program */
};

/* All of the environment, whatever this program was started with: the engine reads options from it, and the
 * first of these before main. Without its cage RLIMIT_DATA bounds what it allocates. */
static char *const clean_environment[] = {
    (char[]){"GIGACAGE_ENABLED=0"},
    (char[]){"JSC_jitMemoryReservationSize=33554432"},
    (char[]){
        "JSC_forceRAMSize=134217728"}, /* the collector's idea of the machine: the usual bound */
    /* Five times the engine's own: what it compiles before the fork all children share, what it compiles in
     * one costs that one the memory, and its calls the time. */
    (char[]){"JSC_thresholdForJITAfterWarmUp=2500"},
    (char[]){"JSC_thresholdForJITSoon=500"},
    (char[]){"JSC_thresholdForOptimizeAfterWarmUp=5000"},
    (char[]){"JSC_thresholdForOptimizeAfterLongWarmUp=5000"},
    (char[]){"JSC_thresholdForOptimizeSoon=5000"},
    (char[]){"JSDisableGCTimer=1"}, /* child.c knows when it idles, and collects then */
    (char[]){"LC_ALL=C.UTF-8"},
    (char[]){"LD_BIND_NOW=1"}, /* else each child binds what it calls first, in pages of its own */
    (char[]){"TZ=UTC"},
    NULL,
};

static bool environment_is_clean(void)
{
    size_t i = 0;
    for (; clean_environment[i] != NULL; i++) {
        if (environ[i] == NULL || strcmp(environ[i], clean_environment[i]) != 0) {
            return false;
        }
    }
    return environ[i] == NULL;
}

static const struct argp_option options[] = {
    {"control", 'c', "FD", 0, "the control socket, inherited under this number", 0},
    {"no-jit", 'j', NULL, 0, "children compile nothing, and have no memory that is executable", 0},
    {"prelude", 'p', "FILE", 0, "another prelude than the program's own (development)", 0},
    {"keep-stderr", 'e', NULL, 0, "children keep standard error (development)", 0},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    char *end = NULL;
    switch (key) {
    case 'c': {
        long fd = strtol(text, &end, 10);
        if (*text == '\0' || *end != '\0' || fd < FIRST_FREE_FD || fd > INT16_MAX) {
            argp_error(state, "--control takes a descriptor, from %d", FIRST_FREE_FD);
        }
        a->control_fd = (int)fd;
        return 0;
    }
    case 'j':
        a->has_no_jit = true;
        return 0;
    case 'p':
        a->prelude_path = text;
        return 0;
    case 'e':
        a->keeps_stderr = true;
        return 0;
    case ARGP_KEY_END:
        if (a->control_fd < 0) {
            argp_error(state, "--control is missing: this program is started by dormoused");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int complain(const char *what, int code)
{
    (void)fprintf(stderr, "dormouse-isolate: %s: %s\n", what, strerror(errno));
    return code;
}

static bool read_file(const char *path, struct buf *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && ret->len <= PRELUDE_BYTES_MAX) {
        enum { PIECE_BYTES = 1 << 16 };
        buf_reserve(ret, PIECE_BYTES);
        n = read(fd, ret->data + ret->len, PIECE_BYTES);
        ret->len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return n == 0;
}

/* Nothing that the starter forgot to close gets further. */
static void close_all_but(int kept)
{
    if (kept > FIRST_FREE_FD) {
        (void)syscall(SYS_close_range, FIRST_FREE_FD, kept - 1, 0);
    }
    (void)syscall(SYS_close_range, kept + 1, ~0U, 0);
}

/* The zygote is the first process of its namespace, so that all others there end with it. This one stays
 * outside, for whoever started the program to wait for. */
static int wait_for_zygote(pid_t pid)
{
    (void)syscall(SYS_close_range, FIRST_FREE_FD, ~0U, 0);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return complain("waitpid", EX_OSERR);
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : SIGNAL_EXIT + WTERMSIG(status);
}

static int run(const struct arguments *a, struct slice prelude, void (*add_hosts)(struct engine *e))
{
    struct lockdown lockdown;
    close_all_but(a->control_fd);
    lockdown_enter(&lockdown);
    if ((lockdown.layers & ISOLATE_LAYER_PIDNS) != 0) {
        pid_t pid = fork();
        if (pid < 0) {
            return complain("fork", EX_OSERR);
        }
        if (pid > 0) {
            return wait_for_zygote(pid);
        }
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    }
    return zygote_run(
        &(struct zygote_options){
            .control_fd = a->control_fd,
            .has_jit = !a->has_no_jit,
            .keeps_stderr = a->keeps_stderr,
            .prelude = prelude,
            .add_hosts = add_hosts,
        },
        &lockdown);
}

int program_run(int argc, char **argv, void (*add_hosts)(struct engine *e))
{
    if (!environment_is_clean()) {
        (void)execve("/proc/self/exe", argv, clean_environment);
        return complain("/proc/self/exe", EX_OSERR);
    }
    mem_init();
    argp_program_version = "dormouse-isolate " PACKAGE_VERSION;
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Runs JavaScript for dormoused, which starts this program: a process for each actor "
               "that is "
               "awake and for each run, locked down.",
    };
    struct arguments a = {.control_fd = -1};
    argp_err_exit_status = EX_USAGE;
    (void)argp_parse(&argp, argc, argv, 0, NULL, &a);
    struct buf prelude = {0};
    if (a.prelude_path != NULL && !read_file(a.prelude_path, &prelude)) {
        return complain(a.prelude_path, EX_NOINPUT);
    }
    struct slice text = a.prelude_path != NULL ? buf_slice(&prelude) : embedded_prelude();
    int code = run(&a, text, add_hosts);
    buf_done(&prelude);
    return code;
}
