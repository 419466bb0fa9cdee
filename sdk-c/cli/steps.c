/* steps: list, begin, finish, fail, extend. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/input.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_LEASE = 1, KEY_INPUT, KEY_FILE, KEY_RETRY_IN };

enum { LEASE_MS_DEFAULT = 60000 };

struct step_options {
    uint64_t lease_ms;
    const char *input;
    const char *file;
    int64_t retry_in_ms;
};

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct step_options *o = data;
    uint64_t ms;
    switch (key) {
    case KEY_LEASE:
        if (!duration_parse(arg, &o->lease_ms) || o->lease_ms == 0) {
            argp_error(state, "--lease takes a time like 30s or 2m: %s", arg);
        }
        return 0;
    case KEY_INPUT:
        o->input = arg;
        return 0;
    case KEY_FILE:
        o->file = arg;
        return 0;
    case KEY_RETRY_IN:
        if (!duration_parse(arg, &ms)) {
            argp_error(state, "--retry-in takes a time like 30s or 2m: %s", arg);
        }
        o->retry_in_ms = (int64_t)ms;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int start(struct cli *cli, struct dormouse_actor *ret_actor)
{
    int code = cli_actor(cli, cli->positionals[0], ret_actor);
    return code != EXIT_OK ? code : cli_connect(cli);
}

static void add_step(struct table *table, struct dormouse_node step)
{
    struct dormouse_node output = dormouse_node_member(step, "output");
    table_node(table, dormouse_node_member(step, "name"));
    table_node(table, dormouse_node_member(step, "state"));
    table_node(table, dormouse_node_member(step, "attempts"));
    table_time(table, dormouse_node_member(step, "started"));
    table_time(table, dormouse_node_member(step, "ended"));
    bool has_output = dormouse_node_type(output) != DORMOUSE_ABSENT;
    table_node(table, has_output ? output : dormouse_node_member(step, "error"));
}

static int steps_list(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID",
        .help = "Lists the steps of an actor in the order of their first start.",
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
    if (dormouse_step_list(cli->d, &actor, NULL, &doc, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    static struct table table = {
        .headings = {"NAME", "STATE", "ATTEMPTS", "STARTED", "ENDED", "RESULT"}};
    struct dormouse_walk w =
        dormouse_node_walk(dormouse_node_member(dormouse_doc_root(doc), "steps"));
    while (dormouse_walk_next(&w)) {
        if (cli->json) {
            print_json(w.value);
        } else {
            add_step(&table, w.value);
        }
    }
    if (!cli->json) {
        table_end(&table);
    }
    dormouse_doc_free(doc);
    return EXIT_OK;
}

static const char *name_of_state(enum dormouse_step_state state)
{
    switch (state) {
    case DORMOUSE_STEP_RUN:
        return "run";
    case DORMOUSE_STEP_DONE:
        return "done";
    case DORMOUSE_STEP_BUSY:
        return "busy";
    case DORMOUSE_STEP_FAILED:
        return "failed";
    }
    return "?";
}

static void print_step_json(const struct dormouse_step *s)
{
    printf("{\"state\":\"%s\"", name_of_state(s->state));
    if (s->state == DORMOUSE_STEP_RUN) {
        printf(",\"attempt\":%lld,\"lease\":", (long long)s->attempt);
        json_text(stdout, s->lease, strlen(s->lease));
    }
    if (s->state == DORMOUSE_STEP_BUSY) {
        printf(",\"retry_after_ms\":%lld", (long long)s->retry_after_ms);
    }
    if (s->result != NULL) {
        printf(",\"%s\":%s", s->state == DORMOUSE_STEP_FAILED ? "error" : "output", s->result);
    }
    printf("}\n");
}

static void print_step(const struct dormouse_step *s)
{
    printf("%s", name_of_state(s->state));
    if (s->state == DORMOUSE_STEP_RUN) {
        printf(" attempt %lld lease ", (long long)s->attempt);
        plain_text(stdout, s->lease, strlen(s->lease));
    }
    if (s->state == DORMOUSE_STEP_BUSY) {
        printf(" retry after %lld ms", (long long)s->retry_after_ms);
    }
    if (s->result != NULL) {
        putchar(' ');
        plain_text(stdout, s->result, strlen(s->result));
    }
    putchar('\n');
}

static int steps_begin(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"lease", KEY_LEASE, "TIME", 0, "how long the attempt may take (60s)", 0},
        {"input", KEY_INPUT, "JSON", 0, "kept with the step", 0},
        {0}};
    struct step_options o = {.lease_ms = LEASE_MS_DEFAULT};
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID NAME",
        .help = "Asks for the step. \"run\" comes with a lease: run it, then finish or fail it. "
                "Exit code 4 where another runs it or it has failed for good.",
        .positionals_min = 2,
        .positionals_max = 2,
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_step step;
    struct dormouse_error error;
    int code = start(cli, &actor);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_step_begin(cli->d, &actor, cli->positionals[1], o.lease_ms, o.input, NULL, &step,
                            &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    if (cli->json) {
        print_step_json(&step);
    } else {
        print_step(&step);
    }
    bool may_go_on = step.state == DORMOUSE_STEP_RUN || step.state == DORMOUSE_STEP_DONE;
    dormouse_step_done(&step);
    return may_go_on ? EXIT_OK : EXIT_CONDITION;
}

static int finished(const struct cli *cli, enum dormouse_code kind,
                    const struct dormouse_error *error, const char *plain, const char *json)
{
    if (kind != DORMOUSE_OK) {
        return cli_fail(cli, error);
    }
    progress_end();
    puts(cli->json ? json : plain);
    return EXIT_OK;
}

static int steps_finish(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"file", KEY_FILE, "FILE", 0, "take the output from a file", 0}, {0}};
    struct step_options o = {0};
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID NAME LEASE [OUTPUT]",
        .help = "Ends the attempt with its output, JSON; - reads it from standard input.",
        .positionals_min = 3,
        .positionals_max = 4,
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_error error;
    struct input output = {0};
    int code = start(cli, &actor);
    if (code == EXIT_OK && (cli->positionals[3] != NULL || o.file != NULL)) {
        code = input_read(cli, cli->positionals[3], o.file, &output);
    }
    if (code != EXIT_OK) {
        return code;
    }
    enum dormouse_code kind = dormouse_step_finish(cli->d, &actor, cli->positionals[1],
                                                   cli->positionals[2], output.data, NULL, &error);
    input_done(&output);
    return finished(cli, kind, &error, "finished", "{\"finished\":true}");
}

static int steps_fail(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"retry-in", KEY_RETRY_IN, "TIME", 0, "another attempt after so long (never)", 0}, {0}};
    struct step_options o = {.retry_in_ms = -1};
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID NAME LEASE ERROR",
        .help = "Ends the attempt with an error, JSON. Without --retry-in it has failed for good.",
        .positionals_min = 4,
        .positionals_max = 4,
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_error error;
    int code = start(cli, &actor);
    if (code != EXIT_OK) {
        return code;
    }
    enum dormouse_code kind =
        dormouse_step_fail(cli->d, &actor, cli->positionals[1], cli->positionals[2],
                           cli->positionals[3], o.retry_in_ms, NULL, &error);
    return finished(cli, kind, &error, "failed", "{\"failed\":true}");
}

static int steps_extend(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {.usage = "NAMESPACE/CLASS/ID NAME LEASE TIME",
                                  .help = "Prolongs the lease: 30s, 2m.",
                                  .positionals_min = 4,
                                  .positionals_max = 4};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_error error;
    uint64_t ms;
    if (!duration_parse(cli->positionals[3], &ms)) {
        return cli_usage(cli, "a time is like 30s or 2m: %s", cli->positionals[3]);
    }
    int code = start(cli, &actor);
    if (code != EXIT_OK) {
        return code;
    }
    enum dormouse_code kind = dormouse_step_extend(cli->d, &actor, cli->positionals[1],
                                                   cli->positionals[2], ms, NULL, &error);
    return finished(cli, kind, &error, "extended", "{\"extended\":true}");
}

int command_steps(struct cli *cli, int argc, char **argv)
{
    static const struct command commands[] = {
        {"list", "the steps of an actor", steps_list},
        {"begin", "ask for a step", steps_begin},
        {"finish", "end an attempt with its output", steps_finish},
        {"fail", "end an attempt with an error", steps_fail},
        {"extend", "prolong a lease", steps_extend},
        {NULL, NULL, NULL},
    };
    return cli_dispatch(cli, argv[0], commands, argc, argv);
}
