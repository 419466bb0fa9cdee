/* deploy: bundles code and deploys it. versions, rollback: what was deployed, and back to it. */
#include <stdio.h>
#include <stdlib.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"
#include "sdk-c/cli/publish.h"

int command_deploy(struct cli *cli, int argc, char **argv)
{
    struct publish_options o = {.ns = NULL};
    const struct syntax syntax = {
        .usage = "FILE|FOLDER",
        .help = "Bundles a file and all it imports, TypeScript and packages of npm included, and "
                "deploys it. Reads wrangler.json, wrangler.jsonc or wrangler.toml where there is "
                "one: name, main, vars, bindings. Prints the version and the classes.",
        .positionals_min = 1,
        .positionals_max = 1,
        .options = publish_argp_options,
        .option = publish_parse,
        .data = &o};
    cli_parse(cli, argc, argv, &syntax);
    struct project p;
    int code = publish_read(cli, cli->positionals[0], &o, &p);
    code = code != EXIT_OK ? code : cli_connect(cli);
    code = code != EXIT_OK ? code : publish(cli, &p, &o, NULL);
    project_done(&p);
    return code;
}

/* "Counter, Room" */
static void table_names(struct table *t, struct dormouse_node names)
{
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    if (to == NULL) {
        table_text(t, "-", 1);
        return;
    }
    struct dormouse_walk w = dormouse_node_walk(names);
    for (bool is_first = true; dormouse_walk_next(&w); is_first = false) {
        size_t name_bytes;
        const char *name = dormouse_node_text(w.value, &name_bytes);
        fprintf(to, "%s%.*s", is_first ? "" : ", ", name != NULL ? (int)name_bytes : 0, name);
    }
    fclose(to);
    table_text(t, text, bytes);
    free(text);
}

static void print_versions(const struct cli *cli, struct dormouse_node versions)
{
    static struct table table = {.headings = {"VERSION", "CREATED", "OF", "BYTES", "CLASSES"}};
    for (struct dormouse_walk w = dormouse_node_walk(versions); dormouse_walk_next(&w);) {
        if (cli->json) {
            print_json(w.value);
            continue;
        }
        table_node(&table, dormouse_node_member(w.value, "version"));
        table_time(&table, dormouse_node_member(w.value, "created"));
        table_node(&table, dormouse_node_member(w.value, "of"));
        table_node(&table, dormouse_node_member(w.value, "bytes"));
        table_names(&table, dormouse_node_member(w.value, "classes"));
    }
    if (!cli->json) {
        table_end(&table);
    }
}

int command_versions(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {
        .usage = "NAMESPACE",
        .help = "Lists the versions of a namespace's code that are kept, the one in force first. "
                "OF is the version that a rollback brought back.",
        .positionals_min = 1,
        .positionals_max = 1};
    cli_parse(cli, argc, argv, &syntax);
    struct dormouse_doc *doc;
    struct dormouse_error error;
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_versions(cli->d, cli->positionals[0], NULL, &doc, &error) != DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    print_versions(cli, dormouse_node_member(dormouse_doc_root(doc), "versions"));
    dormouse_doc_free(doc);
    return EXIT_OK;
}

int command_rollback(struct cli *cli, int argc, char **argv)
{
    const struct syntax syntax = {
        .usage = "NAMESPACE [VERSION]",
        .help = "Brings an earlier version of a namespace's code back, under a new number; without "
                "VERSION the one before that in force.",
        .positionals_min = 1,
        .positionals_max = 2};
    cli_parse(cli, argc, argv, &syntax);
    uint64_t version = 0;
    struct dormouse_doc *doc;
    struct dormouse_error error;
    const char *said = cli->positionals[1];
    if (said != NULL && (!number_parse(said, &version) || version == 0)) {
        return cli_usage(cli, "VERSION is a number from 1 on: %s", said);
    }
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    if (dormouse_rollback(cli->d, cli->positionals[0], version, NULL, &doc, &error) !=
        DORMOUSE_OK) {
        return cli_fail(cli, &error);
    }
    progress_end();
    struct dormouse_node root = dormouse_doc_root(doc);
    if (cli->json) {
        print_json(root);
    } else {
        printf("%s: version %lld is version %lld again\n", cli->positionals[0],
               (long long)dormouse_node_int(dormouse_node_member(root, "version"), 0),
               (long long)dormouse_node_int(dormouse_node_member(root, "of"), 0));
    }
    dormouse_doc_free(doc);
    return EXIT_OK;
}
