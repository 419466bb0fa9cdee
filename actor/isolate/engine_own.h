/* Of engine*.c alone. */
#ifndef ACTOR_ISOLATE_ENGINE_OWN_H
#define ACTOR_ISOLATE_ENGINE_OWN_H

#include <JavaScriptCore/JavaScript.h>

#include "actor/isolate/engine.h"

struct engine_call {
    JSContextRef context;
    size_t count;
    const JSValueRef *arguments;
    JSValueRef result;
    JSValueRef *exception;
};

JSStringRef engine_string(struct slice utf8);               /* what is malformed is replaced */
void engine_append_text(struct buf *b, JSStringRef string); /* UTF-8 */

/* A Uint8Array: of a copy, or of the bytes themselves, which are taken. NULL with an exception set. */
JSObjectRef engine_bytes(JSContextRef context, struct slice bytes, JSValueRef *exception);
JSObjectRef engine_bytes_of(JSContextRef context, struct buf *bytes, JSValueRef *exception);

JSValueRef engine_error(JSContextRef context, const char *name, const char *text);

#endif
