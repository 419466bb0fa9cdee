/* secret: set, list, remove. */
#include <stdio.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/input.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_FILE = 1 };

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    const char **file = data;
    (void)state;
    if (key != KEY_FILE) {
        return key == ARGP_KEY_END ? 0 : ARGP_ERR_UNKNOWN;
    }
    *file = arg;
    return 0;
}

/* What a file or a pipe has at its end, and no secret. */
static void cut_line_end(struct input *input)
{
    while (input->bytes > 0 &&
           (input->data[input->bytes - 1] == '\n' || input->data[input->bytes - 1] == '\r')) {
        input->data[--input->bytes] = '\0';
    }
}

static int secret_set(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"file", KEY_FILE, "FILE", 0, "the value, in place of standard input", 0}, {0}};
    const char *file = NULL;
    const struct syntax syntax = {
        .usage = "NAMESPACE NAME",
        .help = "Sets a secret to what standard input has, without the end of its line. Nobody is "
                "shown it again: it is put on requests that leave sandboxes and isolates.",
        .positionals_min = 2,
        .positionals_max = 2,
        .options = options,
        .option = parse,
        .data = &file};
    struct input input;
    struct dormouse_error error;
    cli_parse(cli, argc, argv, &syntax);
    int code = input_read(cli, file != NULL ? NULL : "-", file, &input);
    if (code != EXIT_OK) {
        return code;
    }
    cut_line_end(&input);
    code = cli_connect(cli);
    if (code == EXIT_OK &&
        dormouse_secret_set(cli->d, cli->positionals[0], cli->positionals[1], input.data,
                            input.bytes, NULL, &error) != DORMOUSE_OK) {
        code = cli_fail(cli, &error);
    }
    explicit_bzero(input.data, input.bytes);
    input_done(&input);
    if (code == EXIT_OK) {
        progress_end();
        puts(cli->json ? "{\"set\":true}" : "set");
    }
    return code;
}

static void print_secrets(const struct cli *cli, struct dormouse_node secrets)
{
    static struct table table = {.headings = {"NAME", "CREATED", "UPDATED"}};
    for (struct dormouse_walk w = dormouse_node_walk(secrets); dormouse_walk_next(&w);) {
        if (cli->json) {
            print_json(w.value);
            continue;
        }
        table_node(&table, dormouse_node_member(w.value, "name"));
        table_time(&table, dormouse_node_member(w.value, "created"));
        table_time(&table, dormouse_node_member(w.value, "updated"));
    }
    if (!cli->json) {
        table_end(&table);
    }
}

static int secret_list(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {.usage = "NAMESPACE",
                                  .help = "Lists secrets by their names; times are in UTC.",
                                  .positionals_min = 1,
                                  .positionals_max = 1};
    struct dormouse_doc *doc;
    struct dormouse_error error;
    cli_parse(cli, argc, argv, &syntax);
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_secret_list(cli->d, cli->positionals[0], NULL, &doc, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    print_secrets(cli, dormouse_node_member(dormouse_doc_root(doc), "secrets"));
    dormouse_doc_free(doc);
    return EXIT_OK;
}

static int secret_remove(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {.usage = "NAMESPACE NAME",
                                  .help = "Removes a secret: no request gets it any more.",
                                  .positionals_min = 2,
                                  .positionals_max = 2};
    struct dormouse_error error;
    cli_parse(cli, argc, argv, &syntax);
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_secret_remove(cli->d, cli->positionals[0], cli->positionals[1], NULL, &error) !=
        DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    puts(cli->json ? "{\"removed\":true}" : "removed");
    return EXIT_OK;
}

int command_secret(struct cli *cli, int argc, char **argv)
{
    static const struct command commands[] = {
        {"set", "set a secret from standard input", secret_set},
        {"list", "the names of secrets", secret_list},
        {"remove", "take one away", secret_remove},
        {NULL, NULL, NULL},
    };
    return cli_dispatch(cli, argv[0], commands, argc, argv);
}
