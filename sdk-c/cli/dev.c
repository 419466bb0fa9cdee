/* dev: deploys whenever a file of the bundle changes, and shows what the code logs.
 *
 *     main thread      publish --> wait for a change of a folder --> a moment's quiet --> publish ...
 *     log thread       follows the logs of the namespace, with a handle of its own; ends with the program */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/log_line.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"
#include "sdk-c/cli/publish.h"

enum {
    QUIET_MS = 100, /* editors write a file in several steps */
    EVENTS_BYTES = 16 * 1024,
    CHANGES = IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE | IN_CREATE,
};

/* ---- logs ---- */

struct log_thread {
    struct cli *cli;
    const char *ns;
};

/* Where there is no stream the deploys go on without it. */
static void *follow_logs(void *data)
{
    struct log_thread *t = data;
    const struct dormouse_options options = cli_options(t->cli);
    const struct dormouse_logs logs = {.follow = true, .data = t->cli};
    struct dormouse_error error;
    struct dormouse *d;
    if (dormouse_new(&options, &d, &error) != DORMOUSE_OK) {
        return NULL;
    }
    if (dormouse_follow_logs(d, t->ns, &logs, log_line_print, NULL, &error) != DORMOUSE_OK) {
        fprintf(stderr, "dormouse: no logs: %s\n", error.detail);
    }
    dormouse_free(d);
    return NULL;
}

static void begin_logs(struct log_thread *t)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, follow_logs, t) == 0) {
        pthread_detach(thread);
    }
}

/* ---- changes ---- */

static void watch_folder_of(int fd, const char *file)
{
    char *copy = strdup(file);
    if (copy != NULL) {
        (void)inotify_add_watch(fd, dirname(copy), CHANGES); /* the same folder again is no harm */
    }
    free(copy);
}

/* Packages change when somebody installs some, and then by thousands of files. */
static bool is_of_package(const char *file)
{
    return strstr(file, "node_modules/") != NULL;
}

/* Folders, not files: an editor may put a new file in the place of the old one. */
static void watch(int fd, const struct project *p, struct json_object *inputs)
{
    watch_folder_of(fd, p->main);
    if (p->config != NULL) {
        watch_folder_of(fd, p->config);
    }
    for (size_t i = 0; inputs != NULL && i < json_object_array_length(inputs); i++) {
        const char *file = json_object_get_string(json_object_array_get_idx(inputs, i));
        if (!is_of_package(file)) {
            watch_folder_of(fd, file);
        }
    }
}

/* False: it cannot be read. */
static bool drain(int fd)
{
    char events[EVENTS_BYTES];
    ssize_t n;
    while ((n = read(fd, events, sizeof(events))) > 0) {
    }
    return n == 0 || errno == EAGAIN || errno == EINTR;
}

static bool await_change(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ready;
    while ((ready = poll(&p, 1, -1)) < 0 && errno == EINTR) {
    }
    while (ready > 0 && drain(fd)) {
        ready = poll(&p, 1, QUIET_MS);
        if (ready == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the loop ---- */

static int publish_once(struct cli *cli, const char *path, const struct publish_options *o, int fd)
{
    struct project p;
    struct json_object *inputs = NULL;
    int code = publish_read(cli, path, o, &p);
    if (code == EXIT_OK) {
        watch(fd, &p, NULL); /* what changes from here on is seen */
        code = publish(cli, &p, o, &inputs);
        watch(fd, &p, inputs);
    }
    fflush(stdout);
    json_object_put(inputs);
    project_done(&p);
    return code;
}

static int run(struct cli *cli, const char *path, const struct publish_options *o)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0) {
        return cli_usage(cli, "no changes can be seen: %s", strerror(errno));
    }
    do {
        (void)publish_once(cli, path, o,
                           fd); /* what is wrong has been said: the next may be right */
    } while (await_change(fd));
    close(fd);
    return EXIT_ANSWER;
}

int command_dev(struct cli *cli, int argc, char **argv)
{
    struct publish_options o = {.ns = NULL};
    const struct syntax syntax = {
        .usage = "FILE|FOLDER",
        .help = "Deploys as `deploy` does, again whenever a file of the bundle or wrangler's file "
                "changes, and prints what the code logs, until it is stopped.",
        .positionals_min = 1,
        .positionals_max = 1,
        .options = publish_argp_options,
        .option = publish_parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct project p;
    int code = publish_read(cli, cli->positionals[0], &o, &p);
    code = code != EXIT_OK ? code : cli_connect(cli);
    if (code == EXIT_OK) {
        progress_end(); /* it goes on for ever */
        struct log_thread logs = {.cli = cli, .ns = p.ns};
        begin_logs(&logs);
        code = run(cli, cli->positionals[0], &o);
    }
    project_done(&p);
    return code;
}
