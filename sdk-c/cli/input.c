#include "sdk-c/cli/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_stream(const struct cli *cli, FILE *from, const char *name, struct input *ret_input)
{
    struct input input = {0};
    FILE *to = open_memstream(&input.data, &input.bytes);
    if (to == NULL) {
        return cli_usage(cli, "%s: %s", name, strerror(errno));
    }
    char piece[16384];
    size_t total = 0;
    for (size_t n; (n = fread(piece, 1, sizeof(piece), from)) > 0 && total <= INPUT_BYTES_MAX;) {
        fwrite(piece, 1, n, to);
        total += n;
    }
    int failed = ferror(from) ? errno : 0;
    fclose(to);
    if (failed != 0 || total > INPUT_BYTES_MAX) {
        free(input.data);
        return cli_usage(cli, "%s: %s", name, failed != 0 ? strerror(failed) : "over 64 MiB");
    }
    *ret_input = input;
    return EXIT_OK;
}

static int read_file(const struct cli *cli, const char *name, struct input *ret_input)
{
    FILE *from = fopen(name, "re");
    if (from == NULL) {
        return cli_usage(cli, "%s: %s", name, strerror(errno));
    }
    int code = read_stream(cli, from, name, ret_input);
    fclose(from);
    return code;
}

int input_read(const struct cli *cli, const char *argument, const char *file,
               struct input *ret_input)
{
    if ((argument == NULL) == (file == NULL)) {
        return cli_usage(cli, "give one value: as an argument, - for standard input, or --file");
    }
    if (file != NULL) {
        return read_file(cli, file, ret_input);
    }
    if (strcmp(argument, "-") == 0) {
        return read_stream(cli, stdin, "standard input", ret_input);
    }
    char *copy = strdup(argument);
    if (copy == NULL) {
        return cli_usage(cli, "%s", strerror(errno));
    }
    *ret_input = (struct input){.data = copy, .bytes = strlen(copy)};
    return EXIT_OK;
}

void input_done(struct input *input)
{
    free(input->data);
    *input = (struct input){0};
}
