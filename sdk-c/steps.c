/* Steps of a worker's own run: begin, end, prolong, list.
 *
 * Bodies are built as values and shown as JSON, so a text that the caller passes is checked to be
 * one JSON document and cannot reach beyond its member. */
#include <string.h>

#include "base/mem.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "sdk-c/doc.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/error.h"
#include "sdk-c/exchange.h"

static void begin_exchange(struct exchange *x, struct dormouse *d, const char *method,
                           const struct dormouse_actor *actor, const char *name,
                           const struct dormouse_call *call)
{
    exchange_init(x, d, method, call);
    exchange_actor(x, actor, "steps");
    exchange_name(x, name);
}

/* `"name": <json>`; null where `json` is NULL. */
static void put_json(struct exchange *x, struct buf *body, const char *name, const char *json)
{
    value_put_text(body, name);
    if (json == NULL) {
        value_put_nil(body);
        return;
    }
    struct json_detail detail;
    if (json_to_value(slice_of_str(json), VALUE_DEPTH_CAP - 1, body, &detail) != ERR_OK) {
        exchange_refuse(x, detail.text);
    }
}

static void put_number(struct buf *body, const char *name, uint64_t number)
{
    value_put_text(body, name);
    value_put_uint(body, number);
}

static void put_lease(struct exchange *x, struct buf *body, const char *lease)
{
    value_put_text(body, "lease");
    if (lease == NULL) {
        exchange_refuse(x, "The lease is missing.");
        return;
    }
    value_put_text(body, lease);
}

/* Sends what was built, and empties it. */
static bool run_with_body(struct exchange *x, struct buf *body)
{
    if (x->error.kind == DORMOUSE_OK) {
        value_to_json(buf_slice(body), &x->own_body);
        exchange_own_body(x);
    }
    buf_done(body);
    return exchange_run(x);
}

static bool state_of_name(struct slice name, enum dormouse_step_state *ret_state)
{
    static const struct {
        const char *name;
        enum dormouse_step_state state;
    } states[] = {{"run", DORMOUSE_STEP_RUN},
                  {"done", DORMOUSE_STEP_DONE},
                  {"busy", DORMOUSE_STEP_BUSY},
                  {"failed", DORMOUSE_STEP_FAILED}};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (slice_equal_str(name, states[i].name)) {
            *ret_state = states[i].state;
            return true;
        }
    }
    return false;
}

/* False where the answer is not one of the four. */
static bool step_of_doc(const struct dormouse_doc *doc, struct dormouse_step *ret_step)
{
    struct dormouse_node root = dormouse_doc_root(doc);
    struct slice text;
    struct dormouse_step step = {0};
    if (!node_text(dormouse_node_member(root, "state"), &text) ||
        !state_of_name(text, &step.state)) {
        return false;
    }
    bool has_lease = node_text(dormouse_node_member(root, "lease"), &text);
    if (step.state == DORMOUSE_STEP_RUN && !has_lease) {
        return false;
    }
    step.lease = has_lease ? mem_strndup((const char *)text.data, text.len) : NULL;
    step.attempt = dormouse_node_int(dormouse_node_member(root, "attempt"), 0);
    step.retry_after_ms = dormouse_node_int(dormouse_node_member(root, "retry_after_ms"), 0);
    const char *result = step.state == DORMOUSE_STEP_FAILED ? "error" : "output";
    struct dormouse_node node = dormouse_node_member(root, result);
    step.result = node.data == NULL ? NULL : dormouse_node_json(node, NULL);
    *ret_step = step;
    return true;
}

enum dormouse_code dormouse_step_begin(struct dormouse *d, const struct dormouse_actor *actor,
                                       const char *name, uint64_t lease_ms, const char *input,
                                       const struct dormouse_call *call,
                                       struct dormouse_step *ret_step,
                                       struct dormouse_error *ret_error)
{
    struct exchange x;
    struct buf body = {0};
    begin_exchange(&x, d, "POST", actor, name, call);
    value_put_map(&body, input == NULL ? 1 : 2);
    put_number(&body, "lease_ms", lease_ms);
    if (input != NULL) {
        put_json(&x, &body, "input", input);
    }
    struct dormouse_doc *doc = run_with_body(&x, &body) ? exchange_doc(&x) : NULL;
    if (doc != NULL && !step_of_doc(doc, ret_step)) {
        error_set(&x.error, DORMOUSE_PROTOCOL, "The answer has no state of a step.");
        x.error.maybe_applied = true;
    }
    dormouse_doc_free(doc);
    return exchange_done(&x, ret_error);
}

void dormouse_step_done(struct dormouse_step *step)
{
    mem_free(step->lease);
    mem_free(step->result);
    *step = (struct dormouse_step){0};
}

enum dormouse_code dormouse_step_finish(struct dormouse *d, const struct dormouse_actor *actor,
                                        const char *name, const char *lease, const char *output,
                                        const struct dormouse_call *call,
                                        struct dormouse_error *ret_error)
{
    struct exchange x;
    struct buf body = {0};
    begin_exchange(&x, d, "PUT", actor, name, call);
    value_put_map(&body, 2);
    put_lease(&x, &body, lease);
    put_json(&x, &body, "output", output);
    run_with_body(&x, &body);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_step_fail(struct dormouse *d, const struct dormouse_actor *actor,
                                      const char *name, const char *lease, const char *error,
                                      int64_t retry_in_ms, const struct dormouse_call *call,
                                      struct dormouse_error *ret_error)
{
    struct exchange x;
    struct buf body = {0};
    begin_exchange(&x, d, "PUT", actor, name, call);
    value_put_map(&body, retry_in_ms < 0 ? 2 : 3);
    put_lease(&x, &body, lease);
    put_json(&x, &body, "error", error);
    if (retry_in_ms >= 0) {
        put_number(&body, "retry_in_ms", (uint64_t)retry_in_ms);
    }
    run_with_body(&x, &body);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_step_extend(struct dormouse *d, const struct dormouse_actor *actor,
                                        const char *name, const char *lease, uint64_t extend_ms,
                                        const struct dormouse_call *call,
                                        struct dormouse_error *ret_error)
{
    struct exchange x;
    struct buf body = {0};
    begin_exchange(&x, d, "PUT", actor, name, call);
    value_put_map(&body, 2);
    put_lease(&x, &body, lease);
    put_number(&body, "extend_ms", extend_ms);
    run_with_body(&x, &body);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_step_list(struct dormouse *d, const struct dormouse_actor *actor,
                                      const struct dormouse_call *call,
                                      struct dormouse_doc **ret_doc,
                                      struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "GET", call);
    exchange_actor(&x, actor, "steps");
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}
