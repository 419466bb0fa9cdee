/* The bundler: esbuild, which makes one module of a file and all it imports, TypeScript and packages from
 * npm included. It is looked for as $DORMOUSE_ESBUILD, as `dormouse-esbuild` beside this program (the build
 * tree) or in libexecdir, and as `esbuild` on the PATH.
 *
 * What stays outside: "cloudflare:*" and "dormouse", which the node has. */
#ifndef SDK_C_CLI_BUNDLER_H
#define SDK_C_CLI_BUNDLER_H

#include <json-c/json.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/project.h"

#define BUNDLE_NAME "main.js"

struct bundle {
    char *code; /* closed by NUL, which `bytes` does not count */
    size_t bytes;
    struct json_object *source_map; /* sources are as seen from the project's folder */
    struct json_object *inputs;     /* an array of the files that it was made of, as paths */
};

/* EXIT_OK, or the code of a failure that it has reported: EXIT_ANSWER where the code does not bundle, with
 * file, line, column and the line itself. Warnings go to standard error. */
int bundle_make(const struct cli *cli, const struct project *p, struct bundle *ret_bundle);
void bundle_done(struct bundle *b);

#endif
