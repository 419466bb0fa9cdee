/* What the C SDK does with code, against a real node: `sdk_code URL http1|http2` deploys a class, calls it, runs code,
 * and looks at each error; `sdk_code URL load SECONDS` calls with keys from several threads, whatever happens to the
 * node, and then looks whether each acted once. Prints what it did; ends with 1 where something is not as it should be. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sdk-c/dormouse.h"

enum { THREADS = 4, DEADLINE_MS = 60000 };

static const char deployment[] = "{\"main\":\"main.js\",\"modules\":{\"main.js\":\""
                                 "import { DurableObject } from 'dormouse';"
                                 "export class Counter extends DurableObject {"
                                 " async increment(by = 1) {"
                                 "  const n = ((await this.ctx.storage.get('n')) ?? 0) + by;"
                                 "  await this.ctx.storage.put('n', n);"
                                 "  return n; }"
                                 " echo(...args) { return args; }"
                                 " fail() { throw new RangeError('too far'); } }\"}}";

static int done_count;

static void expect(bool is_so, const char *what, const struct dormouse_error *error)
{
    if (!is_so) {
        fprintf(stderr, "%s: kind %d, %s, %s\n", what, error->kind, error->code, error->detail);
        exit(1);
    }
    done_count++;
}

static struct dormouse *handle(const char *url, bool http2)
{
    const struct dormouse_options options = {
        .url = url, .http2 = http2, .deadline_ms = DEADLINE_MS};
    struct dormouse *d;
    struct dormouse_error error;
    expect(dormouse_new(&options, &d, &error) == DORMOUSE_OK, "new", &error);
    return d;
}

static void deploy(struct dormouse *d)
{
    struct dormouse_doc *doc;
    struct dormouse_error error;
    enum dormouse_code code =
        dormouse_deploy(d, "sdk", deployment, strlen(deployment), NULL, &doc, &error);
    expect(code == DORMOUSE_OK, "deploy", &error);
    dormouse_doc_free(doc);
}

/* ---- one after the other ---- */

static void expect_call(struct dormouse *d, const struct dormouse_actor *actor, const char *method,
                        const char *arguments, const struct dormouse_call *call, const char *want)
{
    struct dormouse_doc *doc;
    struct dormouse_error error;
    size_t bytes = arguments != NULL ? strlen(arguments) : 0;
    enum dormouse_code code =
        dormouse_call_method(d, actor, method, arguments, bytes, call, &doc, &error);
    expect(code == DORMOUSE_OK, method, &error);
    char *json = dormouse_node_json(dormouse_node_member(dormouse_doc_root(doc), "result"), NULL);
    expect(strcmp(json, want) == 0, json, &error);
    dormouse_text_free(json);
    dormouse_doc_free(doc);
}

static struct dormouse_error failed_call(struct dormouse *d, const struct dormouse_actor *actor,
                                         const char *method, const char *arguments,
                                         enum dormouse_code want)
{
    struct dormouse_doc *doc = NULL;
    struct dormouse_error error;
    enum dormouse_code code =
        dormouse_call_method(d, actor, method, arguments, strlen(arguments), NULL, &doc, &error);
    expect(code == want && error.kind == want && doc == NULL, method, &error);
    return error;
}

static void try_calls(struct dormouse *d)
{
    const struct dormouse_actor counter = {"sdk", "Counter", "a/b"};
    const struct dormouse_call once = {.idempotency_key = "order-17"};
    expect_call(d, &counter, "increment", NULL, NULL, "1");
    expect_call(d, &counter, "increment", "[5]", &once, "6");
    expect_call(d, &counter, "increment", "[5]", &once, "6");
    expect_call(d, &counter, "echo", "[1,-9223372036854775808,{\"$bytes\":\"AP8=\"},{\"$date\":5}]",
                NULL,
                "[1,{\"$bigint\":\"-9223372036854775808\"},{\"$bytes\":\"AP8=\"},{\"$date\":5}]");

    struct dormouse_error error = failed_call(d, &counter, "fail", "[]", DORMOUSE_ACTOR_EXCEPTION);
    expect(strcmp(error.name, "RangeError") == 0 && strcmp(error.detail, "too far") == 0 &&
               strstr(error.stack, "main.js") != NULL && !error.maybe_applied,
           "what the class threw", &error);
    failed_call(d, &counter, "nothing", "[]", DORMOUSE_NO_SUCH_METHOD);
    failed_call(d, &counter, "constructor", "[]", DORMOUSE_NO_SUCH_METHOD);
    failed_call(d, &counter, "echo", "{}", DORMOUSE_BAD_REQUEST);
    const struct dormouse_actor nobody = {"sdk", "Nobody", "a"};
    failed_call(d, &nobody, "echo", "[]", DORMOUSE_NO_SUCH_CLASS);
    const struct dormouse_actor nowhere = {"sdk", "Counter", ".."};
    error = failed_call(d, &nowhere, "echo", "[]", DORMOUSE_INVALID_ID);
    expect(error.http_status == 0, "nothing was sent", &error);
}

/* The member of a run's answer as JSON, which the caller releases. */
static char *execute(struct dormouse *d, const char *run, const char *member)
{
    const struct dormouse_actor actor = {"sdk", "Store", "runs"};
    struct dormouse_doc *doc;
    struct dormouse_error error;
    enum dormouse_code code = dormouse_execute(d, &actor, run, strlen(run), NULL, &doc, &error);
    expect(code == DORMOUSE_OK, run, &error);
    struct dormouse_node root = dormouse_doc_root(doc);
    const char *dot = strchr(member, '.');
    char *json;
    if (dot != NULL) {
        json = dormouse_node_json(
            dormouse_node_member(dormouse_node_member(root, "error"), dot + 1), NULL);
    } else {
        json = dormouse_node_json(dormouse_node_member(root, member), NULL);
    }
    dormouse_doc_free(doc);
    return json;
}

static void expect_run(struct dormouse *d, const char *run, const char *member, const char *want)
{
    struct dormouse_error none = {.kind = DORMOUSE_OK};
    char *json = execute(d, run, member);
    expect(strcmp(json, want) == 0, json, &none);
    dormouse_text_free(json);
}

static void try_runs(struct dormouse *d)
{
    expect_run(d, "{\"code\":\"(n) => n + 1\",\"input\":41}", "result", "42");
    expect_run(d,
               "{\"code\":\"async (v, api) => { await api.storage.put('k', v); return "
               "api.storage.get('k'); }\",\"input\":[1],\"grants\":{\"storage\":\"write\"}}",
               "result", "[1]");
    expect_run(d, "{\"code\":\"() => { throw new Error('no'); }\"}", "error.code", "\"exception\"");
    expect_run(d, "{\"code\":\"() => { for (;;) {} }\",\"limits\":{\"cpu_ms\":50}}", "error.code",
               "\"cpu_exceeded\"");

    static const char wrong[] = "{\"code\":\"() => {\\n  let x = ;\\n}\"}";
    const struct dormouse_actor actor = {"sdk", "Store", "runs"};
    struct dormouse_doc *doc;
    struct dormouse_error error;
    enum dormouse_code code = dormouse_execute(d, &actor, wrong, strlen(wrong), NULL, &doc, &error);
    expect(code == DORMOUSE_INVALID_CODE && error.line == 2, "where code is wrong", &error);
}

/* ---- load ---- */

struct lane {
    pthread_t thread;
    const char *url;
    uint64_t end_ms;
    int number;
    uint64_t acknowledged;
};

static uint64_t call_counter(struct dormouse *d, const struct dormouse_actor *actor,
                             const char *arguments, const char *key)
{
    const struct dormouse_call call = {.idempotency_key = key};
    struct dormouse_doc *doc;
    struct dormouse_error error;
    if (dormouse_call_method(d, actor, "increment", arguments, strlen(arguments), &call, &doc,
                             &error) != DORMOUSE_OK) {
        fprintf(stderr, "a call failed for good: %s, %s\n", error.code, error.detail);
        exit(1);
    }
    struct dormouse_node result = dormouse_node_member(dormouse_doc_root(doc), "result");
    int64_t value = dormouse_node_int(result, -1);
    dormouse_doc_free(doc);
    return (uint64_t)value;
}

static void *run_lane(void *data)
{
    struct lane *lane = data;
    struct dormouse *d = handle(lane->url, lane->number % 2 == 0);
    char id[16];
    snprintf(id, sizeof(id), "lane-%d", lane->number);
    const struct dormouse_actor actor = {"sdk", "Counter", id};
    while (clock_mono_ms() < lane->end_ms) {
        char key[DORMOUSE_KEY_BYTES];
        dormouse_make_key(key);
        uint64_t value = call_counter(d, &actor, "[1]", key);
        lane->acknowledged++;
        if (value != lane->acknowledged) {
            fprintf(stderr, "%s is %" PRIu64 " after %" PRIu64 " calls\n", id, value,
                    lane->acknowledged);
            exit(1);
        }
    }
    dormouse_free(d);
    return NULL;
}

static void load(const char *url, uint64_t seconds)
{
    struct lane lanes[THREADS];
    uint64_t sum = 0;
    for (int i = 0; i < THREADS; i++) {
        lanes[i] = (struct lane){
            .url = url, .end_ms = clock_mono_ms() + seconds * UINT64_C(1000), .number = i};
        if (pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]) != 0) {
            exit(1);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(lanes[i].thread, NULL);
        sum += lanes[i].acknowledged;
    }
    printf("%" PRIu64 " calls\n", sum);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        return 2;
    }
    bool is_load = strcmp(argv[2], "load") == 0;
    struct dormouse *d = handle(argv[1], strcmp(argv[2], "http2") == 0);
    deploy(d);
    if (is_load) {
        puts("deployed"); /* kills may begin */
        fflush(stdout);
        load(argv[1], argc > 3 ? strtoul(argv[3], NULL, 10) : 1);
    } else {
        try_calls(d);
        try_runs(d);
        printf("%d as they should be\n", done_count);
    }
    dormouse_free(d);
    return 0;
}
