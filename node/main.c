/* dormoused: one node of Dormouse. */
#include <stdio.h>

#include "actor/launch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "config.h"
#include "node/check.h"
#include "node/node.h"
#include "node/options.h"
#include "storage/disk_bus.h"

/* As root it starts the launcher, which stays root, and becomes another user, before it has anything. */
static int run_node(const struct options *options)
{
    struct launch launch;
    struct launch_user user;
    char detail[LAUNCH_DETAIL_BYTES];
    launch_find_user(&user);
    if (launch_open(&launch, &user, detail) != ERR_OK) {
        LOG(LOG_WARN, "no_launcher", LOG_STR("why", detail));
    }
    enum err err = launch_become_user(&user, options->data, detail);
    int status = err == ERR_BAD_REQUEST ? EXIT_USAGE : 1;
    if (err == ERR_OK) {
        status = node_run(options, &launch);
    } else {
        (void)fprintf(stderr, "dormoused: %s\n", detail);
    }
    launch_close(&launch);
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    char detail[OPTIONS_DETAIL_BYTES];
    mem_init();
    random_init();
    disk_bus_catch();
    if (options_parse(&options, argc, argv, detail) != ERR_OK) {
        (void)fprintf(stderr, "dormoused: %s\n", detail);
        return EXIT_USAGE;
    }
    int status = 0;
    switch (options.action) {
    case RUN_NODE:
        status = run_node(&options);
        break;
    case RUN_CHECK:
        status = check_run(options.data);
        break;
    case RUN_CHECK_CONFIG:
        (void)printf("%s: ok\n", options.config);
        break;
    case SHOW_VERSION:
        (void)printf("dormoused %s\n", PACKAGE_VERSION);
        break;
    case SHOW_HELP:
        (void)fputs(options_help, stdout);
        break;
    }
    options_done(&options);
    return status;
}
