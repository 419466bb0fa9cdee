/* A workload: what the generator asks for next.
 *
 * Actors are `a0` ... and keys of each `k0` ..., chosen at random; values are new random text every
 * time, because constant values measure nothing: they compress, and a store may notice that nothing
 * changed. The same choice, spelled for the server under test. */
#ifndef TESTS_BENCH_WORKLOAD_H
#define TESTS_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum server { SERVER_DORMOUSE, SERVER_ETCD, SERVER_WORKERD };
enum operation {
    OPERATION_PUT,
    OPERATION_GET,
    OPERATION_TXN,
    OPERATION_FILL,
    OPERATION_CALL_READ, /* of the class in classes.mjs, without arguments */
    OPERATION_CALL_PUT,  /* of the same, with a value to store */
    OPERATION_EXECUTE,
};

struct workload {
    enum server server;
    enum operation operation;
    uint64_t actors;
    uint64_t keys; /* of each actor */
    uint32_t value_bytes;
    uint64_t fill_left; /* FILL: values still to be written, each once, actor by actor in turn */
    uint64_t random;    /* state of the generator */
    struct buf scratch;
};

/* Reused for each request; `path` has no zero bytes and is closed by one. */
struct request {
    const char *method;
    struct buf path;
    struct buf body; /* JSON, or empty */
};

void workload_init(struct workload *w, uint64_t seed);
void workload_done(struct workload *w);
void workload_next(struct workload *w, struct request *ret_request);
void request_done(struct request *r);

#endif
