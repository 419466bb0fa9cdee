/* actors: the actors of a namespace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_CLASS = 1, KEY_PREFIX, KEY_LIMIT };

enum { PAGE = 1000 };

struct actors_options {
    const char *class_name;
    const char *prefix;
    uint64_t limit; /* 0: none */
};

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct actors_options *o = data;
    switch (key) {
    case KEY_CLASS:
        o->class_name = arg;
        return 0;
    case KEY_PREFIX:
        o->prefix = arg;
        return 0;
    case KEY_LIMIT:
        if (!number_parse(arg, &o->limit) || o->limit == 0) {
            argp_error(state, "--limit takes a number: %s", arg);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_actor(const struct cli *cli, struct table *table, struct dormouse_node actor)
{
    if (cli->json) {
        progress_hide();
        print_json(actor);
        return;
    }
    static const char *const columns[] = {"class", "id", "state", "version", "bytes"};
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        table_node(table, dormouse_node_member(actor, columns[i]));
    }
}

/* A copy of the cursor of the next page; NULL where this was the last. */
static char *next_cursor(struct dormouse_node page)
{
    size_t bytes;
    const char *next = dormouse_node_text(dormouse_node_member(page, "next"), &bytes);
    return next == NULL ? NULL : strndup(next, bytes);
}

static int print_pages(struct cli *cli, const struct actors_options *o, struct table *table)
{
    uint64_t left = o->limit == 0 ? UINT64_MAX : o->limit;
    unsigned long long count = 0;
    char *cursor = NULL;
    do {
        const struct dormouse_actor_filter filter = {
            .class_name = o->class_name,
            .prefix = o->prefix,
            .cursor = cursor,
            .limit = left < PAGE ? (uint32_t)left : PAGE,
        };
        struct dormouse_doc *doc;
        struct dormouse_error error;
        if (dormouse_actors(cli->d, cli->positionals[0], &filter, NULL, &doc, &error) !=
            DORMOUSE_OK) {
            free(cursor);
            return cli_fail(cli, &error);
        }
        struct dormouse_node page = dormouse_doc_root(doc);
        struct dormouse_walk w = dormouse_node_walk(dormouse_node_member(page, "actors"));
        for (; left > 0 && dormouse_walk_next(&w); left--) {
            print_actor(cli, table, w.value);
            progress_note("%llu actors ", ++count);
        }
        free(cursor);
        cursor = next_cursor(page);
        dormouse_doc_free(doc);
    } while (cursor != NULL && left > 0);
    free(cursor);
    return EXIT_OK;
}

int command_actors(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"class", KEY_CLASS, "CLASS", 0, "only actors of this class", 0},
        {"prefix", KEY_PREFIX, "ID", 0, "only actors whose id starts so", 0},
        {"limit", KEY_LIMIT, "N", 0, "no more than N actors", 0},
        {0}};
    struct actors_options o = {0};
    const struct syntax syntax = {.usage = "NAMESPACE",
                                  .help = "Lists the actors of a namespace without waking them.",
                                  .positionals_min = 1,
                                  .positionals_max = 1,
                                  .options = options,
                                  .option = parse,
                                  .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    static struct table table = {.headings = {"CLASS", "ID", "STATE", "VERSION", "BYTES"}};
    code = print_pages(cli, &o, &table);
    if (!cli->json) {
        table_end(&table);
    }
    return code;
}
