#include "sdk-c/cli/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"
#include "sdk-c/cli/source_map.h"

enum {
    KEY_NAMESPACE = 1,
    KEY_CONFIG,
    KEY_VAR,
    KEY_BIND,
    KEY_CLASS,
    KEY_ALLOW,
    KEY_NO_SOURCE_MAPS,
    LINE_SHOWN_BYTES = 160,
};

const struct argp_option publish_argp_options[] = {
    {"namespace", KEY_NAMESPACE, "NS", 0, "deploy there (name of wrangler's file)", 0},
    {"config", KEY_CONFIG, "FILE", 0, "wrangler's file (that of the folder)", 0},
    {"var", KEY_VAR, "NAME=TEXT", 0, "env.NAME, beside or in place of vars", 0},
    {"bind", KEY_BIND, "NAME=CLASS", 0, "bind a class as env.NAME, too", 0},
    {"class", KEY_CLASS, "CLASS", 0, "deploy this class and other named ones alone", 0},
    {"allow", KEY_ALLOW, "HOST", 0, "let the code reach HOST, *.HOST or HOST:PORT", 0},
    {"no-source-maps", KEY_NO_SOURCE_MAPS, NULL, 0, "leave source maps out", 0},
    {0}};

/* ---- the command line ---- */

static void append(const char **list, size_t *count, char *arg, struct argp_state *state)
{
    if (*count == PUBLISH_LISTED_MAX) {
        argp_error(state, "more than %d of one kind: %s", PUBLISH_LISTED_MAX, arg);
    }
    list[(*count)++] = arg;
}

static void append_pair(const char **list, size_t *count, char *arg, struct argp_state *state)
{
    const char *equals = strchr(arg, '=');
    if (equals == NULL || equals == arg) {
        argp_error(state, "it takes NAME=VALUE: %s", arg);
    }
    append(list, count, arg, state);
}

error_t publish_parse(void *options, int key, char *arg, struct argp_state *state)
{
    struct publish_options *o = options;
    switch (key) {
    case KEY_NAMESPACE:
        o->ns = arg;
        return 0;
    case KEY_CONFIG:
        o->config = arg;
        return 0;
    case KEY_VAR:
        append_pair(o->vars, &o->var_count, arg, state);
        return 0;
    case KEY_BIND:
        append_pair(o->bindings, &o->binding_count, arg, state);
        return 0;
    case KEY_CLASS:
        append(o->classes, &o->class_count, arg, state);
        return 0;
    case KEY_ALLOW:
        append(o->hosts, &o->host_count, arg, state);
        return 0;
    case KEY_NO_SOURCE_MAPS:
        o->no_source_maps = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void add_pairs(struct json_object *to, const char *const *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(pairs[i], '=');
        char *name = strndup(pairs[i], (size_t)(equals - pairs[i]));
        if (name != NULL) {
            json_object_object_add(to, name, json_object_new_string(equals + 1));
        }
        free(name);
    }
}

int publish_read(const struct cli *cli, const char *path, const struct publish_options *o,
                 struct project *ret_project)
{
    struct project *p = ret_project;
    int code = project_read(cli, path, o->config, p);
    if (code != EXIT_OK) {
        return code;
    }
    if (o->ns != NULL) {
        free(p->ns);
        p->ns = strdup(o->ns);
    }
    if (p->ns == NULL) {
        return cli_usage(cli, "say --namespace NS: there is no wrangler file with a \"name\"");
    }
    add_pairs(p->env, o->vars, o->var_count);
    add_pairs(p->bindings, o->bindings, o->binding_count);
    if (o->host_count > 0 && p->allow == NULL) {
        p->allow = json_object_new_array();
    }
    for (size_t i = 0; i < o->host_count; i++) {
        json_object_array_add(p->allow, json_object_new_string(o->hosts[i]));
    }
    return EXIT_OK;
}

/* ---- the deploy ---- */

static struct json_object *one(const char *name, struct json_object *value)
{
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, name, value);
    return object;
}

/* The node wants to know where in the source something is, and not what stands there. */
static struct json_object *map_to_send(struct json_object *map)
{
    static const char *const names[] = {"version", "sources", "names", "mappings", NULL};
    struct json_object *own = json_object_new_object();
    struct json_object *member;
    for (const char *const *name = names; *name != NULL; name++) {
        if (json_object_object_get_ex(map, *name, &member)) {
            json_object_object_add(own, *name, json_object_get(member));
        }
    }
    return own;
}

static struct json_object *body_of(const struct project *p, const struct publish_options *o,
                                   const struct bundle *b)
{
    struct json_object *body = json_object_new_object();
    json_object_object_add(body, "modules",
                           one(BUNDLE_NAME, json_object_new_string_len(b->code, (int)b->bytes)));
    json_object_object_add(body, "main", json_object_new_string(BUNDLE_NAME));
    json_object_object_add(body, "env", json_object_get(p->env));
    json_object_object_add(body, "bindings", json_object_get(p->bindings));
    if (p->allow != NULL) {
        json_object_object_add(body, "egress", one("allow", json_object_get(p->allow)));
    }
    if (o->class_count > 0) {
        struct json_object *classes = json_object_new_array();
        for (size_t i = 0; i < o->class_count; i++) {
            json_object_array_add(classes, json_object_new_string(o->classes[i]));
        }
        json_object_object_add(body, "classes", classes);
    }
    if (b->source_map != NULL && !o->no_source_maps) {
        struct json_object *own = map_to_send(b->source_map);
        const char *map = json_object_to_json_string_ext(own, JSON_C_TO_STRING_PLAIN);
        json_object_object_add(body, "source_maps", one(BUNDLE_NAME, json_object_new_string(map)));
        json_object_put(own);
    }
    return body;
}

static void print_deployed(const struct cli *cli, const struct project *p,
                           struct dormouse_node answer)
{
    if (cli->json) {
        print_json(answer);
        return;
    }
    size_t bytes;
    printf("%s: version %lld", p->ns,
           (long long)dormouse_node_int(dormouse_node_member(answer, "version"), 0));
    struct dormouse_walk w = dormouse_node_walk(dormouse_node_member(answer, "classes"));
    for (bool is_first = true; dormouse_walk_next(&w); is_first = false) {
        const char *name = dormouse_node_text(w.value, &bytes);
        printf("%s", is_first ? ": " : ", ");
        plain_text(stdout, name != NULL ? name : "", name != NULL ? bytes : 0);
    }
    putchar('\n');
}

/* "src/index.ts:3:7: message", the line, and a mark below the column. */
static void print_place(const struct dormouse_error *error, const struct source_place *place)
{
    progress_end();
    fflush(stdout);
    plain_text(stderr, error->file, strlen(error->file));
    fprintf(stderr, ":%lld:%lld: ", (long long)error->line, (long long)error->column);
    plain_text(stderr, error->detail, strlen(error->detail));
    fputc('\n', stderr);
    if (place->text == NULL || place->text_bytes > LINE_SHOWN_BYTES) {
        return;
    }
    int head = fprintf(stderr, "%6ld | ", place->line);
    for (size_t i = 0; i < place->text_bytes; i++) { /* a tab is one column, too */
        plain_text(stderr, place->text[i] == '\t' ? " " : place->text + i, 1);
    }
    fprintf(stderr, "\n%*s|%*s^\n", head - 2, "", (int)place->column, "");
}

/* The node speaks of the bundle, its reader wrote the source. */
static int report(const struct cli *cli, const struct bundle *b, struct dormouse_error *error)
{
    struct source_place place = {.file = error->file};
    if (error->kind != DORMOUSE_INVALID_CODE || error->line == 0) {
        return cli_fail(cli, error);
    }
    if (strcmp(error->file, BUNDLE_NAME) == 0 &&
        source_map_find(b->source_map, error->line, error->column, &place)) {
        snprintf(error->file, sizeof(error->file), "%s", place.file);
        error->line = place.line;
        error->column = place.column;
    }
    if (cli->json) {
        return cli_fail(cli, error);
    }
    print_place(error, &place);
    return EXIT_ANSWER;
}

static int send(struct cli *cli, const struct project *p, const struct publish_options *o,
                const struct bundle *b)
{
    struct json_object *body = body_of(p, o, b);
    size_t bytes;
    const char *json = json_object_to_json_string_length(body, JSON_C_TO_STRING_PLAIN, &bytes);
    struct dormouse_doc *doc;
    struct dormouse_error error;
    int code = EXIT_OK;
    if (dormouse_deploy(cli->d, p->ns, json, bytes, NULL, &doc, &error) == DORMOUSE_OK) {
        progress_hide();
        print_deployed(cli, p, dormouse_doc_root(doc));
        dormouse_doc_free(doc);
    } else {
        code = report(cli, b, &error);
    }
    json_object_put(body);
    return code;
}

int publish(struct cli *cli, const struct project *p, const struct publish_options *o,
            struct json_object **ret_inputs)
{
    struct bundle b;
    int code = bundle_make(cli, p, &b);
    if (ret_inputs != NULL) {
        *ret_inputs = b.inputs != NULL ? json_object_get(b.inputs) : NULL;
    }
    code = code != EXIT_OK ? code : send(cli, p, o, &b);
    bundle_done(&b);
    return code;
}
