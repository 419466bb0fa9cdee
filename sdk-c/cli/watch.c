/* watch: what happens to an actor, as it happens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_PREFIX = 1, KEY_SINCE, KEY_COUNT, KEY_FOR };

struct watching {
    struct dormouse_watch watch;
    uint64_t count; /* events still wanted; 0: no limit */
    bool json;
};

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct watching *w = data;
    switch (key) {
    case KEY_PREFIX:
        w->watch.prefix = arg;
        return 0;
    case KEY_SINCE:
        w->watch.since = arg;
        return 0;
    case KEY_COUNT:
        if (!number_parse(arg, &w->count) || w->count == 0) {
            argp_error(state, "--count takes a number: %s", arg);
        }
        return 0;
    case KEY_FOR:
        if (!duration_parse(arg, &w->watch.watch_ms) || w->watch.watch_ms == 0) {
            argp_error(state, "--for takes a time like 500ms, 30s or 2m: %s", arg);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_event_json(const struct dormouse_event *e)
{
    printf("{\"event\":");
    json_text(stdout, e->type, strlen(e->type));
    printf(",\"id\":");
    json_text(stdout, e->id, strlen(e->id));
    printf(",\"data\":");
    char *json = dormouse_node_json(e->data, NULL);
    printf("%s}\n", json);
    dormouse_text_free(json);
}

/* "put 12.0 key {"a":1}" */
static void print_event_plain(const struct dormouse_event *e)
{
    plain_text(stdout, e->type, strlen(e->type));
    printf(" %s", e->id[0] == '\0' ? "-" : e->id);
    if (e->key != NULL) {
        putchar(' ');
        plain_text(stdout, e->key, e->key_bytes);
    }
    struct dormouse_node value = e->key != NULL ? dormouse_node_member(e->data, "value") : e->data;
    if (dormouse_node_type(value) != DORMOUSE_ABSENT) {
        size_t bytes;
        char *json = dormouse_node_json(value, &bytes);
        putchar(' ');
        plain_text(stdout, json, bytes);
        dormouse_text_free(json);
    }
    putchar('\n');
}

static bool on_event(void *data, const struct dormouse_event *event)
{
    struct watching *w = data;
    if (w->json) {
        print_event_json(event);
    } else {
        print_event_plain(event);
    }
    /* Who reads a pipe wants each event now; who has gone away ends the watch. */
    bool is_written = fflush(stdout) == 0;
    bool is_last = w->count != 0 && --w->count == 0;
    return is_written && !is_last;
}

int command_watch(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"prefix", KEY_PREFIX, "KEY", 0, "only keys that start so", 0},
        {"since", KEY_SINCE, "VERSION", 0, "what came after; 0: all that is kept", 0},
        {"count", KEY_COUNT, "N", 0, "end after N events", 0},
        {"for", KEY_FOR, "TIME", 0, "end after so long", 0},
        {0}};
    struct watching w = {0};
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID",
        .help = "Prints events until it is stopped: kind, id, key, value. Goes on after the last "
                "event where the connection breaks, and gives up after --deadline without one.",
        .positionals_min = 1,
        .positionals_max = 1,
        .options = options,
        .option = parse,
        .data = &w};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_error error;
    int code = cli_actor(cli, cli->positionals[0], &actor);
    code = code != EXIT_OK ? code : cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    progress_end(); /* events are the progress */
    w.json = cli->json;
    w.watch.data = &w;
    if (dormouse_watch(cli->d, &actor, &w.watch, on_event, NULL, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    return EXIT_OK;
}
