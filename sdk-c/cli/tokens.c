/* token: create, list, revoke. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_NAMESPACE = 1, KEY_SCOPE, KEY_ACTOR, KEY_TTL };

struct token_options {
    const char *ns;
    const char *scopes; /* "call,inspect" */
    const char *actor;
    uint64_t ttl_ms; /* 0: for good */
};

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct token_options *o = data;
    switch (key) {
    case KEY_NAMESPACE:
        o->ns = arg;
        return 0;
    case KEY_SCOPE:
        o->scopes = arg;
        return 0;
    case KEY_ACTOR:
        o->actor = arg;
        return 0;
    case KEY_TTL:
        if (!duration_parse(arg, &o->ttl_ms) || o->ttl_ms == 0) {
            argp_error(state, "--ttl takes a time like 90s, 10m or 24h: %s", arg);
        }
        return 0;
    case ARGP_KEY_END:
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void put_scopes(FILE *to, const char *scopes)
{
    fputs("\"scopes\":[", to);
    for (const char *at = scopes; *at != '\0';) {
        size_t bytes = strcspn(at, ",");
        fputs(at == scopes ? "" : ",", to);
        json_text(to, at, bytes);
        at += bytes;
        at += *at == ',' ? 1 : 0;
    }
    fputc(']', to);
}

/* The token as the API wants it; free it. NULL: out of memory. */
static char *token_json(const struct token_options *o)
{
    char *json = NULL;
    size_t bytes;
    FILE *to = open_memstream(&json, &bytes);
    if (to == NULL) {
        return NULL;
    }
    fputs("{\"namespace\":", to);
    json_text(to, o->ns, strlen(o->ns));
    fputc(',', to);
    put_scopes(to, o->scopes);
    if (o->actor != NULL) {
        fputs(",\"actor\":", to);
        json_text(to, o->actor, strlen(o->actor));
    }
    if (o->ttl_ms != 0) {
        fprintf(to, ",\"ttl_ms\":%llu", (unsigned long long)o->ttl_ms);
    }
    fputc('}', to);
    fclose(to);
    return json;
}

/* The token alone, so that a script can take it. */
static void print_made(const struct cli *cli, const struct dormouse_doc *doc)
{
    struct dormouse_node root = dormouse_doc_root(doc);
    size_t bytes;
    progress_end();
    if (cli->json) {
        print_json(root);
        return;
    }
    const char *text = dormouse_node_text(dormouse_node_member(root, "token"), &bytes);
    if (text != NULL) {
        printf("%.*s\n", (int)bytes, text);
    }
}

static int token_create(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"namespace", KEY_NAMESPACE, "NS", 0, "what it opens; * is all of them", 0},
        {"scope", KEY_SCOPE, "SCOPE,...", 0, "of call, inspect, deploy, sandbox and admin", 0},
        {"actor", KEY_ACTOR, "CLASS/ID-PREFIX", 0, "only actors whose ids begin so", 0},
        {"ttl", KEY_TTL, "TIME", 0, "expires after so long: 90s, 10m, 24h", 0},
        {0}};
    struct token_options o = {0};
    const struct syntax syntax = {
        .help = "Makes an access token and prints it alone. It is shown this one time.",
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    if (o.ns == NULL || o.scopes == NULL) {
        return cli_usage(cli, "token create needs --namespace and --scope");
    }
    int code = cli_connect(cli);
    char *json = code == EXIT_OK ? token_json(&o) : NULL;
    if (json == NULL) {
        return code != EXIT_OK ? code : EXIT_ANSWER;
    }
    struct dormouse_doc *doc;
    struct dormouse_error error;
    enum dormouse_code kind = dormouse_token_create(cli->d, json, strlen(json), NULL, &doc, &error);
    free(json);
    if (kind != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    print_made(cli, doc);
    dormouse_doc_free(doc);
    return EXIT_OK;
}

static void print_tokens(const struct cli *cli, struct dormouse_node tokens)
{
    static struct table table = {
        .headings = {"ID", "NAMESPACE", "SCOPES", "ACTOR", "CREATED", "EXPIRES"}};
    for (struct dormouse_walk w = dormouse_node_walk(tokens); dormouse_walk_next(&w);) {
        if (cli->json) {
            print_json(w.value);
            continue;
        }
        static const char *const columns[] = {"id", "namespace", "scopes", "actor"};
        for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
            table_node(&table, dormouse_node_member(w.value, columns[i]));
        }
        table_time(&table, dormouse_node_member(w.value, "created"));
        table_time(&table, dormouse_node_member(w.value, "expires"));
    }
    if (!cli->json) {
        table_end(&table);
    }
}

static int token_list(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {.help = "Lists access tokens by their ids; times are in UTC."};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_doc *doc;
    struct dormouse_error error;
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_token_list(cli->d, NULL, &doc, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    print_tokens(cli, dormouse_node_member(dormouse_doc_root(doc), "tokens"));
    dormouse_doc_free(doc);
    return EXIT_OK;
}

static int token_revoke(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {.usage = "ID",
                                  .help = "Revokes an access token: it opens nothing any more.",
                                  .positionals_min = 1,
                                  .positionals_max = 1};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_error error;
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_token_revoke(cli->d, cli->positionals[0], NULL, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    puts(cli->json ? "{\"revoked\":true}" : "revoked");
    return EXIT_OK;
}

int command_token(struct cli *cli, int argc, char **argv)
{
    static const struct command commands[] = {
        {"create", "make a token", token_create},
        {"list", "the tokens there are", token_list},
        {"revoke", "take one back", token_revoke},
        {NULL, NULL, NULL},
    };
    return cli_dispatch(cli, argv[0], commands, argc, argv);
}
