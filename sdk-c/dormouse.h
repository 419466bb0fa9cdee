/* Dormouse from C: a blocking client.
 *
 *     struct dormouse_options options = {.url = "http://127.0.0.1:7420"};
 *     struct dormouse *d;
 *     struct dormouse_error error;
 *     struct dormouse_actor actor = {"app", "Store", "user/42"};
 *     if (dormouse_new(&options, &d, &error) != DORMOUSE_OK) ...
 *     if (dormouse_put(d, &actor, "name", DORMOUSE_JSON, "\"Ada\"", 5, NULL, &version, &error) ...
 *     dormouse_free(d);
 *
 * Handles. One thread uses a handle at a time; different handles are independent of each other.
 * A handle keeps its connections open between calls.
 *
 * Results. Every call returns DORMOUSE_OK or what went wrong; the last parameter, which may be NULL,
 * is then filled in. Results (`ret_...`, which may not be NULL unless said) are written on success
 * only. Each result says who releases it. Strings that go in stay the caller's. Structs of options
 * are zero-initialised by the caller; NULL means all defaults. Memory that runs out ends the process.
 *
 * Retries. Within its deadline a call is repeated after a pause that doubles, with jitter, where an
 * error says that it helps (`retryable`) and where it is safe: a reading call always; a writing one
 * because it carries an Idempotency-Key, so that however often it arrives it acts once. The key is
 * made by itself unless the call brings one. Without a key (`no_idempotency_key`) a writing call is
 * repeated only after answers that say that nothing was done. An error that comes back is the last
 * one, with `maybe_applied` where any of the attempts may have been.
 *
 * Any call may return, besides what its comment names:
 *     DORMOUSE_INVALID_ARGUMENT, DORMOUSE_INVALID_ID  refused here, nothing was sent
 *     DORMOUSE_UNREACHABLE, DORMOUSE_TIMEOUT, DORMOUSE_UNTRUSTED, DORMOUSE_PROTOCOL
 *     DORMOUSE_UNAUTHENTICATED, DORMOUSE_FORBIDDEN
 *     DORMOUSE_RATE_LIMITED, DORMOUSE_OVERLOADED, DORMOUSE_UNAVAILABLE, DORMOUSE_INTERNAL
 * and a writing one also DORMOUSE_STORAGE_FULL, DORMOUSE_TOO_LARGE, DORMOUSE_IDEMPOTENCY_MISMATCH. */
#ifndef DORMOUSE_H
#define DORMOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DORMOUSE_API __attribute__((visibility("default")))
#else
#define DORMOUSE_API
#endif

/* ---- errors ---- */

/* The API's codes by name, then those made here. Numbers never change; new ones come at the end. */
enum dormouse_code {
    DORMOUSE_OK = 0,
    DORMOUSE_NOT_MODIFIED = 1, /* dormouse_get with unless_version: that is still the version */

    DORMOUSE_BAD_REQUEST = 10,
    DORMOUSE_INVALID_ID = 11,
    DORMOUSE_INVALID_VALUE = 12,
    DORMOUSE_INVALID_CODE = 13,
    DORMOUSE_UNAUTHENTICATED = 14,
    DORMOUSE_FORBIDDEN = 15,
    DORMOUSE_NOT_FOUND = 16, /* no such route: mostly an older server */
    DORMOUSE_NO_SUCH_KEY = 17,
    DORMOUSE_NO_SUCH_CLASS = 18,
    DORMOUSE_NO_SUCH_METHOD = 19,
    DORMOUSE_NO_SUCH_TIMER = 20,
    DORMOUSE_NO_SUCH_STEP = 21,
    DORMOUSE_METHOD_NOT_ALLOWED = 22,
    DORMOUSE_CONFLICT = 23, /* a check of the transaction failed: error.failed */
    DORMOUSE_LEASE_LOST = 24,
    DORMOUSE_VERSION_MISMATCH = 25, /* if_version or if_absent did not hold */
    DORMOUSE_TOO_LARGE = 26,
    DORMOUSE_UNSUPPORTED_MEDIA_TYPE = 27,
    DORMOUSE_IDEMPOTENCY_MISMATCH = 28,
    DORMOUSE_RATE_LIMITED = 29,
    DORMOUSE_OVERLOADED = 30,
    DORMOUSE_HEADERS_TOO_LARGE = 31,
    DORMOUSE_ACTOR_EXCEPTION = 32,
    DORMOUSE_INTERNAL = 33,
    DORMOUSE_NOT_IMPLEMENTED = 34,
    DORMOUSE_UNAVAILABLE = 35,
    DORMOUSE_TIMEOUT = 36, /* the deadline passed, there (http_status 504) or here (0) */
    DORMOUSE_STORAGE_FULL = 37,
    DORMOUSE_OTHER = 38, /* a code that is newer than this list: error.code has it */
    DORMOUSE_NO_SUCH_TOKEN = 39,
    DORMOUSE_NO_SUCH_MEMBER = 40,
    DORMOUSE_NO_SUCH_DEPLOYMENT = 41,
    DORMOUSE_NO_SUCH_SECRET = 42,

    DORMOUSE_UNREACHABLE = 100,      /* no connection, or it broke before the answer's end */
    DORMOUSE_UNTRUSTED = 101,        /* no TLS, or a certificate that does not verify */
    DORMOUSE_PROTOCOL = 102,         /* the answer is not what the API promises */
    DORMOUSE_INVALID_ARGUMENT = 103, /* refused here, nothing was sent */
};

struct dormouse_error {
    enum dormouse_code kind;
    int http_status;    /* 0: there was no answer */
    char code[48];      /* as the API spells it, "version_mismatch"; or of the last group above */
    char detail[256];   /* one sentence for people; may be empty */
    bool retryable;     /* the same request may succeed later */
    bool maybe_applied; /* the write may have happened, in this attempt or an earlier one */
    int64_t retry_after_ms; /* the server's wish; -1: none */
    int64_t failed;         /* DORMOUSE_CONFLICT: index of the check in "if"; else -1 */
    char name[64];          /* DORMOUSE_ACTOR_EXCEPTION: of what the class threw; else "" */
    char stack[2048];       /* likewise: where, perhaps cut; else "" */
    char file[256]; /* DORMOUSE_INVALID_CODE: where the code is wrong; "": it was not said */
    int64_t line;   /* from 1 on; 0: it was not said */
    int64_t column;
};

/* "version_mismatch"; static. */
DORMOUSE_API const char *dormouse_code_name(enum dormouse_code code);

DORMOUSE_API const char *dormouse_version(void); /* of this library; static */

/* ---- handles ---- */

struct dormouse;

struct dormouse_options {
    const char *url;      /* "http://host:port" or "https://..."; NULL: http://127.0.0.1:7420 */
    const char *token;    /* NULL: none */
    const char *ca_file;  /* certificates to trust, PEM; NULL: the system's */
    uint32_t deadline_ms; /* of a call, all its attempts together; 0: 30 000 */
    bool http2;           /* with prior knowledge; with TLS by negotiation. Default: HTTP/1.1 */
    bool no_retries;      /* one attempt for each call */
};

/* DORMOUSE_INVALID_ARGUMENT: the URL is not one, or has more than scheme, host and port; the token
 * has control characters. Connects to nobody yet. Release with dormouse_free. */
DORMOUSE_API enum dormouse_code dormouse_new(const struct dormouse_options *options,
                                             struct dormouse **ret_handle,
                                             struct dormouse_error *ret_error);
DORMOUSE_API void dormouse_free(struct dormouse *d); /* NULL is fine */

/* An address: namespace [a-z0-9][a-z0-9-]{0,62}, class [A-Za-z][A-Za-z0-9_]{0,62}, id 1 to 512
 * bytes of UTF-8, slashes and all, not percent-encoded. */
struct dormouse_actor {
    const char *ns;
    const char *class_name;
    const char *id;
};

/* How one call is made. Fields that a call has no use for are ignored. */
struct dormouse_call {
    uint32_t deadline_ms;        /* 0: the handle's */
    const char *idempotency_key; /* writing calls: 1 to 255 visible ASCII; NULL: made by itself */
    bool no_idempotency_key;     /* writing calls: send none */
    uint64_t if_version;         /* put, delete: only if the entry has this version; 0: any */
    bool if_absent;              /* put: only if there is no such entry */
    uint64_t unless_version;     /* get: only if the entry has another version; 0: any */
};

enum { DORMOUSE_KEY_BYTES = 33 };

/* A new random Idempotency-Key, closed by NUL. */
DORMOUSE_API void dormouse_make_key(char ret_key[DORMOUSE_KEY_BYTES]);

/* ---- documents: what calls answer that have no struct of their own ---- */

/* A document holds one JSON value, parsed, with all inside. It is immutable. */
struct dormouse_doc;

/* A value inside a document; valid while the document is. Pass it by value. */
struct dormouse_node {
    const unsigned char *data; /* NULL: not there; every reader takes it and finds nothing */
    size_t bytes;
};

enum dormouse_type {
    DORMOUSE_ABSENT,
    DORMOUSE_NULL,
    DORMOUSE_BOOL,
    DORMOUSE_INT,   /* a whole number, -2^63 to 2^64-1 */
    DORMOUSE_FLOAT, /* any other */
    DORMOUSE_TEXT,
    DORMOUSE_ARRAY,
    DORMOUSE_MAP,
    DORMOUSE_SPECIAL, /* what JSON shows as {"$bytes":...}, {"$date":...} and so on */
};

/* DORMOUSE_INVALID_ARGUMENT: not JSON. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_doc_parse(const char *json, size_t bytes,
                                                   struct dormouse_doc **ret_doc,
                                                   struct dormouse_error *ret_error);
DORMOUSE_API void dormouse_doc_free(struct dormouse_doc *doc); /* NULL is fine */
DORMOUSE_API struct dormouse_node dormouse_doc_root(const struct dormouse_doc *doc);

DORMOUSE_API enum dormouse_type dormouse_node_type(struct dormouse_node node);
DORMOUSE_API size_t dormouse_node_count(struct dormouse_node node); /* of an array or map */

/* The member of a map, or an absent node. */
DORMOUSE_API struct dormouse_node dormouse_node_member(struct dormouse_node map, const char *name);

/* The items of an array, the entries of a map:
 *     for (struct dormouse_walk w = dormouse_node_walk(node); dormouse_walk_next(&w);) w.value ... */
struct dormouse_walk {
    const char *key; /* of a map's entry; not closed by NUL; NULL in an array */
    size_t key_bytes;
    struct dormouse_node value;
    struct dormouse_node rest;
    size_t left;
    bool is_map;
};
DORMOUSE_API struct dormouse_walk dormouse_node_walk(struct dormouse_node node);
DORMOUSE_API bool dormouse_walk_next(struct dormouse_walk *walk);

/* The value, or `otherwise` where the node is of another type or the number does not fit. */
DORMOUSE_API bool dormouse_node_bool(struct dormouse_node node, bool otherwise);
DORMOUSE_API int64_t dormouse_node_int(struct dormouse_node node, int64_t otherwise);
/* The bytes of a text; NULL where it is none. Not closed by NUL; NUL may be inside. */
DORMOUSE_API const char *dormouse_node_text(struct dormouse_node node, size_t *ret_bytes);

/* As JSON, closed by NUL; `ret_bytes` (may be NULL) is without it. Release with
 * dormouse_text_free. "null" for an absent node. */
DORMOUSE_API char *dormouse_node_json(struct dormouse_node node, size_t *ret_bytes);
DORMOUSE_API void dormouse_text_free(char *text); /* NULL is fine */

/* ---- keys and values ---- */

enum dormouse_format {
    DORMOUSE_JSON = 0,
    DORMOUSE_BYTES = 1,
    DORMOUSE_MSGPACK = 2,
    DORMOUSE_AS_STORED = 3, /* get: DORMOUSE_BYTES where bytes are stored, else DORMOUSE_JSON */
};

struct dormouse_value {
    enum dormouse_format format;
    unsigned char *data; /* closed by a NUL that `bytes` does not count */
    size_t bytes;
    uint64_t version;
};

/* DORMOUSE_NO_SUCH_KEY, DORMOUSE_NOT_MODIFIED (ret_value is not written); with DORMOUSE_BYTES
 * DORMOUSE_PROTOCOL where no bytes are stored. Release with dormouse_value_done. */
DORMOUSE_API enum dormouse_code dormouse_get(struct dormouse *d, const struct dormouse_actor *actor,
                                             const char *key, enum dormouse_format format,
                                             const struct dormouse_call *call,
                                             struct dormouse_value *ret_value,
                                             struct dormouse_error *ret_error);
DORMOUSE_API void dormouse_value_done(struct dormouse_value *value);

/* DORMOUSE_BAD_REQUEST or DORMOUSE_INVALID_VALUE: not JSON, or not a value; DORMOUSE_VERSION_MISMATCH.
 * `ret_version` may be NULL. */
DORMOUSE_API enum dormouse_code dormouse_put(struct dormouse *d, const struct dormouse_actor *actor,
                                             const char *key, enum dormouse_format format,
                                             const void *data, size_t bytes,
                                             const struct dormouse_call *call,
                                             uint64_t *ret_version,
                                             struct dormouse_error *ret_error);

/* DORMOUSE_VERSION_MISMATCH. A key that is not there is no error: `ret_existed`, may be NULL. */
DORMOUSE_API enum dormouse_code dormouse_delete(struct dormouse *d,
                                                const struct dormouse_actor *actor, const char *key,
                                                const struct dormouse_call *call, bool *ret_existed,
                                                struct dormouse_error *ret_error);

struct dormouse_range {
    const char *prefix;      /* NULL: any */
    const char *start;       /* this key and later ones; NULL: from the first */
    const char *start_after; /* later keys than this; NULL: from the first */
    const char *end;         /* earlier keys than this; NULL: to the last */
    uint64_t limit;          /* entries in all; 0: no limit */
    uint32_t page;           /* entries for one request, 1 to 1000; 0: the server's choice */
    bool reverse;
    bool keys_only;
};

struct dormouse_entry {
    const char *key; /* closed by NUL; NUL may be inside */
    size_t key_bytes;
    const char *value; /* JSON, closed by NUL; NULL with keys_only */
    size_t value_bytes;
    uint64_t version;
};

/* Walks the entries page by page; each page is consistent in itself. The handle and `actor` with
 * its strings must outlive the list, the range need not. Asks nobody yet. Release with
 * dormouse_list_free. The deadline of `call` (which is copied) is that of each page. */
struct dormouse_list;
DORMOUSE_API enum dormouse_code
dormouse_list_new(struct dormouse *d, const struct dormouse_actor *actor,
                  const struct dormouse_range *range, const struct dormouse_call *call,
                  struct dormouse_list **ret_list, struct dormouse_error *ret_error);
/* The next entry, valid until the next call on this list; NULL after the last. After an error the
 * same page may be asked for again. DORMOUSE_BAD_REQUEST: the range. */
DORMOUSE_API enum dormouse_code dormouse_list_next(struct dormouse_list *list,
                                                   const struct dormouse_entry **ret_entry,
                                                   struct dormouse_error *ret_error);
DORMOUSE_API void dormouse_list_free(struct dormouse_list *list); /* NULL is fine */

/* A transaction, {"if":[...],"do":[...]}, and its answer {"committed","version","results"}.
 * DORMOUSE_CONFLICT with error.failed, DORMOUSE_BAD_REQUEST, DORMOUSE_INVALID_VALUE. Results over
 * 1 MiB need no_idempotency_key. Release the document with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_txn(struct dormouse *d, const struct dormouse_actor *actor,
                                             const char *json, size_t bytes,
                                             const struct dormouse_call *call,
                                             struct dormouse_doc **ret_doc,
                                             struct dormouse_error *ret_error);

/* ---- the actor itself ---- */

/* {"namespace","class","id","exists","state","shard","owner","version","keys","bytes","alarm"}; wakes
 * nobody. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_actor_info(struct dormouse *d,
                                                    const struct dormouse_actor *actor,
                                                    const struct dormouse_call *call,
                                                    struct dormouse_doc **ret_doc,
                                                    struct dormouse_error *ret_error);

/* All state of the actor goes. One that does not exist is no error. */
DORMOUSE_API enum dormouse_code dormouse_actor_delete(struct dormouse *d,
                                                      const struct dormouse_actor *actor,
                                                      const struct dormouse_call *call,
                                                      struct dormouse_error *ret_error);

DORMOUSE_API enum dormouse_code dormouse_actor_hibernate(struct dormouse *d,
                                                         const struct dormouse_actor *actor,
                                                         const struct dormouse_call *call,
                                                         struct dormouse_error *ret_error);

/* ---- timers ---- */

/* Sets a timer as the JSON says ({"in":5000}, {"cron":"0 9 * * 1-5","tz":"Europe/Berlin"} ...).
 * DORMOUSE_BAD_REQUEST: the timer. `ret_doc`, may be NULL: the timer; dormouse_doc_free. */
DORMOUSE_API enum dormouse_code
dormouse_timer_put(struct dormouse *d, const struct dormouse_actor *actor, const char *name,
                   const char *json, size_t bytes, const struct dormouse_call *call,
                   struct dormouse_doc **ret_doc, struct dormouse_error *ret_error);

/* DORMOUSE_NO_SUCH_TIMER. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code
dormouse_timer_get(struct dormouse *d, const struct dormouse_actor *actor, const char *name,
                   const struct dormouse_call *call, struct dormouse_doc **ret_doc,
                   struct dormouse_error *ret_error);

/* {"timers":[...]}. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_timer_list(struct dormouse *d,
                                                    const struct dormouse_actor *actor,
                                                    const struct dormouse_call *call,
                                                    struct dormouse_doc **ret_doc,
                                                    struct dormouse_error *ret_error);

DORMOUSE_API enum dormouse_code
dormouse_timer_delete(struct dormouse *d, const struct dormouse_actor *actor, const char *name,
                      const struct dormouse_call *call, struct dormouse_error *ret_error);

/* ---- steps of a worker's own run ---- */

enum dormouse_step_state {
    DORMOUSE_STEP_RUN,    /* the caller runs it now: lease, attempt */
    DORMOUSE_STEP_DONE,   /* it has finished: result is its output */
    DORMOUSE_STEP_BUSY,   /* another runs it, or a retry is not due: retry_after_ms */
    DORMOUSE_STEP_FAILED, /* it has failed for good: result is its error */
};

struct dormouse_step {
    enum dormouse_step_state state;
    int64_t attempt;
    char *lease;  /* or NULL */
    char *result; /* JSON, or NULL */
    int64_t retry_after_ms;
};

/* `input`: JSON closed by NUL, or NULL. Release with dormouse_step_done. A repeat with the same
 * Idempotency-Key answers the same lease, so do not reuse keys for further attempts. */
DORMOUSE_API enum dormouse_code
dormouse_step_begin(struct dormouse *d, const struct dormouse_actor *actor, const char *name,
                    uint64_t lease_ms, const char *input, const struct dormouse_call *call,
                    struct dormouse_step *ret_step, struct dormouse_error *ret_error);
DORMOUSE_API void dormouse_step_done(struct dormouse_step *step);

/* These end the attempt, or prolong it: DORMOUSE_LEASE_LOST, DORMOUSE_NO_SUCH_STEP,
 * DORMOUSE_INVALID_VALUE. JSON texts are closed by NUL; `output` and `error` may be NULL: null. */
DORMOUSE_API enum dormouse_code
dormouse_step_finish(struct dormouse *d, const struct dormouse_actor *actor, const char *name,
                     const char *lease, const char *output, const struct dormouse_call *call,
                     struct dormouse_error *ret_error);
/* retry_in_ms below 0: it has failed for good. */
DORMOUSE_API enum dormouse_code
dormouse_step_fail(struct dormouse *d, const struct dormouse_actor *actor, const char *name,
                   const char *lease, const char *error, int64_t retry_in_ms,
                   const struct dormouse_call *call, struct dormouse_error *ret_error);
DORMOUSE_API enum dormouse_code
dormouse_step_extend(struct dormouse *d, const struct dormouse_actor *actor, const char *name,
                     const char *lease, uint64_t extend_ms, const struct dormouse_call *call,
                     struct dormouse_error *ret_error);

/* {"steps":[...]}. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_step_list(struct dormouse *d,
                                                   const struct dormouse_actor *actor,
                                                   const struct dormouse_call *call,
                                                   struct dormouse_doc **ret_doc,
                                                   struct dormouse_error *ret_error);

/* ---- code ---- */

/* Deploys in the namespace: {"modules":{NAME:SOURCE},"main":NAME}, and where wanted "env", "classes",
 * "bindings", "egress" and "source_maps". The document: {"version","classes":[...]}. Not repeated after an
 * answer that got lost. DORMOUSE_INVALID_CODE, with file, line and column in the error;
 * DORMOUSE_BAD_REQUEST. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_deploy(struct dormouse *d, const char *ns,
                                                const char *json, size_t bytes,
                                                const struct dormouse_call *call,
                                                struct dormouse_doc **ret_doc,
                                                struct dormouse_error *ret_error);

/* What is in force: {"namespace","version","created","main","classes":[{"name","kind","methods"}],
 * "bindings","env":[names],"egress"}. DORMOUSE_NO_SUCH_DEPLOYMENT. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_deployment(struct dormouse *d, const char *ns,
                                                    const struct dormouse_call *call,
                                                    struct dormouse_doc **ret_doc,
                                                    struct dormouse_error *ret_error);

/* {"versions":[{"version","created","classes","bytes","of"}]}, the newest first. Release with
 * dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_versions(struct dormouse *d, const char *ns,
                                                  const struct dormouse_call *call,
                                                  struct dormouse_doc **ret_doc,
                                                  struct dormouse_error *ret_error);

/* Brings a version back, under a new number; 0: the one before that in force. The document:
 * {"version","of","classes"}. Not repeated after an answer that got lost. DORMOUSE_NO_SUCH_DEPLOYMENT.
 * Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_rollback(struct dormouse *d, const char *ns,
                                                  uint64_t version,
                                                  const struct dormouse_call *call,
                                                  struct dormouse_doc **ret_doc,
                                                  struct dormouse_error *ret_error);

/* Calls a method of the actor's class. `json` is an array of its arguments; NULL: none. The document:
 * {"result"}. Carries an Idempotency-Key only where `call` brings one; without one it is repeated only
 * after answers that say that nothing was done. DORMOUSE_NO_SUCH_CLASS, DORMOUSE_NO_SUCH_METHOD,
 * DORMOUSE_ACTOR_EXCEPTION. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code
dormouse_call_method(struct dormouse *d, const struct dormouse_actor *actor, const char *method,
                     const char *json, size_t bytes, const struct dormouse_call *call,
                     struct dormouse_doc **ret_doc, struct dormouse_error *ret_error);

/* Runs code once in a fresh isolate: {"code","input","limits","grants"}. The document: {"result"} or
 * {"error":{"code",...}}, and "logs" and "usage": that the code failed is no error of the call. Likewise
 * an Idempotency-Key only where `call` brings one. DORMOUSE_INVALID_CODE: a syntax error. Release with
 * dormouse_doc_free. */
DORMOUSE_API enum dormouse_code
dormouse_execute(struct dormouse *d, const struct dormouse_actor *actor, const char *json,
                 size_t bytes, const struct dormouse_call *call, struct dormouse_doc **ret_doc,
                 struct dormouse_error *ret_error);

/* What the code of a namespace logs. Texts are borrowed for the time of the callback. */
struct dormouse_log {
    int64_t time_ms;        /* since the epoch */
    const char *class_name; /* "": no class's */
    const char *id;         /* "": no actor's */
    const char *level;      /* "debug", "log", "info", "warn", "error" */
    const char *text;       /* closed by NUL */
    size_t text_bytes;
    struct dormouse_node data; /* all of it */
};

/* False ends it. */
typedef bool (*dormouse_on_log)(void *data, const struct dormouse_log *log);

struct dormouse_logs {
    const char *class_name;         /* NULL: of all classes, and of none */
    const char *id;                 /* NULL: of all actors */
    bool follow;                    /* where the stream ends it is opened again */
    bool (*keep_going)(void *data); /* asked about once a second; false ends it; may be NULL */
    void *data;                     /* of both callbacks */
};

/* Calls back for each line that is logged from now on, until a callback says stop (DORMOUSE_OK), the stream
 * ends (without `follow`, likewise), or an error is final. Where a stream that is followed breaks it is opened again;
 * what was logged meanwhile does not come. Callbacks must not use the handle. */
DORMOUSE_API enum dormouse_code dormouse_follow_logs(struct dormouse *d, const char *ns,
                                                     const struct dormouse_logs *logs,
                                                     dormouse_on_log on_log,
                                                     const struct dormouse_call *call,
                                                     struct dormouse_error *ret_error);

/* ---- watching ---- */

/* Borrowed for the time of the callback. */
struct dormouse_event {
    const char *type; /* "put", "delete", "clear", "reset", "timer", or a newer one */
    const char *id;   /* "<version>.<n>", or "" where the event has none */
    const char *key;  /* closed by NUL; NULL where the event has none */
    size_t key_bytes;
    struct dormouse_node data; /* all of it; a put's value is its member "value" */
    uint64_t version;          /* 0 where the event has none */
};

/* False ends the watch. */
typedef bool (*dormouse_on_event)(void *data, const struct dormouse_event *event);

struct dormouse_watch {
    const char *prefix; /* NULL: any */
    const char *since;  /* a version or an event's id; "0": everything kept; NULL: from now on */
    uint64_t watch_ms;  /* ends by itself after so long; 0: never */
    bool (*keep_going)(
        void *data); /* asked about once a second; false ends the watch; may be NULL */
    void *data;      /* of both callbacks */
};

/* Calls back for each event, in order, until a callback says stop, watch_ms have passed (both
 * DORMOUSE_OK), or an error is final. A stream that breaks is opened again and goes on after the
 * last event, so none is missed; where the server no longer keeps what is missing, a "reset" event
 * and the current state follow. DORMOUSE_UNREACHABLE and its kind come back once there was no
 * stream for the deadline of the call. Callbacks must not use the handle. */
DORMOUSE_API enum dormouse_code
dormouse_watch(struct dormouse *d, const struct dormouse_actor *actor,
               const struct dormouse_watch *watch, dormouse_on_event on_event,
               const struct dormouse_call *call, struct dormouse_error *ret_error);

/* ---- certificates of a cluster, made on this machine ---- */

struct dormouse_certs_options {
    const char *dir;          /* holds the cluster's CA, and a folder for each node */
    uint32_t node_id;         /* from 1 on */
    const char *const *hosts; /* names and addresses for the node's certificate, at most 64 */
    size_t host_count;
    uint32_t days; /* that it lasts, at most 3650; 0: three years */
    bool renew;    /* replaces the node's certificate; else that is an error */
};

struct dormouse_certs_made {
    bool is_new_cluster; /* the CA was made too */
    char cluster[33];    /* its name */
    int64_t expires_ms;  /* of the node's certificate */
};

/* Makes DIR/ca.pem and DIR/ca-key.pem where there are none, and DIR/node-<id>/ with what that node is
 * given as --cluster-certs. Nobody is asked, no handle is needed. DORMOUSE_INVALID_ARGUMENT, with what is
 * wrong and where in `detail`. */
DORMOUSE_API enum dormouse_code dormouse_cluster_certs(const struct dormouse_certs_options *options,
                                                       struct dormouse_certs_made *ret_made,
                                                       struct dormouse_error *ret_error);

/* ---- the cluster ---- */

DORMOUSE_API enum dormouse_code dormouse_health(struct dormouse *d,
                                                const struct dormouse_call *call,
                                                struct dormouse_error *ret_error);

/* DORMOUSE_UNAVAILABLE: not ready; detail has reasons. One attempt. */
DORMOUSE_API enum dormouse_code dormouse_ready(struct dormouse *d, const struct dormouse_call *call,
                                               struct dormouse_error *ret_error);

/* Of the node that answers: its version, and what it says of isolates, code and requests to the outside. Release
 * with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_node_status(struct dormouse *d,
                                                     const struct dormouse_call *call,
                                                     struct dormouse_doc **ret_doc,
                                                     struct dormouse_error *ret_error);

/* {"members":[...],"shards":[...]}. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_cluster(struct dormouse *d,
                                                 const struct dormouse_call *call,
                                                 struct dormouse_doc **ret_doc,
                                                 struct dormouse_error *ret_error);

/* {"token","expires"}: lets one node join, once. ttl_ms 0: an hour. Not repeated after an answer that got
 * lost. DORMOUSE_CONFLICT: the node is in no cluster. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_join_token(struct dormouse *d, uint64_t ttl_ms,
                                                    const struct dormouse_call *call,
                                                    struct dormouse_doc **ret_doc,
                                                    struct dormouse_error *ret_error);

/* Each is DORMOUSE_OK also where it was done before; what follows from it shows in dormouse_cluster.
 * DORMOUSE_NO_SUCH_MEMBER; DORMOUSE_CONFLICT: the node is in no cluster, or no other member could do
 * what this one does. */
DORMOUSE_API enum dormouse_code dormouse_member_drain(struct dormouse *d, uint32_t id,
                                                      const struct dormouse_call *call,
                                                      struct dormouse_error *ret_error);
DORMOUSE_API enum dormouse_code dormouse_member_undrain(struct dormouse *d, uint32_t id,
                                                        const struct dormouse_call *call,
                                                        struct dormouse_error *ret_error);
DORMOUSE_API enum dormouse_code dormouse_member_remove(struct dormouse *d, uint32_t id,
                                                       const struct dormouse_call *call,
                                                       struct dormouse_error *ret_error);

/* A replica of the shard goes from one member to another, and stays there until a balance is asked for;
 * dormouse_cluster shows when it has. DORMOUSE_OK also while the same move is under way.
 * DORMOUSE_NOT_FOUND: no such shard; DORMOUSE_NO_SUCH_MEMBER; DORMOUSE_CONFLICT, with the reason in
 * `detail`: it is there already, or not where it should come from; the taker drains or is down; the shard
 * is changing; the node is in no cluster. */
DORMOUSE_API enum dormouse_code dormouse_shard_move(struct dormouse *d, uint32_t shard,
                                                    uint32_t from, uint32_t to,
                                                    const struct dormouse_call *call,
                                                    struct dormouse_error *ret_error);
/* Replicas that were moved by hand may be moved again: the members get as many as each other. */
DORMOUSE_API enum dormouse_code dormouse_rebalance(struct dormouse *d,
                                                   const struct dormouse_call *call,
                                                   struct dormouse_error *ret_error);

struct dormouse_actor_filter {
    const char *class_name; /* NULL: any */
    const char *prefix;     /* of the id; NULL: any */
    const char *cursor;     /* "next" of the page before; NULL: the first page */
    uint32_t limit;         /* 1 to 1000; 0: the server's choice */
};

/* A page of a namespace's actors: {"actors":[...],"next"}. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_actors(struct dormouse *d, const char *ns,
                                                const struct dormouse_actor_filter *filter,
                                                const struct dormouse_call *call,
                                                struct dormouse_doc **ret_doc,
                                                struct dormouse_error *ret_error);

/* A token: {"namespace","scopes":[...],"actor","ttl_ms"} as JSON, the last two where they are wanted.
 * The document has "token", which is shown this one time, and "id". Not repeated after an answer that
 * got lost: see dormouse_token_list. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_token_create(struct dormouse *d, const char *json,
                                                      size_t bytes,
                                                      const struct dormouse_call *call,
                                                      struct dormouse_doc **ret_doc,
                                                      struct dormouse_error *ret_error);
/* {"tokens":[...]}. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_token_list(struct dormouse *d,
                                                    const struct dormouse_call *call,
                                                    struct dormouse_doc **ret_doc,
                                                    struct dormouse_error *ret_error);
/* DORMOUSE_NO_SUCH_TOKEN also where it was revoked before. */
DORMOUSE_API enum dormouse_code dormouse_token_revoke(struct dormouse *d, const char *id,
                                                      const struct dormouse_call *call,
                                                      struct dormouse_error *ret_error);

/* Secrets of a namespace, by name: what an `inject` rule of egress puts on requests. A value is a string
 * that a header field may have; nobody is shown it again. */
DORMOUSE_API enum dormouse_code dormouse_secret_set(struct dormouse *d, const char *ns,
                                                    const char *name, const char *value,
                                                    size_t bytes, const struct dormouse_call *call,
                                                    struct dormouse_error *ret_error);
/* {"secrets":[{"name","created","updated"}]}. Release with dormouse_doc_free. */
DORMOUSE_API enum dormouse_code dormouse_secret_list(struct dormouse *d, const char *ns,
                                                     const struct dormouse_call *call,
                                                     struct dormouse_doc **ret_doc,
                                                     struct dormouse_error *ret_error);
/* DORMOUSE_NO_SUCH_SECRET also where it was removed before. */
DORMOUSE_API enum dormouse_code dormouse_secret_remove(struct dormouse *d, const char *ns,
                                                       const char *name,
                                                       const struct dormouse_call *call,
                                                       struct dormouse_error *ret_error);

/* ---- anything else ---- */

struct dormouse_header {
    const char *name;
    const char *value;
};

struct dormouse_request {
    const char *method;
    const char *path; /* percent-encoded, with its query, from the first slash on */
    const struct dormouse_header *headers;
    size_t header_count;
    const void *body; /* NULL: none */
    size_t body_bytes;
};

struct dormouse_answer {
    int status;
    unsigned char *body; /* closed by a NUL that body_bytes does not count */
    size_t body_bytes;
    char *headers; /* "name: value" lines, each ended by '\n' */
};

/* One request of any kind, for what has no call of its own. Carries an Idempotency-Key only where
 * `call` brings one; without one, methods other than GET and HEAD are repeated only after answers
 * that say that nothing was done. An answer over 399 is an error, as everywhere. Release with
 * dormouse_answer_done. */
DORMOUSE_API enum dormouse_code dormouse_request(struct dormouse *d,
                                                 const struct dormouse_request *request,
                                                 const struct dormouse_call *call,
                                                 struct dormouse_answer *ret_answer,
                                                 struct dormouse_error *ret_error);
DORMOUSE_API void dormouse_answer_done(struct dormouse_answer *answer);

#ifdef __cplusplus
}
#endif

#endif
