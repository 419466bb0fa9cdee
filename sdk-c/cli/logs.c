/* logs: what the code of a namespace logs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/log_line.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_FOLLOW = 'f' };

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    bool *follow = data;
    (void)arg;
    (void)state;
    if (key != KEY_FOLLOW) {
        return ARGP_ERR_UNKNOWN;
    }
    *follow = true;
    return 0;
}

static void print_time(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    if (ms > 0 && gmtime_r(&seconds, &utc) != NULL) {
        printf("%04d-%02d-%02d %02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
               utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)(ms % 1000));
    } else {
        putchar('-');
    }
}

/* "2026-01-31 12:00:00.000Z warn Room/lobby text"; further lines of a text are indented. */
static void print_plain(const struct dormouse_log *log)
{
    print_time(log->time_ms);
    putchar(' ');
    plain_text(stdout, log->level, strlen(log->level));
    putchar(' ');
    if (log->class_name[0] != '\0') {
        plain_text(stdout, log->class_name, strlen(log->class_name));
        putchar('/');
        plain_text(stdout, log->id, strlen(log->id));
    } else {
        putchar('-');
    }
    const char *end = log->text + log->text_bytes;
    for (const char *at = log->text; at <= end;) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end != NULL ? line_end : end;
        fputs(at == log->text ? " " : "    ", stdout);
        plain_text(stdout, at, (size_t)(line_end - at));
        putchar('\n');
        at = line_end + 1;
    }
}

bool log_line_print(void *data, const struct dormouse_log *log)
{
    const struct cli *cli = data;
    if (cli->json) {
        print_json(log->data);
    } else {
        print_plain(log);
    }
    return fflush(stdout) == 0; /* who reads a pipe wants each line now */
}

/* NS, NS/CLASS or NS/CLASS/ID; `copy` is cut into them. */
static void split(char *copy, struct dormouse_logs *logs)
{
    char *class_name = strchr(copy, '/');
    if (class_name == NULL) {
        return;
    }
    *class_name++ = '\0';
    char *id = strchr(class_name, '/');
    if (id != NULL) {
        *id++ = '\0';
    }
    logs->class_name = class_name[0] != '\0' ? class_name : NULL;
    logs->id = id != NULL && id[0] != '\0' ? id : NULL;
}

int command_logs(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"follow", KEY_FOLLOW, NULL, 0, "go on with what comes, until it is stopped", 0}, {0}};
    struct dormouse_logs logs = {.data = cli};
    const struct syntax syntax = {
        .usage = "NAMESPACE[/CLASS[/ID]]",
        .help = "Prints what the code of a namespace logs: time in UTC, level, actor, text.",
        .positionals_min = 1,
        .positionals_max = 1,
        .options = options,
        .option = parse,
        .data = &logs.follow};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_error error;
    char *copy = strdup(cli->positionals[0]);
    if (copy == NULL) {
        return EXIT_ANSWER;
    }
    split(copy, &logs);
    int code = cli_connect(cli);
    if (code == EXIT_OK) {
        progress_end(); /* lines are the progress */
        if (dormouse_follow_logs(cli->d, copy, &logs, log_line_print, NULL, &error) !=
            DORMOUSE_OK) {
            code = cli_fail(cli, &error);
        }
    }
    free(copy);
    return code;
}
