/* The one error vocabulary: what a fallible function returns.
 *
 * Results come back through `ret_x` parameters, last, written only on success. The file that calls
 * a library translates that library's codes into these at once. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(at, first) __attribute__((__format__(__printf__, at, first)))

enum err {
#define X(name, status, code, retryable, maybe_applied, text) ERR_##name,
#include "base/err.def"
#undef X
    ERR_COUNT
};

struct err_info {
    const char *name;   /* "NO_SUCH_KEY" */
    int status;         /* HTTP status */
    const char *code;   /* API.md section 1 */
    bool retryable;     /* the same request may succeed later */
    bool maybe_applied; /* the write may have happened */
    const char *text;   /* one sentence for people */
};

/* Never NULL; static storage. */
const struct err_info *err_info(enum err err);

#endif
