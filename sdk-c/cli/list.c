/* list: keys and values of an actor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum { KEY_PREFIX = 1, KEY_START, KEY_START_AFTER, KEY_END, KEY_LIMIT, KEY_REVERSE, KEY_KEYS };

static error_t parse_range(void *data, int key, char *arg, struct argp_state *state)
{
    struct dormouse_range *range = data;
    switch (key) {
    case KEY_PREFIX:
        range->prefix = arg;
        return 0;
    case KEY_START:
        range->start = arg;
        return 0;
    case KEY_START_AFTER:
        range->start_after = arg;
        return 0;
    case KEY_END:
        range->end = arg;
        return 0;
    case KEY_LIMIT:
        if (!number_parse(arg, &range->limit) || range->limit == 0) {
            argp_error(state, "--limit takes a number: %s", arg);
        }
        return 0;
    case KEY_REVERSE:
        range->reverse = true;
        return 0;
    case KEY_KEYS:
        range->keys_only = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_entry_json(const struct dormouse_entry *e)
{
    progress_hide();
    printf("{\"key\":");
    json_text(stdout, e->key, e->key_bytes);
    if (e->value != NULL) {
        printf(",\"value\":%s", e->value);
    }
    printf(",\"version\":%llu}\n", (unsigned long long)e->version);
}

static void add_entry(struct table *table, const struct dormouse_entry *e)
{
    table_text(table, e->key, e->key_bytes);
    table_printf(table, "%llu", (unsigned long long)e->version);
    if (e->value != NULL) {
        table_text(table, e->value, e->value_bytes);
    }
}

static int print_entries(struct cli *cli, struct dormouse_list *list, struct table *table)
{
    struct dormouse_error error;
    const struct dormouse_entry *entry;
    unsigned long long count = 0;
    while (dormouse_list_next(list, &entry, &error) == DORMOUSE_OK) {
        if (entry == NULL) {
            if (!cli->json) {
                table_end(table);
            }
            return EXIT_OK;
        }
        if (cli->json) {
            print_entry_json(entry);
        } else {
            add_entry(table, entry);
        }
        progress_note("%llu entries ", ++count);
    }
    if (!cli->json) {
        table_end(table);
    }
    return cli_fail(cli, &error);
}

int command_list(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"prefix", KEY_PREFIX, "KEY", 0, "only keys that start so", 0},
        {"start", KEY_START, "KEY", 0, "from this key on", 0},
        {"start-after", KEY_START_AFTER, "KEY", 0, "from behind this key on", 0},
        {"end", KEY_END, "KEY", 0, "up to before this key", 0},
        {"limit", KEY_LIMIT, "N", 0, "no more than N entries", 0},
        {"reverse", KEY_REVERSE, NULL, 0, "from the last to the first", 0},
        {"keys", KEY_KEYS, NULL, 0, "without values", 0},
        {0}};
    struct dormouse_range range = {0};
    const struct syntax syntax = {.usage = "NAMESPACE/CLASS/ID",
                                  .help = "Lists keys and values in the order of their bytes.",
                                  .positionals_min = 1,
                                  .positionals_max = 1,
                                  .options = options,
                                  .option = parse_range,
                                  .data = &range};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_actor actor;
    struct dormouse_list *list;
    struct dormouse_error error;
    int code = cli_actor(cli, cli->positionals[0], &actor);
    code = code != EXIT_OK ? code : cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    range.page = range.limit == 0 || range.limit > 1000 ? 1000 : (uint32_t)range.limit;
    if (dormouse_list_new(cli->d, &actor, &range, NULL, &list, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    static struct table table = {.headings = {"KEY", "VERSION", "VALUE"}};
    table.headings[2] = range.keys_only ? NULL : "VALUE";
    code = print_entries(cli, list, &table);
    dormouse_list_free(list);
    return code;
}
