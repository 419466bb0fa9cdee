/* The engine: one JavaScript VM with one context, and the prelude in it. JavaScriptCore is behind this
 * header and nowhere else.
 *
 *     zygote: engine_new, engine_host_add, engine_load, engine_before_fork
 *     child:  engine_after_fork, then engine_frame, engine_wait and engine_tick in a loop
 *
 * There is one engine in a process, it lives as long, and belongs to the main thread. Garbage collection and
 * compilation run on that thread too, so that a fork copies a process with one task; the collector's
 * helper of the allocator is suspended before forks and resumed in children.
 *
 * Failures: ERR_NO_MEMORY where the engine could not allocate, ERR_FORMAT where a script of ours threw
 * anything else; engine_text says what.
 *
 * Microtasks run whenever the outermost call into the engine returns. Nothing here is a result of user
 * code but what the prelude hands out: it catches what that code throws. */
#ifndef ACTOR_ISOLATE_ENGINE_H
#define ACTOR_ISOLATE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { ENGINE_TEXT_BYTES = 1024 };

struct engine;
struct engine_call; /* a call of a host function: valid until that returns */

typedef void engine_host_fn(struct engine_call *call, void *context);

struct engine_host {
    const char *name; /* static */
    engine_host_fn *fn;
};

/* NULL where an option that single-threaded forks rely on is gone from the engine. */
struct engine *engine_new(bool has_jit);

/* Host functions: members of the global `__host` that the prelude finds. `hosts` and `context` live on. */
void engine_host_add(struct engine *e, const struct engine_host *hosts, size_t count,
                     void *context);

/* Evaluates the prelude, whose value is the runtime {frame, tick, forked}. */
enum err engine_load(struct engine *e, struct slice source, const char *url) MUST_CHECK;

/* Evaluates a script that finds `__host`, before engine_load; its value is a function for engine_after_fork
 * to call; it is called once here, so that it is compiled. */
enum err engine_on_fork(struct engine *e, struct slice source, const char *url) MUST_CHECK;

/* Evaluates a script for its effects. */
enum err engine_run(struct engine *e, struct slice source, const char *url) MUST_CHECK;

/* Calls of the runtime, which must not throw. `tick` does no harm in the zygote.
 * `large`, where not empty, owns the frame's bytes and is taken. */
enum err engine_forked(struct engine *e) MUST_CHECK;
enum err engine_frame(struct engine *e, struct slice frame, struct buf *large) MUST_CHECK;
enum err engine_tick(struct engine *e, double now_ms, double *ret_wait_ms) MUST_CHECK;

/* The next step of the prelude's rehearsal, where it has one; `*ret_done`: there is no further one. It sends
 * nothing, and leaves nothing but garbage. */
enum err engine_rehearse(struct engine *e, bool *ret_done) MUST_CHECK;

/* Waits until `fd` can be read, at most `wait_ms` (infinity: for ever), and runs what the engine has to do
 * by itself meanwhile. Tells whether fd can be read, or has been closed. */
bool engine_wait(struct engine *e, int fd, double wait_ms);

void engine_before_fork(struct engine *e);
enum err engine_after_fork(struct engine *e) MUST_CHECK;

/* Memory that is free goes back to the system; engine_collect first makes all garbage free. What was
 * collected is swept when it is needed next: a zygote would leave that to its children. */
void engine_give_back(struct engine *e);
void engine_collect(struct engine *e);

const char *engine_text(const struct engine *e); /* of the last failure; until the next one */

/* Arguments of a call. Each answers false where the argument is of another type, with a TypeError thrown. */
size_t engine_arg_count(const struct engine_call *c);
bool engine_arg_bytes(struct engine_call *c, size_t at, uint8_t **ret_data, size_t *ret_len);
/* An array of bytes, at most `max` of them. */
bool engine_arg_bytes_list(struct engine_call *c, size_t at, struct slice *ret, size_t max,
                           size_t *ret_count);
bool engine_arg_number(struct engine_call *c, size_t at, double *ret);
bool engine_arg_text(struct engine_call *c, size_t at, struct buf *ret); /* UTF-8; appends */
bool engine_arg_is_null(const struct engine_call *c, size_t at); /* or undefined, or not there */
bool engine_arg_bool(const struct engine_call *c, size_t at);    /* false where there is none */

/* The result: the last one given counts; none is undefined. */
void engine_return_number(struct engine_call *c, double number);
void engine_return_bool(struct engine_call *c, bool value);
void engine_return_bytes(struct engine_call *c, struct slice bytes); /* copied */
void engine_return_buf(struct engine_call *c, struct buf *bytes);    /* taken */
void engine_return_bytes_list(struct engine_call *c, const struct buf *items, size_t count);
void engine_return_text(struct engine_call *c, struct slice utf8,
                        bool is_fatal); /* replaced or thrown */
void engine_throw(struct engine_call *c, const char *name, const char *text);
bool engine_has_thrown(const struct engine_call *c);

#endif
