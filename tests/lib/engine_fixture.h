/* A real engine in a directory of its own and the actors on it, without libuv, threads or clocks:
 * time stands still until a test moves it, and nothing becomes durable or comes back from a store
 * until a test lets it. */
#ifndef TESTS_LIB_ENGINE_FIXTURE_H
#define TESTS_LIB_ENGINE_FIXTURE_H

#include "actor/registry.h"
#include "actor/request.h"
#include "base/buf.h"
#include "storage/engine.h"
#include "tests/lib/test.h"

struct engine_fixture {
    char *base;
    char *dir;                     /* of the data, below `base` */
    struct engine_options options; /* a test may change them before engine_fixture_start */
    struct engine *engine;
    struct registry registry;
    size_t memory_max; /* of actors */
    size_t request_max;
    uint64_t mono_ms;
    uint64_t wall_ms;
    char detail[ENGINE_DETAIL_BYTES];
};

/* A request and what became of it. */
struct asked {
    struct request *request; /* NULL once answered */
    bool is_answered;
    struct reply reply;
    void (*then)(struct asked *a); /* called from inside the answer; NULL: nothing */
    void *user;
};

void engine_fixture_init(struct engine_fixture *f);
/* Likewise below a directory that is there, and is the fixture's now; the data is still to be made. */
void engine_fixture_init_below(struct engine_fixture *f, char *base);
enum err engine_fixture_make_data(struct engine_fixture *f) MUST_CHECK; /* or opens it again */
void engine_fixture_done(struct engine_fixture *f); /* stops it, removes the directory */

void engine_fixture_start(struct engine_fixture *f); /* must succeed */
enum err engine_fixture_try_start(struct engine_fixture *f) MUST_CHECK;
void engine_fixture_stop(struct engine_fixture *f);
void engine_fixture_kill(struct engine_fixture *f); /* nothing more is written */

/* One iteration of the loop: entries are made, helper threads work, results come back. True: there
 * was something to do. */
bool engine_fixture_turn(struct engine_fixture *f, int kinds);
void engine_fixture_settle(struct engine_fixture *f); /* until there is nothing to do */
/* Moves both clocks on, in steps as the worker's timer makes them, and settles at each. */
void engine_fixture_wait(struct engine_fixture *f, uint64_t ms);

/* Requests. The actor is Store/`id` in the namespace "test". */
struct request *request_of(enum request_kind kind, const char *id);
struct shard *engine_fixture_shard_of(struct engine_fixture *f, const struct request *r);
/* Takes the request; `a` is zeroed or as asked_done left it, but for `then` and `user`. */
void ask(struct engine_fixture *f, struct asked *a, struct request *r);
void ask_within(struct engine_fixture *f, struct asked *a, struct request *r, uint32_t timeout_ms);
void asked_done(struct asked *a); /* must be answered */
void expect_answer(const struct asked *a, enum err err);
/* An error that names the limit which was met. */
void expect_limited(const struct asked *a, enum err err, const char *name, uint64_t value);

/* Values are msgpack strings, or bytes that are zero. */
struct bytes *text_value(const char *text);
struct request *put_request(const char *id, const char *key, const char *text);
struct request *get_request(const char *id, const char *key);
struct request *bytes_request(const char *id, const char *key, size_t len);
struct request *json_request(enum request_kind kind, const char *id, const char *json);

/* Asks, settles, expects an answer. */
enum err answer_of(struct engine_fixture *f, struct request *r);
void put_text(struct engine_fixture *f, const char *id, const char *key, const char *text);
void expect_text(struct engine_fixture *f, const char *id, const char *key, const char *text);
void expect_no_key(struct engine_fixture *f, const char *id, const char *key);
void expect_json(const struct asked *a, const char *json);

/* All rows leave memory: actors hibernate, overlays are written to the stores. */
void make_cold(struct engine_fixture *f);

#endif
