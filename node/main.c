/* dormoused: one node of Dormouse. */
#include <stdio.h>

#include "base/mem.h"
#include "base/random.h"
#include "config.h"
#include "node/check.h"
#include "node/node.h"
#include "node/options.h"
#include "storage/disk_bus.h"

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
        status = node_run(&options);
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
