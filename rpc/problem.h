/* A problem: the body of every error answer, RFC 9457 as API section 1 fixes it.
 *
 *     {"type":"about:blank","title","status","detail","code","retryable","maybe_applied"}
 *
 * `too_large`, `rate_limited`, `overloaded` and `storage_full` name the limit that was met. */
#ifndef RPC_PROBLEM_H
#define RPC_PROBLEM_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

struct problem_limit {
    const char *name; /* "body_bytes" */
    uint64_t value;
};

/* Appends the JSON object. An empty detail, or one that is not UTF-8, becomes the text of the
 * error; `limit` may be NULL. */
void problem_write(struct buf *out, enum err err, struct slice detail,
                   const struct problem_limit *limit);

/* The same for a transaction's check that failed, with `"failed"`: its index. */
void problem_write_failed(struct buf *out, enum err err, struct slice detail, uint64_t failed);

/* The same for what user code threw, or is wrong with it: with the members `name`, `message`, `stack`,
 * `file` (texts), `line` and `column` (numbers) that the msgpack map has. */
void problem_write_exception(struct buf *out, enum err err, struct slice detail,
                             struct slice exception);
/* The same for code, with `"file"`, `"line"` and `"column"`: where it is wrong. Of an empty file nothing is
 * said, of line and column only where they are from 1 on. */
struct problem_place {
    struct slice file;
    uint64_t line;
    uint64_t column;
};
void problem_write_at(struct buf *out, enum err err, struct slice detail,
                      const struct problem_place *place);

/* The reason phrase of a status, "" for one that we never send. Static storage. */
const char *problem_title(int status);

#endif
