/* call: a method of an actor's class. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/input.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_FILE = 1, KEY_IDEMPOTENCY };

struct call_options {
    const char *file;
    struct dormouse_call call;
};

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct call_options *o = data;
    (void)state;
    switch (key) {
    case KEY_FILE:
        o->file = arg;
        return 0;
    case KEY_IDEMPOTENCY:
        o->call.idempotency_key = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool is_json(const char *text)
{
    struct dormouse_doc *doc;
    bool parses = dormouse_doc_parse(text, strlen(text), &doc, NULL) == DORMOUSE_OK;
    if (parses) {
        dormouse_doc_free(doc);
    }
    return parses;
}

/* What is no JSON is a text: `call app/Room/lobby say hello` needs no quotes within quotes. Free it. */
static char *arguments_json(const struct cli *cli, size_t *ret_bytes)
{
    char *json = NULL;
    FILE *to = open_memstream(&json, ret_bytes);
    if (to == NULL) {
        return NULL;
    }
    fputc('[', to);
    for (int i = 2; i < cli->positional_count; i++) {
        const char *argument = cli->positionals[i];
        fputs(i > 2 ? "," : "", to);
        if (is_json(argument)) {
            fputs(argument, to);
        } else {
            json_text(to, argument, strlen(argument));
        }
    }
    fputc(']', to);
    fclose(to);
    return json;
}

static int read_arguments(const struct cli *cli, const struct call_options *o, struct input *ret)
{
    if (o->file != NULL && cli->positional_count > 2) {
        return cli_usage(cli, "give the arguments here or with --file, not both");
    }
    if (o->file != NULL) {
        return input_read(cli, NULL, o->file, ret);
    }
    ret->data = arguments_json(cli, &ret->bytes);
    return ret->data != NULL ? EXIT_OK : EXIT_ANSWER;
}

static int call(struct cli *cli, const struct dormouse_actor *actor, const struct call_options *o,
                const struct input *arguments)
{
    struct dormouse_doc *doc;
    struct dormouse_error error;
    if (dormouse_call_method(cli->d, actor, cli->positionals[1], arguments->data, arguments->bytes,
                             &o->call, &doc, &error) != DORMOUSE_OK) {
        int code = cli_fail(cli, &error);
        if (!cli->json && error.stack[0] != '\0') {
            fprintf(stderr, "%s\n", error.stack);
        }
        return code;
    }
    progress_end();
    struct dormouse_node root = dormouse_doc_root(doc);
    print_json(cli->json ? root : dormouse_node_member(root, "result"));
    dormouse_doc_free(doc);
    return EXIT_OK;
}

int command_call(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"file", KEY_FILE, "FILE", 0, "take the JSON array of arguments from a file", 0},
        {"idempotency-key", KEY_IDEMPOTENCY, "KEY", 0, "send one; it makes repeats safe", 0},
        {0}};
    struct call_options o = {.file = NULL};
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID METHOD [ARGUMENT...]",
        .help = "Calls a method of an actor and prints its result as JSON. An ARGUMENT is JSON; "
                "what is none is taken as a text.",
        .positionals_min = 2,
        .positionals_max = POSITIONALS_MAX,
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct input arguments = {0};
    int code = cli_actor(cli, cli->positionals[0], &actor);
    code = code != EXIT_OK ? code : read_arguments(cli, &o, &arguments);
    code = code != EXIT_OK ? code : cli_connect(cli);
    code = code != EXIT_OK ? code : call(cli, &actor, &o, &arguments);
    input_done(&arguments);
    return code;
}
