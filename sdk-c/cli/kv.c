/* get, put, delete, hibernate: one key, or the actor itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/input.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum {
    KEY_RAW = 1,
    KEY_TEXT,
    KEY_FILE,
    KEY_IF_VERSION,
    KEY_IF_ABSENT,
    KEY_IDEMPOTENCY,
    KEY_ACTOR,
    KEY_VERSION,
};

struct kv_options {
    struct dormouse_call call;
    const char *file;
    bool raw;
    bool text;
    bool actor;
    bool version;
};

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct kv_options *o = data;
    switch (key) {
    case KEY_RAW:
        o->raw = true;
        return 0;
    case KEY_TEXT:
        o->text = true;
        return 0;
    case KEY_FILE:
        o->file = arg;
        return 0;
    case KEY_IF_VERSION:
        if (!number_parse(arg, &o->call.if_version) || o->call.if_version == 0) {
            argp_error(state, "--if-version takes a version: %s", arg);
        }
        return 0;
    case KEY_IF_ABSENT:
        o->call.if_absent = true;
        return 0;
    case KEY_IDEMPOTENCY:
        o->call.idempotency_key = arg;
        return 0;
    case KEY_ACTOR:
        o->actor = true;
        return 0;
    case KEY_VERSION:
        o->version = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_key_value_json(const char *key, uint64_t version,
                                 const struct dormouse_value *value)
{
    printf("{\"key\":");
    json_text(stdout, key, strlen(key));
    printf(",\"version\":%llu", (unsigned long long)version);
    if (value != NULL) {
        printf(",\"value\":%.*s", (int)value->bytes, (const char *)value->data);
    }
    printf("}\n");
}

/* ---- get ---- */

static int get_actor(struct cli *cli, const struct dormouse_actor *actor)
{
    struct dormouse_doc *doc;
    struct dormouse_error error;
    if (dormouse_actor_info(cli->d, actor, NULL, &doc, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    struct dormouse_node root = dormouse_doc_root(doc);
    bool exists = dormouse_node_bool(dormouse_node_member(root, "exists"), false);
    progress_end();
    if (cli->json) {
        print_json(root);
    } else {
        struct table table = {.headings = {"FIELD", "VALUE"}};
        for (struct dormouse_walk w = dormouse_node_walk(root); dormouse_walk_next(&w);) {
            table_text(&table, w.key, w.key_bytes);
            table_node(&table, w.value);
        }
        table_end(&table);
    }
    dormouse_doc_free(doc);
    return exists ? EXIT_OK : EXIT_NOT_FOUND;
}

static int get_key(struct cli *cli, const struct dormouse_actor *actor, const char *key,
                   const struct kv_options *o)
{
    struct dormouse_value value;
    struct dormouse_error error;
    enum dormouse_format format = cli->json ? DORMOUSE_JSON : DORMOUSE_AS_STORED;
    if (dormouse_get(cli->d, actor, key, format, NULL, &value, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    if (cli->json) {
        print_key_value_json(key, value.version, &value);
    } else if (o->version) {
        printf("%llu\n", (unsigned long long)value.version);
    } else {
        fwrite(value.data, 1, value.bytes, stdout);
        if (!o->raw && value.format == DORMOUSE_JSON) {
            putchar('\n');
        }
    }
    dormouse_value_done(&value);
    return EXIT_OK;
}

int command_get(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"raw", KEY_RAW, NULL, 0, "add no line end", 0},
        {"show-version", KEY_VERSION, NULL, 0, "print the entry's version instead", 0},
        {0}};
    struct kv_options o = {0};
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID [KEY]",
        .help = "Shows the value of a key: JSON, or stored bytes as they are. Without KEY shows "
                "what the actor is; exit code 3 where nothing exists.",
        .positionals_min = 1,
        .positionals_max = 2,
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    int code = cli_actor(cli, cli->positionals[0], &actor);
    code = code != EXIT_OK ? code : cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    const char *key = cli->positionals[1];
    return key == NULL ? get_actor(cli, &actor) : get_key(cli, &actor, key, &o);
}

/* ---- put ---- */

/* The text as a JSON string. */
static bool quote(struct input *input)
{
    struct input quoted = {0};
    FILE *to = open_memstream(&quoted.data, &quoted.bytes);
    if (to == NULL) {
        return false;
    }
    json_text(to, input->data, input->bytes);
    fclose(to);
    input_done(input);
    *input = quoted;
    return true;
}

static int put(struct cli *cli, const struct dormouse_actor *actor, const struct kv_options *o,
               const struct input *input)
{
    uint64_t version;
    struct dormouse_error error;
    const char *key = cli->positionals[1];
    enum dormouse_format format = o->raw ? DORMOUSE_BYTES : DORMOUSE_JSON;
    if (dormouse_put(cli->d, actor, key, format, input->data, input->bytes, &o->call, &version,
                     &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    if (cli->json) {
        print_key_value_json(key, version, NULL);
    } else {
        printf("version %llu\n", (unsigned long long)version);
    }
    return EXIT_OK;
}

int command_put(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"file", KEY_FILE, "FILE", 0, "take the value from a file", 0},
        {"raw", KEY_RAW, NULL, 0, "store the bytes as they are", 0},
        {"text", KEY_TEXT, NULL, 0, "store the text as a string", 0},
        {"if-version", KEY_IF_VERSION, "VERSION", 0, "only if the entry has this version", 0},
        {"if-absent", KEY_IF_ABSENT, NULL, 0, "only if there is no such entry", 0},
        {"idempotency-key", KEY_IDEMPOTENCY, "KEY", 0, "instead of a random one", 0},
        {0}};
    struct kv_options o = {0};
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID KEY [VALUE]",
        .help = "Stores a value and prints its version. VALUE is JSON unless --text or --raw says "
                "otherwise; - reads it from standard input. Put -- before a negative number.",
        .positionals_min = 2,
        .positionals_max = 3,
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct input input = {0};
    int code = cli_actor(cli, cli->positionals[0], &actor);
    code = code != EXIT_OK ? code : input_read(cli, cli->positionals[2], o.file, &input);
    code = code != EXIT_OK ? code : cli_connect(cli);
    if (code == EXIT_OK && o.text && !o.raw && !quote(&input)) {
        code = EXIT_ANSWER;
    }
    code = code != EXIT_OK ? code : put(cli, &actor, &o, &input);
    input_done(&input);
    return code;
}

/* ---- delete ---- */

static int delete_key(struct cli *cli, const struct dormouse_actor *actor,
                      const struct kv_options *o)
{
    bool existed;
    struct dormouse_error error;
    if (dormouse_delete(cli->d, actor, cli->positionals[1], &o->call, &existed, &error) !=
        DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    if (cli->json) {
        printf("{\"existed\":%s}\n", existed ? "true" : "false");
    } else {
        puts(existed ? "deleted" : "was not there");
    }
    return EXIT_OK;
}

static int delete_actor(struct cli *cli, const struct dormouse_actor *actor,
                        const struct kv_options *o)
{
    struct dormouse_error error;
    if (dormouse_actor_delete(cli->d, actor, &o->call, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    puts(cli->json ? "{\"deleted\":true}" : "deleted");
    return EXIT_OK;
}

int command_delete(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"if-version", KEY_IF_VERSION, "VERSION", 0, "only if the entry has this version", 0},
        {"actor", KEY_ACTOR, NULL, 0, "delete the actor with all its state", 0},
        {"idempotency-key", KEY_IDEMPOTENCY, "KEY", 0, "instead of a random one", 0},
        {0}};
    struct kv_options o = {0};
    const struct syntax syntax = {
        .usage = "NAMESPACE/CLASS/ID KEY\nNAMESPACE/CLASS/ID --actor",
        .help = "Removes a key; that it is not there is no error. With --actor all state, timers "
                "and sandboxes of the actor go.",
        .positionals_min = 1,
        .positionals_max = 2,
        .options = options,
        .option = parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    if ((cli->positionals[1] == NULL) != o.actor) {
        return cli_usage(cli, "give either a KEY or --actor");
    }
    struct dormouse_actor actor;
    int code = cli_actor(cli, cli->positionals[0], &actor);
    code = code != EXIT_OK ? code : cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    return o.actor ? delete_actor(cli, &actor, &o) : delete_key(cli, &actor, &o);
}

/* ---- hibernate ---- */

int command_hibernate(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {.usage = "NAMESPACE/CLASS/ID",
                                  .help = "Lets the actor sleep as soon as it is idle; by itself "
                                          "it does so after 10 seconds.",
                                  .positionals_min = 1,
                                  .positionals_max = 1};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_error error;
    int code = cli_actor(cli, cli->positionals[0], &actor);
    code = code != EXIT_OK ? code : cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_actor_hibernate(cli->d, &actor, NULL, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    return EXIT_OK;
}
