/* What is recorded of a sandbox: a row of its actor, and the body of the PUT that made it. Pure. */
#ifndef ACTOR_SANDBOX_SPEC_H
#define ACTOR_SANDBOX_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/reply.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    SANDBOX_NAME_MAX = 63,
    SANDBOX_ID_BYTES = 16,
    SANDBOX_ENV_BYTES_MAX = 32 * 1024,
    SANDBOX_ROW_BYTES_MAX = 256 * 1024,
    SANDBOX_MEMORY_MB = 512,
    SANDBOX_CPU_MILLI = 1000,
    SANDBOX_PIDS = 256,
    SANDBOX_DISK_MB = 2048,
    SANDBOX_SLEEP_MS = 600 * 1000,
};

/* The slices are borrowed from the row or the body. */
struct sandbox_spec {
    struct slice image;
    uint32_t memory_mb;
    uint32_t cpu_milli; /* thousandths of a processor */
    uint32_t pids;
    uint32_t disk_mb;
    uint64_t sleep_after_ms;
    struct slice env;             /* document: a map of strings; empty: none */
    struct slice egress;          /* likewise: as it was given */
    uint8_t id[SANDBOX_ID_BYTES]; /* of this one, whatever had its name before */
    uint64_t created_ms;
    uint64_t slept_ms; /* when its disk was last put away; 0: never */
    struct slice
        layers; /* document: hashes of what it has put away, the newest first; empty: none */
    struct slice snapshots; /* document: its snapshots */
};

/* Letters, digits, '.', '_' and '-', and not '.' at first. */
bool sandbox_name_is_valid(struct slice name);

/* The body of a PUT, a checked document or empty. Errors are in the reply too. */
enum err sandbox_spec_read(struct slice body, struct sandbox_spec *ret,
                           struct reply *reply) MUST_CHECK;

void sandbox_spec_encode(const struct sandbox_spec *s, struct buf *row);
enum err sandbox_spec_decode(struct slice row, struct sandbox_spec *ret) MUST_CHECK;

/* {"image", "limits", ...}: entries of a map, so many. */
uint32_t sandbox_spec_show(const struct sandbox_spec *s, struct buf *out);

/* A map of strings that can be an environment. Errors are in the reply too. */
enum err sandbox_env_check(struct slice env, struct reply *reply) MUST_CHECK;

#endif
