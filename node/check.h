/* `dormoused --check DIR`: verifies the data of a stopped node and changes nothing.
 *
 * Every byte of the data either counts, and then another value of it is a finding, or it is not in use:
 * then it may be anything. The check tells which bytes count. A finding is a problem, or a note about what
 * a crash may leave and the next start mends: the end of a log that was never acknowledged, one of
 * the two copies of a log's identity. */
#ifndef NODE_CHECK_H
#define NODE_CHECK_H

#include <stdint.h>

#include "base/err.h"
#include "storage/data_dir.h"

struct check_hooks {
    void (*say)(void *ctx, const char *line); /* a finding: the file, the place, what is wrong */
    /* Bytes of a file that count. NULL: nobody asks. */
    void (*use)(void *ctx, const char *file, uint64_t offset, uint64_t len);
    void *ctx;
};

struct check_result {
    uint64_t problems;
    uint64_t notes;
    uint64_t files;
    uint64_t rows;
    uint64_t actors;
    uint64_t entries; /* of the log */
    uint64_t bytes;   /* of the files */
    uint64_t bytes_in_use;
};

/* An error where the directory holds no data, or is in use; `ret_detail` is one sentence then. */
enum err check_data(const char *dir, const struct check_hooks *hooks,
                    struct check_result *ret_result, char ret_detail[DATA_DETAIL_BYTES]) MUST_CHECK;

/* One line on standard output for each finding, then one that sums up. The exit status: 0 where there is
 * no problem, 1 where something is wrong or cannot be read. */
int check_run(const char *dir);

#endif
