/* A value for a command: an argument, "-" for standard input, or a file. */
#ifndef SDK_C_CLI_INPUT_H
#define SDK_C_CLI_INPUT_H

#include <stddef.h>

#include "sdk-c/cli/cli.h"

struct input {
    char *data; /* closed by a NUL that `bytes` does not count */
    size_t bytes;
};

/* One of `argument` and `file` is not NULL. EXIT_OK, or the code of a failure that it has reported:
 * neither or both, a file that cannot be read, or more than INPUT_BYTES_MAX. */
enum { INPUT_BYTES_MAX = 64 << 20 }; /* the server's own limits are below */
int input_read(const struct cli *cli, const char *argument, const char *file,
               struct input *ret_input);
void input_done(struct input *input);

#endif
