/* A project: what there is to deploy, from a file or folder and from wrangler's file where there is one.
 *
 *     wrangler.json, wrangler.jsonc, wrangler.toml      of the folder; of a file's folder or the one above it
 *       name                        the namespace
 *       main                        the file to begin with
 *       vars                        env
 *       durable_objects.bindings    names under which classes are bound; classes of other scripts are refused
 *       workflows                   likewise
 *       dormouse.egress.allow       hosts that the code may reach: our own addition
 *
 * What else is in the file is for others. What the command line says wins. */
#ifndef SDK_C_CLI_PROJECT_H
#define SDK_C_CLI_PROJECT_H

#include <json-c/json.h>

#include "sdk-c/cli/cli.h"

struct project {
    char *ns;   /* NULL: nobody has said */
    char *main; /* the file to begin with; a path as the user would write it */
    char *
        folder; /* that of wrangler's file, else that of `main`: sources are shown as seen from here */
    char *config;                 /* wrangler's file; NULL: there is none */
    struct json_object *env;      /* an object */
    struct json_object *bindings; /* an object: names to names of classes */
    struct json_object *allow;    /* an array of hosts; NULL: none was given */
};

/* `config` may be NULL. EXIT_OK, or the code of a failure that it has reported; project_done either way. */
int project_read(const struct cli *cli, const char *path, const char *config,
                 struct project *ret_project);
void project_done(struct project *p);

#endif
