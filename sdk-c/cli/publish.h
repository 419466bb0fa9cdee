/* Publishing: bundles a project and deploys it; for `deploy`, once, and for `dev`, again and again. */
#ifndef SDK_C_CLI_PUBLISH_H
#define SDK_C_CLI_PUBLISH_H

#include <argp.h>

#include "sdk-c/cli/bundler.h"
#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/project.h"

/* What the command line says of a deploy. */
enum { PUBLISH_LISTED_MAX = 128 };
struct publish_options {
    const char *ns;
    const char *config;
    const char *vars[PUBLISH_LISTED_MAX]; /* "NAME=TEXT" */
    size_t var_count;
    const char *bindings[PUBLISH_LISTED_MAX]; /* "NAME=CLASS" */
    size_t binding_count;
    const char *classes[PUBLISH_LISTED_MAX];
    size_t class_count;
    const char *hosts[PUBLISH_LISTED_MAX];
    size_t host_count;
    bool no_source_maps;
};

extern const struct argp_option publish_argp_options[];
error_t publish_parse(void *options, int key, char *arg, struct argp_state *state);

/* The project with what the command line says, and a namespace. As project_read. */
int publish_read(const struct cli *cli, const char *path, const struct publish_options *o,
                 struct project *ret_project);

/* Bundles and deploys; prints what came of it. EXIT_OK, or the code of a failure that it has reported.
 * `ret_inputs`, may be NULL: the files that the bundle was made of, or NULL; json_object_put. */
int publish(struct cli *cli, const struct project *p, const struct publish_options *o,
            struct json_object **ret_inputs);

#endif
