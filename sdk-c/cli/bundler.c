#include "sdk-c/cli/bundler.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sdk-c/cli/input.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

extern char **environ;

enum { ARGUMENTS_MAX = 24, NOT_FOUND = 127 };

void bundle_done(struct bundle *b)
{
    free(b->code);
    json_object_put(b->source_map);
    json_object_put(b->inputs);
    *b = (struct bundle){.code = NULL};
}

/* ---- where esbuild is ---- */

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

static char *beside_this_program(void)
{
    char self[PATH_MAX];
    char *path = NULL;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0) {
        return NULL;
    }
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL || asprintf(&path, "%.*s/dormouse-esbuild", (int)(slash - self), self) < 0) {
        return NULL;
    }
    return path;
}

/* Free it. A name without a slash is one for the PATH. */
static char *find_esbuild(void)
{
    static const char installed[] = PKGLIBEXECDIR "/dormouse-esbuild";
    const char *said = getenv("DORMOUSE_ESBUILD");
    if (said != NULL && said[0] != '\0') {
        return strdup(said);
    }
    char *beside = beside_this_program();
    if (beside != NULL && is_program(beside)) {
        return beside;
    }
    free(beside);
    return strdup(is_program(installed) ? installed : "esbuild");
}

/* ---- running it ---- */

struct job {
    char *folder; /* where it writes */
    char *esbuild;
    char *outfile; /* as arguments */
    char *metafile;
    char *arguments[ARGUMENTS_MAX]; /* copies, closed by NULL */
    int argument_count;
    char *said; /* on standard error */
    int status; /* of its end; NOT_FOUND: there is none */
};

static void add(struct job *j, const char *argument)
{
    j->arguments[j->argument_count++] = strdup(argument);
}

static bool prepare(struct job *j, const struct project *p)
{
    const char *tmp = getenv("TMPDIR");
    tmp = tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp";
    j->esbuild = find_esbuild();
    if (j->esbuild == NULL || asprintf(&j->folder, "%s/dormouse-XXXXXX", tmp) < 0 ||
        mkdtemp(j->folder) == NULL ||
        asprintf(&j->outfile, "--outfile=%s/" BUNDLE_NAME, j->folder) < 0 ||
        asprintf(&j->metafile, "--metafile=%s/meta.json", j->folder) < 0) {
        return false;
    }
    add(j, j->esbuild);
    add(j, p->main);
    add(j, "--bundle");
    add(j, "--format=esm");
    add(j, j->outfile);
    add(j, j->metafile);
    add(j, "--sourcemap=external");
    add(j, "--keep-names");
    add(j, "--target=es2022");
    add(j, "--conditions=workerd,worker,browser");
    add(j, "--external:cloudflare:*");
    add(j, "--external:dormouse");
    add(j, "--external:agents"); /* what the node has in its place */
    add(j, "--loader:.txt=text");
    add(j, "--loader:.html=text");
    add(j, "--loader:.sql=text");
    add(j, "--loader:.md=text");
    add(j, "--log-level=warning");
    add(j, isatty(STDERR_FILENO) ? "--color=true" : "--color=false");
    return true;
}

static char *read_all(int fd)
{
    char *text = NULL;
    size_t bytes;
    char piece[4096];
    ssize_t n;
    FILE *to = open_memstream(&text, &bytes);
    while (to != NULL && (n = read(fd, piece, sizeof(piece))) > 0) {
        fwrite(piece, 1, (size_t)n, to);
    }
    if (to != NULL) {
        fclose(to);
    }
    return text;
}

/* False: it could not be started, and errno says why. */
static bool run(struct job *j)
{
    int ends[2];
    pid_t pid;
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int error = posix_spawnp(&pid, j->esbuild, &actions, NULL, j->arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error == 0) {
        j->said = read_all(ends[0]);
        int status;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        j->status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    close(ends[0]);
    errno = error;
    return error == 0;
}

static char *in_folder(const struct job *j, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", j->folder, name) < 0 ? NULL : path;
}

static void clean_up(struct job *j)
{
    static const char *const names[] = {BUNDLE_NAME, BUNDLE_NAME ".map", "meta.json", NULL};
    for (int i = 0; i < j->argument_count; i++) {
        free(j->arguments[i]);
    }
    for (const char *const *name = names; *name != NULL; name++) {
        char *path = in_folder(j, *name);
        if (path != NULL) {
            unlink(path);
        }
        free(path);
    }
    rmdir(j->folder);
    free(j->folder);
    free(j->esbuild);
    free(j->outfile);
    free(j->metafile);
    free(j->said);
}

/* ---- what it says ---- */

/* The first "[ERROR] message" and the first "    file:line:column:" behind it. */
static void read_complaint(const char *said, struct dormouse_error *error)
{
    const char *message = strstr(said, "[ERROR] ");
    const char *end = message != NULL ? strchr(message, '\n') : NULL;
    if (end == NULL) {
        return;
    }
    message += strlen("[ERROR] ");
    snprintf(error->detail, sizeof(error->detail), "%.*s", (int)(end - message), message);
    char file[sizeof(error->file)];
    long line;
    long column;
    if (sscanf(end, " %255[^:\n]:%ld:%ld:", file, &line, &column) == 3) {
        snprintf(error->file, sizeof(error->file), "%s", file);
        error->line = line;
        error->column = column + 1; /* it counts from 0 */
    }
}

static int complain(const struct cli *cli, const struct job *j)
{
    struct dormouse_error error = {.kind = DORMOUSE_INVALID_CODE,
                                   .code = "invalid_code",
                                   .detail = "The code does not bundle.",
                                   .retry_after_ms = -1,
                                   .failed = -1};
    if (cli->json) {
        read_complaint(j->said, &error);
        return cli_fail(cli, &error);
    }
    progress_end();
    fflush(stdout);
    fputs(j->said, stderr);
    return EXIT_ANSWER;
}

static int not_started(const struct cli *cli, const struct job *j)
{
    if (errno == ENOENT) {
        return cli_usage(cli, "%s is not there: install it, or say where it is in DORMOUSE_ESBUILD",
                         j->esbuild);
    }
    return cli_usage(cli, "%s: %s", j->esbuild, strerror(errno));
}

/* ---- what it makes ---- */

/* A path as seen from a folder, both absolute; free it. */
static char *seen_from(const char *folder, const char *path)
{
    size_t same = 0; /* up to and with the last slash that both have */
    for (size_t i = 0; folder[i] != '\0' || path[i] != '\0'; i++) {
        bool folder_ends = folder[i] == '\0' || folder[i] == '/';
        bool path_ends = path[i] == '\0' || path[i] == '/';
        if (folder_ends && path_ends) {
            same = path[i] == '/' ? i + 1 : i;
        }
        if (folder[i] != path[i]) {
            break;
        }
    }
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    if (to == NULL) {
        return NULL;
    }
    if (same <= strlen(folder)) {
        for (const char *at = folder + same; at != NULL && *at != '\0';) {
            fputs("../", to);
            at = strchr(at, '/');
            at += at != NULL ? 1 : 0;
        }
    }
    fputs(path + same, to);
    fclose(to);
    return text;
}

/* esbuild names sources as seen from what it writes. */
static void rename_sources(const struct job *j, const struct project *p, struct json_object *map)
{
    struct json_object *sources;
    char folder[PATH_MAX];
    char path[PATH_MAX];
    if (!json_object_object_get_ex(map, "sources", &sources) ||
        realpath(p->folder, folder) == NULL) {
        return;
    }
    for (size_t i = 0; i < json_object_array_length(sources); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(sources, i));
        char *from = in_folder(j, name);
        char *shown = from != NULL && realpath(from, path) != NULL ? seen_from(folder, path) : NULL;
        if (shown != NULL) {
            json_object_array_put_idx(sources, i, json_object_new_string(shown));
        }
        free(shown);
        free(from);
    }
}

/* The names of metafile.inputs. */
static struct json_object *read_inputs(struct json_object *meta)
{
    struct json_object *list = json_object_new_array();
    struct json_object *inputs;
    if (json_object_object_get_ex(meta, "inputs", &inputs)) {
        json_object_object_foreach(inputs, name, value)
        {
            (void)value;
            json_object_array_add(list, json_object_new_string(name));
        }
    }
    return list;
}

static int take(const struct cli *cli, const struct job *j, const struct project *p,
                struct bundle *b)
{
    struct input code;
    char *name = in_folder(j, BUNDLE_NAME);
    char *map = in_folder(j, BUNDLE_NAME ".map");
    char *meta = in_folder(j, "meta.json");
    int result = input_read(cli, NULL, name, &code);
    if (result == EXIT_OK) {
        b->code = code.data;
        b->bytes = code.bytes;
        b->source_map = json_object_from_file(map);
        rename_sources(j, p, b->source_map);
        struct json_object *said = json_object_from_file(meta);
        b->inputs = read_inputs(said);
        json_object_put(said);
    }
    free(meta);
    free(map);
    free(name);
    return result;
}

int bundle_make(const struct cli *cli, const struct project *p, struct bundle *ret_bundle)
{
    struct job j = {.argument_count = 0};
    int code;
    *ret_bundle = (struct bundle){.code = NULL};
    if (!prepare(&j, p)) {
        code = cli_usage(cli, "%s: %s", j.folder, strerror(errno));
    } else if (!run(&j)) {
        code = not_started(cli, &j);
    } else if (j.status != 0) {
        code = complain(cli, &j);
    } else {
        progress_hide();
        fputs(j.said, stderr); /* warnings */
        code = take(cli, &j, p, ret_bundle);
    }
    clean_up(&j);
    return code;
}
