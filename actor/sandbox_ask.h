/* What is asked of a sandbox: the body of a SANDBOX request, as node/decode_sandbox makes it. Pure.
 *
 *     [verb, method, sandbox's name, argument, query, wants a stream, body]
 *
 * The argument is what the path has behind the verb: a process's number, a snapshot's id, a file's path. The body is a
 * document or nil, and the bytes of a file that is put. */
#ifndef ACTOR_SANDBOX_ASK_H
#define ACTOR_SANDBOX_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum sandbox_verb {
    SANDBOX_VERB_ITSELF = 1, /* numbers travel between nodes */
    SANDBOX_VERB_EXEC = 2,
    SANDBOX_VERB_PROCESSES = 3,
    SANDBOX_VERB_PROCESS = 4,
    SANDBOX_VERB_LOGS = 5,
    SANDBOX_VERB_WAIT = 6,
    SANDBOX_VERB_FILE = 7,
    SANDBOX_VERB_SLEEP = 8,
    SANDBOX_VERB_WAKE = 9,
    SANDBOX_VERB_SNAPSHOTS = 10,
    SANDBOX_VERB_SNAPSHOT = 11,
    SANDBOX_VERB_RESTORE = 12,
    SANDBOX_VERB_FORK = 13,
    SANDBOX_VERB_ADOPT = 14, /* of a fork, between owners: the body is the bytes of a row */
    SANDBOX_VERB_TERMINAL = 15,
    SANDBOX_VERB_CHANGES = 16,
    SANDBOX_VERB_CONTEXTS = 17,
    SANDBOX_VERB_CONTEXT = 18,
    SANDBOX_VERB_CONTEXT_RUN = 19,
    SANDBOX_VERB_PREVIEW = 20, /* of a preview's Host, not of a route */
    SANDBOX_VERB_END,
};

enum { SANDBOX_FILE_PATH_MAX = 4095 };

struct sandbox_what {
    enum sandbox_verb verb;
    struct slice method;
    struct slice name;
    struct slice argument;
    struct slice query;
    bool wants_stream;
    struct slice body; /* a document; empty: none */
};

void sandbox_what_encode(const struct sandbox_what *w, struct buf *out);
/* The slices are borrowed. ERR_BAD_REQUEST: it is none. */
enum err sandbox_what_decode(struct slice doc, struct sandbox_what *ret) MUST_CHECK;

#endif
