/* A code host on a real engine (engine_fixture.h), whose isolates and clients' sockets a test plays. */
#ifndef TESTS_LIB_CODE_WORLD_H
#define TESTS_LIB_CODE_WORLD_H

#include "actor/code_host.h"
#include "tests/lib/engine_fixture.h"

/* An isolate that a test plays: what it was sent, as JSON, and what it says. */
struct isolate {
    struct code_session *session;
    bool is_killed;
    bool is_paused;
    bool is_deaf; /* what it is sent is not kept */
    uint64_t cpu_us;
    uint64_t peak_bytes;
    struct buf sent[32];
    size_t sent_count;
    size_t seen_count;
};

enum { ISOLATES = 8 };

struct world {
    struct engine_fixture f;
    struct code_host host;
    struct isolate isolates[ISOLATES];
    size_t taken;
    bool is_full;
    uint64_t version; /* of what is deployed; 0: nothing */
    struct code_call *call;
    struct request *called;
    struct code_incoming *incoming; /* the newest that went out, unless it was cancelled */
    struct buf fetched;             /* what was asked of the outside, and said of it, a line each */
    struct buf logged;              /* "level:text\n" of each line */
    struct socket_sets sockets;
    struct buf heard; /* what the sockets' clients are told, a line each */
};

int code_world_setup(void **state); /* *state is the world, in which something is deployed */
int code_world_teardown(void **state);

void ask_code(struct world *w, struct asked *a, struct request *r, uint32_t timeout_ms);
struct request *call_request(const char *id, const char *method);
struct request *keyed_call(const char *id, const char *key);
void call(struct world *w, struct asked *a, struct request *r);
void ask_module(struct world *w, struct asked *a, struct request *r);
void say(struct isolate *i, const char *json);
void say_and_settle(struct world *w, struct isolate *i, const char *json);
/* The next frame that it was sent. */
void expect_sent(struct isolate *i, const char *json);
void skip_start(struct isolate *i);
void expect_nothing_sent(const struct isolate *i);
/* An isolate whose class has started. */
struct isolate *start(struct world *w, struct asked *a, struct request *r);
void expect_fetched(struct world *w, const char *lines); /* since the last look */
/* What clients' sockets were told since the last look. */
void expect_heard(struct world *w, const char *lines);

#endif
