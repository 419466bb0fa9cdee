#include "actor/isolate/engine.h"

#include <dlfcn.h>
#include <malloc.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <JavaScriptCore/JavaScript.h>
#include <jsc/jsc.h>

#include "actor/isolate/engine_own.h"
#include "base/invariant.h"
#include "base/mem.h"

enum { POLL_FDS_MAX = 16, WAIT_MS_MAX = 1 << 30 };

struct engine {
    JSContextGroupRef group;
    JSGlobalContextRef context;
    JSObjectRef host;    /* protected, until the prelude has it */
    JSClassRef fn_class; /* of host functions */
    JSObjectRef runtime; /* protected; NULL before engine_load */
    JSObjectRef on_fork; /* protected; NULL: there is none */
    JSObjectRef forked;
    JSObjectRef frame;
    JSObjectRef tick;
    JSObjectRef rehearse; /* NULL: it has none */
    GMainContext *loop;   /* timers of the engine itself, asynchronous WebAssembly */
    void (*allocator_suspend)(void);
    void (*allocator_resume)(void);
    void (*allocator_give_back)(void);
    void (*collect_now)(JSContextRef);
    char text[ENGINE_TEXT_BYTES];
};

/* A host function's object points at one of these. */
struct binding {
    engine_host_fn *fn;
    void *context;
};

/* Exported by the library but in no header of it: looked for at run time, so that an update that drops one
 * costs that one alone. */
static void *private_symbol(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

/* Failures */

static void append_property(struct engine *e, struct buf *b, JSValueRef value, const char *name)
{
    if (!JSValueIsObject(e->context, value)) {
        return;
    }
    JSStringRef key = JSStringCreateWithUTF8CString(name);
    JSValueRef member = JSObjectGetProperty(e->context, (JSObjectRef)(uintptr_t)value, key, NULL);
    JSStringRelease(key);
    if (member == NULL || JSValueIsUndefined(e->context, member)) {
        return;
    }
    JSStringRef string = JSValueToStringCopy(e->context, member, NULL);
    if (string != NULL) {
        buf_append_byte(b, ' ');
        engine_append_text(b, string);
        JSStringRelease(string);
    }
}

static enum err fail(struct engine *e, JSValueRef exception)
{
    struct buf b = {0};
    JSStringRef string = JSValueToStringCopy(e->context, exception, NULL);
    if (string != NULL) {
        engine_append_text(&b, string);
        JSStringRelease(string);
    }
    append_property(e, &b, exception, "sourceURL");
    append_property(e, &b, exception, "line");
    append_property(e, &b, exception, "stack");
    (void)snprintf(e->text, sizeof e->text, "%.*s", (int)b.len, (const char *)b.data);
    buf_done(&b);
    static const char no_memory[] = "RangeError: Out of memory";
    return strncmp(e->text, no_memory, strlen(no_memory)) == 0 ? ERR_NO_MEMORY : ERR_FORMAT;
}

static enum err fail_with(struct engine *e, const char *text)
{
    (void)snprintf(e->text, sizeof e->text, "%s", text);
    return ERR_FORMAT;
}

const char *engine_text(const struct engine *e)
{
    return e->text;
}

static void collect(struct engine *e)
{
    if (e->collect_now != NULL) {
        e->collect_now(e->context);
    } else {
        JSGarbageCollect(e->context); /* at its leisure */
    }
}

/* Host functions */

static JSValueRef call_host(JSContextRef context, JSObjectRef function, JSObjectRef this_object,
                            size_t count, const JSValueRef arguments[], JSValueRef *exception)
{
    (void)this_object;
    struct binding *binding = JSObjectGetPrivate(function);
    PRE(binding != NULL);
    JSValueRef thrown = NULL;
    struct engine_call call = {
        .context = context, .count = count, .arguments = arguments, .exception = &thrown};
    binding->fn(&call, binding->context);
    if (thrown != NULL) {
        *exception = thrown;
    }
    return call.result != NULL && thrown == NULL ? call.result : JSValueMakeUndefined(context);
}

/* evaluate(source, url): the value of a script; what it throws passes through. */
static void host_evaluate(struct engine_call *c, void *context)
{
    (void)context;
    if (c->count < 1 || !JSValueIsString(c->context, c->arguments[0])) {
        engine_throw(c, "TypeError", "a string is expected");
        return;
    }
    JSStringRef source = JSValueToStringCopy(c->context, c->arguments[0], c->exception);
    if (source == NULL) {
        return;
    }
    JSStringRef url =
        c->count > 1 ? JSValueToStringCopy(c->context, c->arguments[1], c->exception) : NULL;
    if (*c->exception == NULL) {
        c->result = JSEvaluateScript(c->context, source, NULL, url, 1, c->exception);
    }
    JSStringRelease(source);
    if (url != NULL) {
        JSStringRelease(url);
    }
}

/* onRejection(fn): fn(promise, reason) for each promise that is rejected with nobody to handle it.
 * Tells whether the engine can. */
static void host_on_rejection(struct engine_call *c, void *context)
{
    struct engine *e = context;
    void (*set_callback)(JSGlobalContextRef, JSObjectRef, JSValueRef *) =
        (void (*)(JSGlobalContextRef, JSObjectRef, JSValueRef *))private_symbol(
            "JSGlobalContextSetUnhandledRejectionCallback");
    if (c->count < 1 || !JSValueIsObject(c->context, c->arguments[0])) {
        engine_throw(c, "TypeError", "a function is expected");
        return;
    }
    if (set_callback != NULL) {
        set_callback(e->context, (JSObjectRef)(uintptr_t)c->arguments[0], c->exception);
    }
    engine_return_bool(c, set_callback != NULL);
}

/* collect(): all garbage, twice, since what dies in the first round may have held more. */
static void host_collect(struct engine_call *c, void *context)
{
    (void)c;
    collect(context);
    collect(context);
}

static void set_member(struct engine *e, JSObjectRef object, const char *name, JSValueRef value)
{
    JSStringRef key = JSStringCreateWithUTF8CString(name);
    JSObjectSetProperty(e->context, object, key, value, kJSPropertyAttributeNone, NULL);
    JSStringRelease(key);
}

void engine_host_add(struct engine *e, const struct engine_host *hosts, size_t count, void *context)
{
    PRE(e->host != NULL);
    for (size_t i = 0; i < count; i++) {
        struct binding *binding = MEM_NEW(struct binding); /* as long as the engine */
        *binding = (struct binding){.fn = hosts[i].fn, .context = context};
        set_member(e, e->host, hosts[i].name, JSObjectMake(e->context, e->fn_class, binding));
    }
}

/* The engine */

static bool set_options(bool has_jit)
{
    /* No threads of its own: a fork copies the calling one alone. */
    return jsc_options_set_boolean("useConcurrentGC", FALSE) &&
           jsc_options_set_boolean("useConcurrentJIT", FALSE) &&
           jsc_options_set_uint("numberOfGCMarkers", 1) &&
           (has_jit || jsc_options_set_boolean("useJIT", FALSE));
}

struct engine *engine_new(bool has_jit)
{
    if (!set_options(has_jit)) {
        return NULL;
    }
    struct engine *e = MEM_NEW(struct engine);
    /* The engine puts its timers into the context that is the thread's when it starts. */
    e->loop = g_main_context_new();
    g_main_context_push_thread_default(e->loop);
    /* Parts of the engine rely on it, but the interface in C leaves it out. */
    void (*initialize_main_thread)(void) =
        (void (*)(void))private_symbol("_ZN3WTF20initializeMainThreadEv");
    if (initialize_main_thread != NULL) {
        initialize_main_thread();
    }
    e->group = JSContextGroupCreate();
    e->context = JSGlobalContextCreateInGroup(e->group, NULL);

    JSClassDefinition definition = kJSClassDefinitionEmpty;
    definition.className = "Function";
    definition.callAsFunction = call_host;
    e->fn_class = JSClassCreate(&definition);
    e->host = JSObjectMake(e->context, NULL, NULL);
    JSValueProtect(e->context, e->host);
    static const struct engine_host own[] = {
        {"evaluate", host_evaluate},
        {"onRejection", host_on_rejection},
        {"collect", host_collect},
    };
    engine_host_add(e, own, sizeof own / sizeof own[0], e);
    set_member(e, JSContextGetGlobalObject(e->context), "__host", e->host);

    e->allocator_suspend = (void (*)(void))private_symbol("pas_scavenger_suspend");
    e->allocator_resume = (void (*)(void))private_symbol("pas_scavenger_resume");
    e->collect_now =
        (void (*)(JSContextRef))private_symbol("JSSynchronousGarbageCollectForDebugging");
    e->allocator_give_back = (void (*)(void))private_symbol("pas_scavenger_run_synchronously_now");
    return e;
}

static enum err evaluate(struct engine *e, struct slice source, const char *url, JSValueRef *ret)
{
    JSStringRef source_string = engine_string(source);
    JSStringRef url_string = JSStringCreateWithUTF8CString(url);
    JSValueRef exception = NULL;
    *ret = JSEvaluateScript(e->context, source_string, NULL, url_string, 1, &exception);
    JSStringRelease(source_string);
    JSStringRelease(url_string);
    return exception == NULL ? ERR_OK : fail(e, exception);
}

enum err engine_run(struct engine *e, struct slice source, const char *url)
{
    JSValueRef value;
    return evaluate(e, source, url, &value);
}

/* NULL where the runtime has no such function. */
static JSObjectRef runtime_function(struct engine *e, const char *name)
{
    JSStringRef key = JSStringCreateWithUTF8CString(name);
    JSValueRef value = JSObjectGetProperty(e->context, e->runtime, key, NULL);
    JSStringRelease(key);
    if (value == NULL || !JSValueIsObject(e->context, value) ||
        !JSObjectIsFunction(e->context, (JSObjectRef)(uintptr_t)value)) {
        return NULL;
    }
    JSValueProtect(e->context, value);
    return (JSObjectRef)(uintptr_t)value;
}

static enum err call_runtime(struct engine *e, JSObjectRef function, JSValueRef argument,
                             JSValueRef *ret)
{
    PRE(function != NULL);
    JSValueRef exception = NULL;
    *ret = JSObjectCallAsFunction(e->context, function, e->runtime, argument != NULL, &argument,
                                  &exception);
    return exception == NULL ? ERR_OK : fail(e, exception);
}

enum err engine_on_fork(struct engine *e, struct slice source, const char *url)
{
    PRE(e->on_fork == NULL);
    JSValueRef value = NULL;
    enum err err = evaluate(e, source, url, &value);
    if (err != ERR_OK) {
        return err;
    }
    if (!JSValueIsObject(e->context, value)) {
        return fail_with(e, "the script's value is no function");
    }
    e->on_fork = (JSObjectRef)(uintptr_t)value;
    JSValueProtect(e->context, value);
    JSValueRef result; /* compiled now, not in each child */
    return call_runtime(e, e->on_fork, NULL, &result);
}

enum err engine_load(struct engine *e, struct slice source, const char *url)
{
    PRE(e->runtime == NULL);
    JSValueRef value = NULL;
    enum err err = evaluate(e, source, url, &value);
    if (err != ERR_OK) {
        return err;
    }
    if (!JSValueIsObject(e->context, value)) {
        return fail_with(e, "the prelude's value is no object");
    }
    e->runtime = (JSObjectRef)(uintptr_t)value;
    JSValueProtect(e->context, e->runtime);
    e->forked = runtime_function(e, "forked");
    e->frame = runtime_function(e, "frame");
    e->tick = runtime_function(e, "tick");
    e->rehearse = runtime_function(e, "rehearse");
    if (e->forked == NULL || e->frame == NULL || e->tick == NULL) {
        return fail_with(e, "the prelude's value lacks a function");
    }
    JSValueUnprotect(e->context, e->host);
    e->host = NULL;
    return ERR_OK;
}

enum err engine_forked(struct engine *e)
{
    JSValueRef result;
    return call_runtime(e, e->forked, NULL, &result);
}

enum err engine_frame(struct engine *e, struct slice frame, struct buf *large)
{
    JSValueRef exception = NULL;
    JSObjectRef bytes = large->data != NULL ? engine_bytes_of(e->context, large, &exception)
                                            : engine_bytes(e->context, frame, &exception);
    if (bytes == NULL) {
        return fail(e, exception);
    }
    JSValueRef result;
    return call_runtime(e, e->frame, bytes, &result);
}

enum err engine_tick(struct engine *e, double now_ms, double *ret_wait_ms)
{
    JSValueRef result = NULL;
    enum err err = call_runtime(e, e->tick, JSValueMakeNumber(e->context, now_ms), &result);
    if (err != ERR_OK) {
        return err;
    }
    if (!JSValueIsNumber(e->context, result)) {
        return fail_with(e, "tick gave no number");
    }
    *ret_wait_ms = JSValueToNumber(e->context, result, NULL);
    return ERR_OK;
}

enum err engine_rehearse(struct engine *e, bool *ret_done)
{
    JSValueRef result = NULL;
    enum err err = e->rehearse != NULL ? call_runtime(e, e->rehearse, NULL, &result) : ERR_OK;
    *ret_done = result == NULL || !JSValueToBoolean(e->context, result);
    return err;
}

static int poll_ms(double wait_ms, int engine_ms)
{
    int ms = isnan(wait_ms) || wait_ms < 0 ? 0 : wait_ms > WAIT_MS_MAX ? -1 : (int)ceil(wait_ms);
    return ms < 0 || (engine_ms >= 0 && engine_ms < ms) ? engine_ms : ms;
}

bool engine_wait(struct engine *e, int fd, double wait_ms)
{
    GPollFD fds[POLL_FDS_MAX] = {{.fd = fd, .events = G_IO_IN}};
    gint priority = 0;
    gint engine_ms = -1;
    (void)g_main_context_prepare(e->loop, &priority);
    int count = g_main_context_query(e->loop, priority, &engine_ms, fds + 1, POLL_FDS_MAX - 1);
    INVARIANT(count < POLL_FDS_MAX);
    /* A signal ends the wait as if time had passed; the loop comes back. */
    int ready = g_poll(fds, (guint)count + 1, poll_ms(wait_ms, engine_ms));
    if (g_main_context_check(e->loop, priority, fds + 1, count)) {
        g_main_context_dispatch(e->loop);
    }
    return ready > 0 && fds[0].revents != 0;
}

void engine_before_fork(struct engine *e)
{
    if (e->allocator_suspend != NULL) {
        e->allocator_suspend();
    }
}

enum err engine_after_fork(struct engine *e)
{
    if (e->allocator_resume != NULL) {
        e->allocator_resume();
    }
    JSValueRef result;
    return e->on_fork == NULL ? ERR_OK : call_runtime(e, e->on_fork, NULL, &result);
}

void engine_collect(struct engine *e)
{
    collect(e);
    engine_give_back(e);
}

void engine_give_back(struct engine *e)
{
    /* libc as well. It joins its free blocks now, and sorts them with the next large one, rather than in
     * each child. */
    enum { LARGE_BYTES = 512 * 1024 };
    (void)malloc_trim(0);
    mem_free(mem_alloc(LARGE_BYTES));
    if (e->allocator_give_back != NULL) {
        e->allocator_give_back();
    }
}
