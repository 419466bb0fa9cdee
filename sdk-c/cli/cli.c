#include "sdk-c/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

static const char url_default[] = "http://127.0.0.1:7420";

/* Above those of the commands, which start at 1: none is a letter. */
enum { KEY_URL = 0x1000, KEY_TOKEN, KEY_JSON, KEY_DEADLINE, KEY_CA, KEY_HTTP2 };

static const struct argp_option common_options[] = {
    {NULL, 0, NULL, 0, "Options of every command:", 100},
    {"url", KEY_URL, "URL", 0, "the node to ask (DORMOUSE_URL; http://127.0.0.1:7420)", 100},
    {"token", KEY_TOKEN, "TOKEN", 0, "access token (DORMOUSE_TOKEN, which other users cannot see)",
     100},
    {"json", KEY_JSON, NULL, 0, "print JSON: one document, or one a line", 100},
    {"deadline", KEY_DEADLINE, "TIME", 0, "give up after so long: 500ms, 30s, 2m (30s)", 100},
    {"ca", KEY_CA, "FILE", 0, "certificates to trust, PEM (DORMOUSE_CA; the system's)", 100},
    {"http2", KEY_HTTP2, NULL, 0, "speak HTTP/2", 100},
    {0},
};

/* ---- numbers ---- */

bool number_parse(const char *text, uint64_t *ret)
{
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        return false;
    }
    *ret = number;
    return true;
}

bool duration_parse(const char *text, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 12) {
        return false;
    }
    uint64_t number = strtoull(text, NULL, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].unit) == 0) {
            *ret_ms = number * units[i].ms;
            return true;
        }
    }
    return false;
}

/* ---- arguments ---- */

static error_t parse_common(struct cli *cli, int key, char *arg, struct argp_state *state)
{
    uint64_t ms;
    switch (key) {
    case KEY_URL:
        cli->url = arg;
        return 0;
    case KEY_TOKEN:
        cli->token = arg;
        return 0;
    case KEY_JSON:
        cli->json = true;
        return 0;
    case KEY_DEADLINE:
        if (!duration_parse(arg, &ms) || ms == 0 || ms > UINT32_MAX) {
            argp_error(state, "--deadline takes a time like 500ms, 30s or 2m: %s", arg);
        }
        cli->deadline_ms = (uint32_t)ms;
        return 0;
    case KEY_CA:
        cli->ca_file = arg;
        return 0;
    case KEY_HTTP2:
        cli->http2 = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct parsing {
    struct cli *cli;
    const struct syntax *syntax;
};

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
    const struct parsing *p = state->input;
    struct cli *cli = p->cli;
    switch (key) {
    case ARGP_KEY_ARG:
        if (cli->positional_count >= p->syntax->positionals_max) {
            argp_error(state, "too many arguments: %s", arg);
        }
        cli->positionals[cli->positional_count++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (cli->positional_count < p->syntax->positionals_min) {
            argp_error(state, "too few arguments");
        }
        return 0;
    default:
        break;
    }
    bool is_own = key > 0 && key < KEY_URL;
    error_t known = is_own && p->syntax->option != NULL
                        ? p->syntax->option(p->syntax->data, key, arg, state)
                        : ARGP_ERR_UNKNOWN;
    return known == ARGP_ERR_UNKNOWN ? parse_common(cli, key, arg, state) : known;
}

enum { OPTIONS_MAX = 32 };

/* The command's options, then those of every command. */
static void join_options(const struct argp_option *own, struct argp_option ret[OPTIONS_MAX])
{
    size_t count = 0;
    for (; own != NULL && (own->name != NULL || own->key != 0 || own->doc != NULL); own++) {
        ret[count++] = *own;
    }
    memcpy(ret + count, common_options, sizeof(common_options));
}

void cli_parse(struct cli *cli, int argc, char **argv, const struct syntax *syntax)
{
    struct argp_option options[OPTIONS_MAX] = {0};
    join_options(syntax->options, options);
    const struct argp argp = {
        .options = options, .parser = parse_one, .args_doc = syntax->usage, .doc = syntax->help};
    struct parsing parsing = {.cli = cli, .syntax = syntax};
    cli->positional_count = 0;
    argp_parse(&argp, argc, argv, 0, NULL, &parsing);
}

/* ---- commands ---- */

struct leading {
    struct cli *cli;
    int command_at; /* in argv; 0: none was given */
};

/* Options before the command; it ends them. */
static error_t parse_leading(int key, char *arg, struct argp_state *state)
{
    struct leading *leading = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        leading->command_at = state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_state_help(state, stderr, ARGP_HELP_STD_USAGE);
        return 0;
    default:
        return parse_common(leading->cli, key, arg, state);
    }
}

static char *describe(const struct command *commands)
{
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    if (to == NULL) {
        return NULL;
    }
    fprintf(to, "Commands (each has --help):\n");
    for (const struct command *c = commands; c->name != NULL; c++) {
        fprintf(to, "  %-10s %s\n", c->name, c->summary);
    }
    fclose(to);
    return text;
}

/* Ends the program where no command is given, and for --help and --version. */
static int find_command(struct cli *cli, const struct command *commands, int argc, char **argv)
{
    char *doc = describe(commands);
    const struct argp argp = {.options = common_options,
                              .parser = parse_leading,
                              .args_doc = "COMMAND [ARGUMENT...]",
                              .doc = doc};
    struct leading leading = {.cli = cli};
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &leading);
    free(doc);
    return leading.command_at;
}

int cli_dispatch(struct cli *cli, const char *parent, const struct command *commands, int argc,
                 char **argv)
{
    int at = find_command(cli, commands, argc, argv);
    for (const struct command *c = commands; at != 0 && c->name != NULL; c++) {
        if (strcmp(argv[at], c->name) != 0) {
            continue;
        }
        char *name; /* "dormouse get", for messages; lives until the program ends */
        if (asprintf(&name, "%s %s", parent, c->name) < 0) {
            return EXIT_ANSWER;
        }
        argv[at] = name;
        int code = c->run(cli, argc - at, argv + at);
        free(name);
        return code;
    }
    return cli_usage(cli, "no such command: %s (see %s --help)", at == 0 ? "" : argv[at], parent);
}

/* ---- handles, actors, failures ---- */

const char *cli_url(const struct cli *cli)
{
    return cli->url == NULL ? url_default : cli->url;
}

struct dormouse_options cli_options(const struct cli *cli)
{
    return (struct dormouse_options){
        .url = cli_url(cli),
        .token = cli->token != NULL && cli->token[0] != '\0' ? cli->token : NULL,
        .ca_file = cli->ca_file != NULL && cli->ca_file[0] != '\0' ? cli->ca_file : NULL,
        .deadline_ms = cli->deadline_ms,
        .http2 = cli->http2,
    };
}

int cli_connect(struct cli *cli)
{
    const struct dormouse_options options = cli_options(cli);
    struct dormouse_error error;
    if (dormouse_new(&options, &cli->d, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_begin("waiting for %s", cli_url(cli));
    return EXIT_OK;
}

void cli_done(struct cli *cli)
{
    progress_end();
    dormouse_free(cli->d);
    free(cli->actor_text);
    cli->d = NULL;
    cli->actor_text = NULL;
}

int cli_actor(struct cli *cli, const char *text, struct dormouse_actor *ret_actor)
{
    char *copy = strdup(text);
    free(cli->actor_text);
    cli->actor_text = copy;
    char *class_name = copy == NULL ? NULL : strchr(copy, '/');
    char *id = class_name == NULL ? NULL : strchr(class_name + 1, '/');
    if (id == NULL || id[1] == '\0') {
        return cli_usage(cli, "an actor is written NAMESPACE/CLASS/ID: %s", text);
    }
    *class_name = '\0';
    *id = '\0';
    *ret_actor = (struct dormouse_actor){.ns = copy, .class_name = class_name + 1, .id = id + 1};
    return EXIT_OK;
}

static enum exit_code exit_code_of(const struct dormouse_error *error)
{
    if (error->kind == DORMOUSE_INVALID_ARGUMENT ||
        (error->kind == DORMOUSE_INVALID_ID && error->http_status == 0)) {
        return EXIT_USAGE;
    }
    if (error->kind == DORMOUSE_UNREACHABLE || error->kind == DORMOUSE_UNTRUSTED) {
        return EXIT_UNREACHABLE;
    }
    if (error->kind == DORMOUSE_TIMEOUT || error->kind == DORMOUSE_UNAVAILABLE) {
        return EXIT_UNREACHABLE;
    }
    if (error->http_status == 404) {
        return EXIT_NOT_FOUND;
    }
    if (error->http_status == 409 || error->http_status == 412) {
        return EXIT_CONDITION;
    }
    return EXIT_ANSWER;
}

static void print_error_json(const struct dormouse_error *error)
{
    fprintf(stderr, "{\"error\":{\"code\":");
    json_text(stderr, error->code, strlen(error->code));
    fprintf(stderr, ",\"status\":%d,\"detail\":", error->http_status);
    json_text(stderr, error->detail, strlen(error->detail));
    fprintf(stderr, ",\"retryable\":%s,\"maybe_applied\":%s", error->retryable ? "true" : "false",
            error->maybe_applied ? "true" : "false");
    if (error->retry_after_ms >= 0) {
        fprintf(stderr, ",\"retry_after_ms\":%lld", (long long)error->retry_after_ms);
    }
    if (error->failed >= 0) {
        fprintf(stderr, ",\"failed\":%lld", (long long)error->failed);
    }
    const struct {
        const char *name;
        const char *text;
    } texts[] = {{"name", error->name}, {"stack", error->stack}, {"file", error->file}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].text[0] != '\0') {
            fprintf(stderr, ",\"%s\":", texts[i].name);
            json_text(stderr, texts[i].text, strlen(texts[i].text));
        }
    }
    if (error->line > 0) {
        fprintf(stderr, ",\"line\":%lld,\"column\":%lld", (long long)error->line,
                (long long)error->column);
    }
    fprintf(stderr, "}}\n");
}

int cli_fail(const struct cli *cli, const struct dormouse_error *error)
{
    progress_end();
    fflush(stdout);
    if (cli->json) {
        print_error_json(error);
        return exit_code_of(error);
    }
    fprintf(stderr, "dormouse: ");
    plain_text(stderr, error->code, strlen(error->code));
    fprintf(stderr, ": ");
    plain_text(stderr, error->detail, strlen(error->detail));
    if (error->failed >= 0) {
        fprintf(stderr, " (check %lld)", (long long)error->failed);
    }
    if (error->maybe_applied) {
        fprintf(stderr, " The write may have happened.");
    }
    fprintf(stderr, "\n");
    return exit_code_of(error);
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    struct dormouse_error error = {
        .kind = DORMOUSE_INVALID_ARGUMENT, .code = "usage", .retry_after_ms = -1, .failed = -1};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error.detail, sizeof(error.detail), format, arguments);
    va_end(arguments);
    return cli_fail(cli, &error);
}
