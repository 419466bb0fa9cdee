/* A line of a log, printed; for `logs` and `dev`. */
#ifndef SDK_C_CLI_LOG_LINE_H
#define SDK_C_CLI_LOG_LINE_H

#include "sdk-c/cli/cli.h"

/* A dormouse_on_log; `cli` is its data. False: standard output takes no more. */
bool log_line_print(void *cli, const struct dormouse_log *log);

#endif
