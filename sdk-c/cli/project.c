#include "sdk-c/cli/project.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sdk-c/cli/input.h"
#include "sdk-c/cli/toml.h"

enum { DEPTH_MAX = 32 };

void project_done(struct project *p)
{
    free(p->ns);
    free(p->main);
    free(p->folder);
    free(p->config);
    json_object_put(p->env);
    json_object_put(p->bindings);
    json_object_put(p->allow);
    *p = (struct project){.ns = NULL};
}

/* ---- paths ---- */

static char *parent_of(const char *path)
{
    char *copy = strdup(path);
    char *parent = copy != NULL ? strdup(dirname(copy)) : NULL;
    free(copy);
    return parent;
}

/* "./a" is "a" */
static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    while (strncmp(name, "./", 2) == 0) {
        name += 2;
    }
    bool is_here = strcmp(folder, ".") == 0 || name[0] == '/';
    if (asprintf(&path, "%s%s%s", is_here ? "" : folder, is_here ? "" : "/", name) < 0) {
        return NULL;
    }
    return path;
}

static bool is_of_kind(const char *path, mode_t kind)
{
    struct stat s;
    return stat(path, &s) == 0 && (s.st_mode & S_IFMT) == kind;
}

/* The first of these that there is in the folder, or NULL. */
static char *find_in(const char *folder, const char *const *names)
{
    for (; *names != NULL; names++) {
        char *path = join(folder, *names);
        if (path == NULL || is_of_kind(path, S_IFREG)) {
            return path;
        }
        free(path);
    }
    return NULL;
}

/* ---- wrangler's file ---- */

static void place_of(const char *text, size_t at, int *ret_line, int *ret_column)
{
    *ret_line = 1;
    *ret_column = 1;
    for (size_t i = 0; i < at && text[i] != '\0'; i++) {
        *ret_column = text[i] == '\n' ? 1 : *ret_column + 1;
        *ret_line += text[i] == '\n' ? 1 : 0;
    }
}

/* Comments and trailing commas are fine. */
static int parse_json(const struct cli *cli, const char *name, const struct input *input,
                      struct json_object **ret)
{
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (tokener == NULL) {
        return cli_usage(cli, "%s: %s", name, strerror(ENOMEM));
    }
    *ret = json_tokener_parse_ex(tokener, input->data, (int)input->bytes + 1);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    size_t at = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    if (error == json_tokener_success && json_object_is_type(*ret, json_type_object)) {
        return EXIT_OK;
    }
    int line;
    int column;
    place_of(input->data, at, &line, &column);
    json_object_put(*ret);
    *ret = NULL;
    if (error == json_tokener_success) {
        return cli_usage(cli, "%s: it is no JSON object", name);
    }
    return cli_usage(cli, "%s:%d:%d: %s", name, line, column, json_tokener_error_desc(error));
}

static int parse_toml(const struct cli *cli, const char *name, const struct input *input,
                      struct json_object **ret)
{
    char *why = NULL;
    char *json = toml_to_json(input->data, input->bytes, &why);
    if (json == NULL) {
        int code = cli_usage(cli, "%s: %s", name, why != NULL ? why : "it is no TOML");
        free(why);
        return code;
    }
    *ret = json_tokener_parse(json);
    free(json);
    return *ret != NULL ? EXIT_OK : cli_usage(cli, "%s: it holds what JSON cannot", name);
}

static int load(const struct cli *cli, const char *name, struct json_object **ret)
{
    struct input input;
    const char *dot = strrchr(name, '.');
    int code = input_read(cli, NULL, name, &input);
    if (code != EXIT_OK) {
        return code;
    }
    bool is_toml = dot != NULL && strcmp(dot, ".toml") == 0;
    code = (is_toml ? parse_toml : parse_json)(cli, name, &input, ret);
    input_done(&input);
    return code;
}

/* ---- what is in it ---- */

/* A member of a type, or NULL: it is not there. EXIT_USAGE where it has another. */
static int member(const struct cli *cli, const struct project *p, struct json_object *from,
                  const char *name, enum json_type type, struct json_object **ret)
{
    *ret = NULL;
    if (from == NULL || !json_object_object_get_ex(from, name, ret)) {
        return EXIT_OK;
    }
    return json_object_is_type(*ret, type)
               ? EXIT_OK
               : cli_usage(cli, "%s: %s is no %s", p->config, name, json_type_to_name(type));
}

static const char *text_of(struct json_object *from, const char *name)
{
    struct json_object *text;
    return json_object_object_get_ex(from, name, &text) &&
                   json_object_is_type(text, json_type_string)
               ? json_object_get_string(text)
               : NULL;
}

/* [{"name","class_name"}], or [{"binding","class_name"}] of workflows. */
static int take_bindings(const struct cli *cli, struct project *p, struct json_object *list,
                         const char *name_member)
{
    for (size_t i = 0; list != NULL && i < json_object_array_length(list); i++) {
        struct json_object *item = json_object_array_get_idx(list, i);
        const char *name = text_of(item, name_member);
        const char *class_name = text_of(item, "class_name");
        const char *script = text_of(item, "script_name");
        if (name == NULL || class_name == NULL) {
            return cli_usage(cli, "%s: a binding has no %s and class_name", p->config, name_member);
        }
        if (script != NULL && (p->ns == NULL || strcmp(script, p->ns) != 0)) {
            return cli_usage(cli, "%s: %s binds a class of another script, %s", p->config, name,
                             script);
        }
        json_object_object_add(p->bindings, name, json_object_new_string(class_name));
    }
    return EXIT_OK;
}

static int take_all_bindings(const struct cli *cli, struct project *p, struct json_object *config)
{
    struct json_object *objects;
    struct json_object *list = NULL;
    int code = member(cli, p, config, "durable_objects", json_type_object, &objects);
    code = code != EXIT_OK ? code : member(cli, p, objects, "bindings", json_type_array, &list);
    code = code != EXIT_OK ? code : take_bindings(cli, p, list, "name");
    code = code != EXIT_OK ? code : member(cli, p, config, "workflows", json_type_array, &list);
    return code != EXIT_OK ? code : take_bindings(cli, p, list, "binding");
}

static int take_vars(const struct cli *cli, struct project *p, struct json_object *config)
{
    struct json_object *vars;
    int code = member(cli, p, config, "vars", json_type_object, &vars);
    if (code == EXIT_OK && vars != NULL) {
        json_object_put(p->env);
        p->env = json_object_get(vars);
    }
    return code;
}

static int take_egress(const struct cli *cli, struct project *p, struct json_object *config)
{
    struct json_object *own;
    struct json_object *egress = NULL;
    struct json_object *allow = NULL;
    int code = member(cli, p, config, "dormouse", json_type_object, &own);
    code = code != EXIT_OK ? code : member(cli, p, own, "egress", json_type_object, &egress);
    code = code != EXIT_OK ? code : member(cli, p, egress, "allow", json_type_array, &allow);
    p->allow = code == EXIT_OK && allow != NULL ? json_object_get(allow) : NULL;
    return code;
}

static int take_config(const struct cli *cli, struct project *p, struct json_object *config)
{
    struct json_object *name;
    struct json_object *main_file = NULL;
    int code = member(cli, p, config, "name", json_type_string, &name);
    code = code != EXIT_OK ? code : member(cli, p, config, "main", json_type_string, &main_file);
    if (code != EXIT_OK) {
        return code;
    }
    p->ns = name != NULL ? strdup(json_object_get_string(name)) : NULL;
    if (main_file != NULL && p->main == NULL) {
        p->main = join(p->folder, json_object_get_string(main_file));
    }
    code = take_all_bindings(cli, p, config);
    code = code != EXIT_OK ? code : take_vars(cli, p, config);
    return code != EXIT_OK ? code : take_egress(cli, p, config);
}

static int read_config(const struct cli *cli, struct project *p)
{
    struct json_object *config = NULL;
    int code = load(cli, p->config, &config);
    code = code != EXIT_OK ? code : take_config(cli, p, config);
    json_object_put(config);
    return code;
}

/* ---- all of it ---- */

static const char *const config_names[] = {"wrangler.json", "wrangler.jsonc", "wrangler.toml",
                                           NULL};
static const char *const main_names[] = {"src/index.ts", "src/index.js", "index.ts", "index.js",
                                         "main.ts",      "main.js",      NULL};

/* A file's own folder, or where that has none the folder above, as with src/. */
static char *find_config(const char *folder, bool is_file)
{
    char *config = find_in(folder, config_names);
    if (config == NULL && is_file) {
        char *above = strcmp(folder, ".") == 0 ? strdup("..") : parent_of(folder);
        config = above != NULL ? find_in(above, config_names) : NULL;
        free(above);
    }
    return config;
}

int project_read(const struct cli *cli, const char *path, const char *config,
                 struct project *ret_project)
{
    bool is_folder = is_of_kind(path, S_IFDIR);
    struct project *p = ret_project;
    *p = (struct project){.env = json_object_new_object(), .bindings = json_object_new_object()};
    if (!is_folder && !is_of_kind(path, S_IFREG)) {
        return cli_usage(cli, "%s: there is no such file or folder", path);
    }
    char *folder = is_folder ? strdup(path) : parent_of(path);
    p->main = is_folder ? NULL : join(".", path);
    p->config = config != NULL ? strdup(config) : find_config(folder, !is_folder);
    p->folder = p->config != NULL ? parent_of(p->config) : strdup(folder);
    int code = p->config != NULL ? read_config(cli, p) : EXIT_OK;
    if (code == EXIT_OK && p->main == NULL) {
        p->main = find_in(folder, main_names);
    }
    free(folder);
    if (code == EXIT_OK && p->main == NULL) {
        return cli_usage(cli,
                         "%s: no file to begin with: src/index.ts, index.js, or \"main\" of "
                         "wrangler's file",
                         path);
    }
    return code;
}
