/* timers: list, get, set, delete. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum {
    KEY_AT = 1,
    KEY_IN,
    KEY_EVERY,
    KEY_CRON,
    KEY_TZ,
    KEY_PAYLOAD,
    KEY_WEBHOOK,
    KEY_CATCH_UP,
};

struct timer_options {
    uint64_t at_ms;
    uint64_t in_ms;
    uint64_t every_ms;
    bool has_at;
    bool has_in;
    const char *cron;
    const char *tz;
    const char *payload;
    const char *webhook;
    const char *catch_up;
};

static void take_time(uint64_t *ret_ms, const char *arg, struct argp_state *state)
{
    if (!duration_parse(arg, ret_ms)) {
        argp_error(state, "a time is like 500ms, 30s, 10m, 24h or 7d: %s", arg);
    }
}

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct timer_options *o = data;
    switch (key) {
    case KEY_AT:
        o->has_at = true;
        if (!number_parse(arg, &o->at_ms)) {
            argp_error(state, "--at takes milliseconds since the epoch: %s", arg);
        }
        return 0;
    case KEY_IN:
        o->has_in = true;
        take_time(&o->in_ms, arg, state);
        return 0;
    case KEY_EVERY:
        take_time(&o->every_ms, arg, state);
        return 0;
    case KEY_CRON:
        o->cron = arg;
        return 0;
    case KEY_TZ:
        o->tz = arg;
        return 0;
    case KEY_PAYLOAD:
        o->payload = arg;
        return 0;
    case KEY_WEBHOOK:
        o->webhook = arg;
        return 0;
    case KEY_CATCH_UP:
        o->catch_up = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void begin_member(FILE *to, const char *name)
{
    fprintf(to, "%s\"%s\":", ftell(to) == 1 ? "" : ",", name);
}

static void add_text(FILE *to, const char *name, const char *text)
{
    if (text != NULL) {
        begin_member(to, name);
        json_text(to, text, strlen(text));
    }
}

static void add_number(FILE *to, const char *name, uint64_t number)
{
    begin_member(to, name);
    fprintf(to, "%llu", (unsigned long long)number);
}

/* The timer as the API wants it; free it. NULL: out of memory. */
static char *timer_json(const struct timer_options *o)
{
    char *json = NULL;
    size_t bytes;
    FILE *to = open_memstream(&json, &bytes);
    if (to == NULL) {
        return NULL;
    }
    fputc('{', to);
    if (o->has_at) {
        add_number(to, "at", o->at_ms);
    }
    if (o->has_in) {
        add_number(to, "in", o->in_ms);
    }
    if (o->every_ms != 0) {
        add_number(to, "every", o->every_ms);
    }
    add_text(to, "cron", o->cron);
    add_text(to, "tz", o->tz);
    add_text(to, "webhook", o->webhook);
    add_text(to, "catch_up", o->catch_up);
    if (o->payload != NULL) {
        begin_member(to, "payload");
        fputs(o->payload, to);
    }
    fputc('}', to);
    fclose(to);
    return json;
}

/* It becomes a part of the body, so it has to be one document. */
static bool payload_is_json(const struct timer_options *o, struct dormouse_error *ret_error)
{
    struct dormouse_doc *doc = NULL;
    bool is_json =
        dormouse_doc_parse(o->payload, strlen(o->payload), &doc, ret_error) == DORMOUSE_OK;
    dormouse_doc_free(doc);
    return is_json;
}

static void print_timers(const struct cli *cli, struct dormouse_node timers)
{
    static struct table table = {
        .headings = {"NAME", "NEXT", "EVERY", "CRON", "TZ", "STATE", "PAYLOAD"}};
    for (struct dormouse_walk w = dormouse_node_walk(timers); dormouse_walk_next(&w);) {
        if (cli->json) {
            print_json(w.value);
            continue;
        }
        static const char *const columns[] = {"every", "cron", "tz", "state", "payload"};
        table_node(&table, dormouse_node_member(w.value, "name"));
        table_time(&table, dormouse_node_member(w.value, "at"));
        for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
            table_node(&table, dormouse_node_member(w.value, columns[i]));
        }
    }
    if (!cli->json) {
        table_end(&table);
    }
}

/* One timer, as it is. */
static void print_timer(const struct cli *cli, const struct dormouse_doc *doc)
{
    struct dormouse_node root = dormouse_doc_root(doc);
    progress_end();
    if (cli->json) {
        print_json(root);
        return;
    }
    struct table table = {.headings = {"FIELD", "VALUE"}};
    for (struct dormouse_walk w = dormouse_node_walk(root); dormouse_walk_next(&w);) {
        table_text(&table, w.key, w.key_bytes);
        if (w.key_bytes == 2 && memcmp(w.key, "at", 2) == 0) {
            table_time(&table, w.value);
        } else {
            table_node(&table, w.value);
        }
    }
    table_end(&table);
}

static int start(struct cli *cli, struct dormouse_actor *ret_actor)
{
    int code = cli_actor(cli, cli->positionals[0], ret_actor);
    return code != EXIT_OK ? code : cli_connect(cli);
}

static int timers_list(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {.usage = "NAMESPACE/CLASS/ID",
                                  .help = "Lists the timers of an actor; NEXT is in UTC.",
                                  .positionals_min = 1,
                                  .positionals_max = 1};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_doc *doc;
    struct dormouse_error error;
    int code = start(cli, &actor);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_timer_list(cli->d, &actor, NULL, &doc, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    print_timers(cli, dormouse_node_member(dormouse_doc_root(doc), "timers"));
    dormouse_doc_free(doc);
    return EXIT_OK;
}

static int timers_get(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {.usage = "NAMESPACE/CLASS/ID NAME",
                                  .help = "Shows a timer.",
                                  .positionals_min = 2,
                                  .positionals_max = 2};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_doc *doc;
    struct dormouse_error error;
    int code = start(cli, &actor);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_timer_get(cli->d, &actor, cli->positionals[1], NULL, &doc, &error) !=
        DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    print_timer(cli, doc);
    dormouse_doc_free(doc);
    return EXIT_OK;
}

static int timers_set(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"at", KEY_AT, "MS", 0, "once, at this time: milliseconds since the epoch", 0},
        {"in", KEY_IN, "TIME", 0, "once, after so long", 0},
        {"every", KEY_EVERY, "TIME", 0, "again and again, with --at or --in as the first", 0},
        {"cron", KEY_CRON, "EXPRESSION", 0, "minute hour day month weekday", 0},
        {"tz", KEY_TZ, "ZONE", 0, "of the cron expression: Europe/Berlin (UTC)", 0},
        {"payload", KEY_PAYLOAD, "JSON", 0, "what the actor is given", 0},
        {"webhook", KEY_WEBHOOK, "URL", 0, "POST there when it is due", 0},
        {"catch-up", KEY_CATCH_UP, "one|all|none", 0, "repetitions missed meanwhile (one)", 0},
        {0}};
    struct timer_options o = {0};
    const struct syntax syntax = {.usage = "NAMESPACE/CLASS/ID NAME",
                                  .help = "Sets a timer and shows it.",
                                  .positionals_min = 2,
                                  .positionals_max = 2,
                                  .options = options,
                                  .option = parse,
                                  .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_doc *doc;
    struct dormouse_error error;
    if (o.payload != NULL && !payload_is_json(&o, &error)) {
        return cli_usage(cli, "--payload takes JSON: %s", error.detail);
    }
    if (o.every_ms != 0 && !o.has_at && !o.has_in) {
        o.has_in = true; /* the first after one interval */
        o.in_ms = o.every_ms;
    }
    int code = start(cli, &actor);
    char *json = code == EXIT_OK ? timer_json(&o) : NULL;
    if (json == NULL) {
        return code != EXIT_OK ? code : EXIT_ANSWER;
    }
    enum dormouse_code kind = dormouse_timer_put(cli->d, &actor, cli->positionals[1], json,
                                                 strlen(json), NULL, &doc, &error);
    free(json);
    if (kind != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    print_timer(cli, doc);
    dormouse_doc_free(doc);
    return EXIT_OK;
}

static int timers_delete(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {.usage = "NAMESPACE/CLASS/ID NAME",
                                  .help = "Deletes a timer.",
                                  .positionals_min = 2,
                                  .positionals_max = 2};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_error error;
    int code = start(cli, &actor);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_timer_delete(cli->d, &actor, cli->positionals[1], NULL, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    puts(cli->json ? "{\"deleted\":true}" : "deleted");
    return EXIT_OK;
}

int command_timers(struct cli *cli, int argc, char **argv)
{
    static const struct command commands[] = {
        {"list", "the timers of an actor", timers_list},
        {"get", "one timer", timers_get},
        {"set", "set a timer", timers_set},
        {"delete", "delete a timer", timers_delete},
        {NULL, NULL, NULL},
    };
    return cli_dispatch(cli, argv[0], commands, argc, argv);
}
