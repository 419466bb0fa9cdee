/* txn: a transaction; request: anything else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/input.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_FILE = 1, KEY_IDEMPOTENCY, KEY_HEADER, KEY_INCLUDE };

enum { HEADERS_MAX = 32 };

struct send_options {
    const char *file;
    struct dormouse_call call;
    struct dormouse_header headers[HEADERS_MAX];
    size_t header_count;
    bool include;
};

static void parse_header(struct send_options *o, char *arg, struct argp_state *state)
{
    char *colon = strchr(arg, ':');
    if (colon == NULL || o->header_count == HEADERS_MAX) {
        argp_error(state, "--header takes NAME:VALUE, at most %d times: %s", HEADERS_MAX, arg);
        return;
    }
    *colon = '\0';
    o->headers[o->header_count++] =
        (struct dormouse_header){.name = arg, .value = colon + 1 + strspn(colon + 1, " ")};
}

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct send_options *o = data;
    switch (key) {
    case KEY_FILE:
        o->file = arg;
        return 0;
    case KEY_IDEMPOTENCY:
        o->call.idempotency_key = arg;
        return 0;
    case KEY_HEADER:
        parse_header(o, arg, state);
        return 0;
    case KEY_INCLUDE:
        o->include = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_results(struct dormouse_node answer)
{
    long long version = (long long)dormouse_node_int(dormouse_node_member(answer, "version"), 0);
    printf("committed, version %lld\n", version);
    struct dormouse_walk w = dormouse_node_walk(dormouse_node_member(answer, "results"));
    for (int i = 0; dormouse_walk_next(&w); i++) {
        printf("%d: ", i);
        print_json(w.value);
    }
}

static int txn(struct cli *cli, const struct dormouse_actor *actor, const struct send_options *o,
               const struct input *input)
{
    struct dormouse_doc *doc;
    struct dormouse_error error;
    if (dormouse_txn(cli->d, actor, input->data, input->bytes, &o->call, &doc, &error) !=
        DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    if (cli->json) {
        print_json(dormouse_doc_root(doc));
    } else {
        print_results(dormouse_doc_root(doc));
    }
    dormouse_doc_free(doc);
    return EXIT_OK;
}

int command_txn(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"file", KEY_FILE, "FILE", 0, "take the transaction from a file", 0},
        {"idempotency-key", KEY_IDEMPOTENCY, "KEY", 0, "instead of a random one", 0},
        {0}};
    struct send_options o = {0};
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID [JSON]",
        .help = "Runs {\"if\":[...],\"do\":[...]} as one step; - reads it from standard input. "
                "Exit code 4 where a check failed; then nothing was written.",
        .positionals_min = 1,
        .positionals_max = 2,
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct input input = {0};
    int code = cli_actor(cli, cli->positionals[0], &actor);
    code = code != EXIT_OK ? code : input_read(cli, cli->positionals[1], o.file, &input);
    code = code != EXIT_OK ? code : cli_connect(cli);
    code = code != EXIT_OK ? code : txn(cli, &actor, &o, &input);
    input_done(&input);
    return code;
}

static int send_request(struct cli *cli, const struct send_options *o, const struct input *input)
{
    const struct dormouse_request request = {
        .method = cli->positionals[0],
        .path = cli->positionals[1],
        .headers = o->headers,
        .header_count = o->header_count,
        .body = input->data,
        .body_bytes = input->bytes,
    };
    struct dormouse_answer answer;
    struct dormouse_error error;
    if (dormouse_request(cli->d, &request, &o->call, &answer, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    if (o->include) {
        printf("%d\n%s\n", answer.status, answer.headers);
    }
    fwrite(answer.body, 1, answer.body_bytes, stdout);
    if (answer.body_bytes > 0 && answer.body[answer.body_bytes - 1] != '\n' && cli->json) {
        putchar('\n');
    }
    dormouse_answer_done(&answer);
    return EXIT_OK;
}

int command_request(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"file", KEY_FILE, "FILE", 0, "take the body from a file", 0},
        {"header", KEY_HEADER, "NAME:VALUE", 0, "send this header, too", 0},
        {"include", KEY_INCLUDE, NULL, 0, "print status and headers first", 0},
        {"idempotency-key", KEY_IDEMPOTENCY, "KEY", 0, "send one; it makes repeats safe", 0},
        {0}};
    struct send_options o = {0};
    const struct syntax syntax = {
        .usage = "METHOD PATH [BODY]",
        .help = "Sends one request and prints the body of its answer. PATH is percent-encoded and "
                "starts with a slash; BODY - is standard input. No Content-Type is sent but with "
                "--header.",
        .positionals_min = 2,
        .positionals_max = 3,
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct input input = {0};
    int code = EXIT_OK;
    if (cli->positionals[2] != NULL || o.file != NULL) {
        code = input_read(cli, cli->positionals[2], o.file, &input);
    }
    code = code != EXIT_OK ? code : cli_connect(cli);
    code = code != EXIT_OK ? code : send_request(cli, &o, &input);
    input_done(&input);
    return code;
}
