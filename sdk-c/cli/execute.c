/* execute: code that runs once, in a fresh isolate, bound to an actor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/input.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum {
    KEY_INPUT = 1,
    KEY_IDEMPOTENCY,
    KEY_STORAGE,
    KEY_FETCH,
    KEY_ACTOR,
    KEY_CPU,
    KEY_WALL,
    KEY_MEMORY,
};

enum { GRANTS_MAX = 64 };

struct grants {
    const char *list[GRANTS_MAX];
    size_t count;
};

struct execute_options {
    const char *input;
    const char *storage; /* NULL, "read" or "write" */
    struct grants fetch;
    struct grants actors;
    uint64_t cpu_ms; /* 0: the node's choice, and so with the next */
    uint64_t wall_ms;
    uint64_t memory_mb;
    struct dormouse_call call;
};

static void grant(struct grants *g, char *arg, struct argp_state *state)
{
    if (g->count == GRANTS_MAX) {
        argp_error(state, "more than %d grants of one kind: %s", GRANTS_MAX, arg);
    }
    g->list[g->count++] = arg;
}

static void take_time(uint64_t *ret_ms, char *arg, struct argp_state *state)
{
    if (!duration_parse(arg, ret_ms) || *ret_ms == 0) {
        argp_error(state, "it takes a time like 500ms or 30s: %s", arg);
    }
}

static error_t parse_limit(struct execute_options *o, int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case KEY_CPU:
        take_time(&o->cpu_ms, arg, state);
        return 0;
    case KEY_WALL:
        take_time(&o->wall_ms, arg, state);
        return 0;
    case KEY_MEMORY:
        if (!number_parse(arg, &o->memory_mb) || o->memory_mb == 0) {
            argp_error(state, "--memory takes a number of MB: %s", arg);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct execute_options *o = data;
    switch (key) {
    case KEY_INPUT:
        o->input = arg;
        return 0;
    case KEY_IDEMPOTENCY:
        o->call.idempotency_key = arg;
        return 0;
    case KEY_STORAGE:
        if (strcmp(arg, "read") != 0 && strcmp(arg, "write") != 0) {
            argp_error(state, "--grant-storage takes read or write: %s", arg);
        }
        o->storage = arg;
        return 0;
    case KEY_FETCH:
        grant(&o->fetch, arg, state);
        return 0;
    case KEY_ACTOR:
        grant(&o->actors, arg, state);
        return 0;
    default:
        return parse_limit(o, key, arg, state);
    }
}

static void put_list(FILE *to, const char *name, const struct grants *g)
{
    fprintf(to, ",\"%s\":[", name);
    for (size_t i = 0; i < g->count; i++) {
        fputs(i > 0 ? "," : "", to);
        json_text(to, g->list[i], strlen(g->list[i]));
    }
    fputc(']', to);
}

static void put_grants(FILE *to, const struct execute_options *o)
{
    fprintf(to, ",\"grants\":{\"storage\":%s%s%s", o->storage != NULL ? "\"" : "",
            o->storage != NULL ? o->storage : "null", o->storage != NULL ? "\"" : "");
    if (o->fetch.count > 0) {
        put_list(to, "fetch", &o->fetch);
    }
    if (o->actors.count > 0) {
        put_list(to, "actors", &o->actors);
    }
    fputc('}', to);
}

static void put_limits(FILE *to, const struct execute_options *o)
{
    const struct {
        const char *name;
        uint64_t value;
    } limits[] = {{"cpu_ms", o->cpu_ms}, {"wall_ms", o->wall_ms}, {"memory_mb", o->memory_mb}};
    bool is_first = true;
    fputs(",\"limits\":{", to);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (limits[i].value != 0) {
            fprintf(to, "%s\"%s\":%llu", is_first ? "" : ",", limits[i].name,
                    (unsigned long long)limits[i].value);
            is_first = false;
        }
    }
    fputc('}', to);
}

/* The request's body; free it. */
static char *body_of(const struct execute_options *o, const struct input *code, size_t *ret_bytes)
{
    char *json = NULL;
    FILE *to = open_memstream(&json, ret_bytes);
    if (to == NULL) {
        return NULL;
    }
    fputs("{\"code\":", to);
    json_text(to, code->data, code->bytes);
    if (o->input != NULL) {
        fprintf(to, ",\"input\":%s", o->input);
    }
    put_grants(to, o);
    put_limits(to, o);
    fputc('}', to);
    fclose(to);
    return json;
}

/* ---- what came of it ---- */

static void print_logs(struct dormouse_node logs)
{
    for (struct dormouse_walk w = dormouse_node_walk(logs); dormouse_walk_next(&w);) {
        size_t bytes;
        struct dormouse_node node = dormouse_node_type(w.value) == DORMOUSE_MAP
                                        ? dormouse_node_member(w.value, "text")
                                        : w.value;
        const char *text = dormouse_node_text(node, &bytes);
        if (text != NULL) {
            plain_text(stderr, text, bytes);
            fputc('\n', stderr);
        }
    }
}

static void print_text(FILE *to, struct dormouse_node node, const char *before)
{
    size_t bytes;
    const char *text = dormouse_node_text(node, &bytes);
    if (text != NULL && bytes > 0) {
        fputs(before, to);
        plain_text(to, text, bytes);
    }
}

/* The run may have failed where the call did not. */
static int print_outcome(const struct cli *cli, struct dormouse_node root)
{
    struct dormouse_node failed = dormouse_node_member(root, "error");
    bool is_failed = dormouse_node_type(failed) == DORMOUSE_MAP;
    if (cli->json) {
        print_json(root);
        return is_failed ? EXIT_ANSWER : EXIT_OK;
    }
    print_logs(dormouse_node_member(root, "logs"));
    if (!is_failed) {
        print_json(dormouse_node_member(root, "result"));
        return EXIT_OK;
    }
    fputs("dormouse", stderr);
    print_text(stderr, dormouse_node_member(failed, "code"), ": ");
    print_text(stderr, dormouse_node_member(failed, "message"), ": ");
    fputc('\n', stderr);
    return EXIT_ANSWER;
}

static int execute(struct cli *cli, const struct dormouse_actor *actor,
                   const struct execute_options *o, const struct input *code)
{
    size_t bytes;
    char *json = body_of(o, code, &bytes);
    struct dormouse_doc *doc;
    struct dormouse_error error;
    if (json == NULL) {
        return EXIT_ANSWER;
    }
    enum dormouse_code kind = dormouse_execute(cli->d, actor, json, bytes, &o->call, &doc, &error);
    free(json);
    if (kind != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    int result = print_outcome(cli, dormouse_doc_root(doc));
    dormouse_doc_free(doc);
    return result;
}

static int check_input(const struct cli *cli, const char *input)
{
    struct dormouse_doc *doc;
    struct dormouse_error error;
    if (input == NULL) {
        return EXIT_OK;
    }
    if (dormouse_doc_parse(input, strlen(input), &doc, &error) != DORMOUSE_OK) {
        return cli_usage(cli, "--input is no JSON: %s", error.detail);
    }
    dormouse_doc_free(doc);
    return EXIT_OK;
}

int command_execute(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"input", KEY_INPUT, "JSON", 0, "the first argument of the function", 0},
        {"grant-storage", KEY_STORAGE, "read|write", 0, "let it use the actor's storage", 0},
        {"grant-fetch", KEY_FETCH, "HOST", 0, "let it fetch from HOST or HOST:PORT", 0},
        {"grant-actor", KEY_ACTOR, "CLASS", 0, "let it call actors of the class", 0},
        {"cpu", KEY_CPU, "TIME", 0, "stop it after so much work", 0},
        {"wall", KEY_WALL, "TIME", 0, "stop it after so long", 0},
        {"memory", KEY_MEMORY, "MB", 0, "stop it at so much memory", 0},
        {"idempotency-key", KEY_IDEMPOTENCY, "KEY", 0, "send one; it makes repeats safe", 0},
        {0}};
    struct execute_options o = {.input = NULL};
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID FILE",
        .help = "Runs a function, `async (input, api) => ...` or the one that a module exports by "
                "default, once and bound to an actor. It can do what is granted and nothing else. "
                "FILE - is standard input. Prints the result as JSON; exit code 1 where the code "
                "threw or met a limit.",
        .positionals_min = 2,
        .positionals_max = 2,
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct input code = {0};
    bool is_stdin = strcmp(cli->positionals[1], "-") == 0;
    int result = cli_actor(cli, cli->positionals[0], &actor);
    result = result != EXIT_OK ? result : check_input(cli, o.input);
    result = result != EXIT_OK ? result
                               : input_read(cli, is_stdin ? "-" : NULL,
                                            is_stdin ? NULL : cli->positionals[1], &code);
    result = result != EXIT_OK ? result : cli_connect(cli);
    result = result != EXIT_OK ? result : execute(cli, &actor, &o, &code);
    input_done(&code);
    return result;
}
