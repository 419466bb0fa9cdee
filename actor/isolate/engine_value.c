/* Arguments and results of host functions. */
#include <string.h>

#include "actor/isolate/engine_own.h"
#include "actor/isolate/text.h"
#include "base/invariant.h"
#include "base/mem.h"

/* Strings up to so many units take the engine's own conversion, over a buffer of three bytes a unit. */
enum { SHORT_UNITS = 4096 };

JSStringRef engine_string(struct slice utf8)
{
    struct buf units = {0};
    if (text_is_ascii(utf8) &&
        memchr(utf8.data == NULL ? (const uint8_t *)"" : utf8.data, '\0', utf8.len) == NULL) {
        /* This way the string has one byte a character. */
        buf_append_slice(&units, utf8);
        buf_append_byte(&units, '\0');
        JSStringRef string = JSStringCreateWithUTF8CString((const char *)units.data);
        buf_done(&units);
        return string;
    }
    size_t count = 0;
    bool is_converted = text_to_utf16(utf8, false, &units, &count);
    INVARIANT(is_converted);
    JSStringRef string = JSStringCreateWithCharacters((const JSChar *)(void *)units.data, count);
    buf_done(&units);
    return string;
}

/* The engine's conversion stops at a lone surrogate without a sign: its result is believed only where
 * it is ASCII of the right length. */
static bool append_short_ascii(struct buf *b, JSStringRef string, size_t count)
{
    if (count > SHORT_UNITS) {
        return false;
    }
    size_t room = JSStringGetMaximumUTF8CStringSize(string);
    buf_reserve(b, room);
    size_t written = JSStringGetUTF8CString(string, (char *)b->data + b->len, room);
    if (written != count + 1 || !text_is_ascii(slice_of(b->data + b->len, count))) {
        return false;
    }
    b->len += count;
    return true;
}

void engine_append_text(struct buf *b, JSStringRef string)
{
    size_t count = JSStringGetLength(string);
    if (count > 0 && !append_short_ascii(b, string, count)) {
        text_append_utf8(b, JSStringGetCharactersPtr(string), count);
    }
}

JSValueRef engine_error(JSContextRef context, const char *name, const char *text)
{
    JSStringRef message_string = JSStringCreateWithUTF8CString(text);
    JSStringRef name_string = JSStringCreateWithUTF8CString(name);
    JSValueRef message = JSValueMakeString(context, message_string);
    JSValueRef exception = NULL;
    JSObjectRef global = JSContextGetGlobalObject(context);
    JSValueRef constructor = JSObjectGetProperty(context, global, name_string, &exception);
    JSObjectRef error = NULL;
    if (exception == NULL && JSValueIsObject(context, constructor)) {
        error = JSObjectCallAsConstructor(context, (JSObjectRef)(uintptr_t)constructor, 1, &message,
                                          &exception);
    }
    JSStringRelease(message_string);
    JSStringRelease(name_string);
    return error != NULL && exception == NULL ? error : message;
}

void engine_throw(struct engine_call *c, const char *name, const char *text)
{
    *c->exception = engine_error(c->context, name, text);
}

bool engine_has_thrown(const struct engine_call *c)
{
    return *c->exception != NULL;
}

size_t engine_arg_count(const struct engine_call *c)
{
    return c->count;
}

static bool refuse(struct engine_call *c, const char *text)
{
    engine_throw(c, "TypeError", text);
    return false;
}

static bool bytes_of_buffer(struct engine_call *c, JSObjectRef object, uint8_t **ret_data,
                            size_t *ret_len)
{
    *ret_data = JSObjectGetArrayBufferBytesPtr(c->context, object, c->exception);
    *ret_len = JSObjectGetArrayBufferByteLength(c->context, object, c->exception);
    return *c->exception == NULL;
}

static bool bytes_of_value(struct engine_call *c, JSValueRef value, uint8_t **ret_data,
                           size_t *ret_len)
{
    JSTypedArrayType type = value != NULL
                                ? JSValueGetTypedArrayType(c->context, value, c->exception)
                                : kJSTypedArrayTypeNone;
    if (type == kJSTypedArrayTypeNone) {
        return refuse(c, "bytes are expected");
    }
    JSObjectRef object = (JSObjectRef)(uintptr_t)value;
    if (type == kJSTypedArrayTypeArrayBuffer) {
        return bytes_of_buffer(c, object, ret_data, ret_len);
    }
    /* The pointer is that of the whole buffer, whatever part of it the array shows. */
    uint8_t *data = JSObjectGetTypedArrayBytesPtr(c->context, object, c->exception);
    size_t offset = JSObjectGetTypedArrayByteOffset(c->context, object, c->exception);
    size_t len = JSObjectGetTypedArrayByteLength(c->context, object, c->exception);
    if (*c->exception != NULL) {
        return false;
    }
    if (data == NULL && len > 0) {
        return refuse(c, "the bytes are detached");
    }
    *ret_data = data == NULL ? NULL : data + offset;
    *ret_len = len;
    return true;
}

bool engine_arg_bytes(struct engine_call *c, size_t at, uint8_t **ret_data, size_t *ret_len)
{
    return bytes_of_value(c, at < c->count ? c->arguments[at] : NULL, ret_data, ret_len);
}

bool engine_arg_bytes_list(struct engine_call *c, size_t at, struct slice *ret, size_t max,
                           size_t *ret_count)
{
    if (at >= c->count || !JSValueIsArray(c->context, c->arguments[at])) {
        return refuse(c, "an array of bytes is expected");
    }
    JSObjectRef array = (JSObjectRef)(uintptr_t)c->arguments[at];
    size_t count = 0;
    for (; count < max; count++) {
        JSValueRef item =
            JSObjectGetPropertyAtIndex(c->context, array, (unsigned)count, c->exception);
        if (item == NULL || JSValueIsUndefined(c->context, item)) {
            break;
        }
        uint8_t *data = NULL;
        if (!bytes_of_value(c, item, &data, &ret[count].len)) {
            return false;
        }
        ret[count].data = data;
    }
    *ret_count = count;
    return *c->exception == NULL;
}

bool engine_arg_is_null(const struct engine_call *c, size_t at)
{
    return at >= c->count || JSValueIsNull(c->context, c->arguments[at]) ||
           JSValueIsUndefined(c->context, c->arguments[at]);
}

bool engine_arg_number(struct engine_call *c, size_t at, double *ret)
{
    if (at >= c->count || !JSValueIsNumber(c->context, c->arguments[at])) {
        return refuse(c, "a number is expected");
    }
    *ret = JSValueToNumber(c->context, c->arguments[at], c->exception);
    return *c->exception == NULL;
}

bool engine_arg_text(struct engine_call *c, size_t at, struct buf *ret)
{
    if (at >= c->count || !JSValueIsString(c->context, c->arguments[at])) {
        return refuse(c, "a string is expected");
    }
    JSStringRef string = JSValueToStringCopy(c->context, c->arguments[at], c->exception);
    if (string == NULL) {
        return false;
    }
    engine_append_text(ret, string);
    JSStringRelease(string);
    return true;
}

bool engine_arg_bool(const struct engine_call *c, size_t at)
{
    return at < c->count && JSValueToBoolean(c->context, c->arguments[at]);
}

void engine_return_number(struct engine_call *c, double number)
{
    c->result = JSValueMakeNumber(c->context, number);
}

void engine_return_bool(struct engine_call *c, bool value)
{
    c->result = JSValueMakeBoolean(c->context, value);
}

void engine_return_bytes(struct engine_call *c, struct slice bytes)
{
    c->result = engine_bytes(c->context, bytes, c->exception);
}

void engine_return_buf(struct engine_call *c, struct buf *bytes)
{
    c->result = engine_bytes_of(c->context, bytes, c->exception);
}

void engine_return_bytes_list(struct engine_call *c, const struct buf *items, size_t count)
{
    enum { ITEMS_MAX = 16 };
    JSValueRef arrays[ITEMS_MAX];
    PRE(count <= ITEMS_MAX);
    for (size_t i = 0; i < count; i++) {
        arrays[i] = engine_bytes(c->context, buf_slice(&items[i]), c->exception);
        if (arrays[i] == NULL) {
            return;
        }
    }
    c->result = JSObjectMakeArray(c->context, count, arrays, c->exception);
}

void engine_return_text(struct engine_call *c, struct slice utf8, bool is_fatal)
{
    JSStringRef string;
    if (is_fatal && !text_is_ascii(utf8)) {
        struct buf units = {0};
        size_t count = 0;
        bool is_text = text_to_utf16(utf8, true, &units, &count);
        string = is_text ? JSStringCreateWithCharacters((const JSChar *)(void *)units.data, count)
                         : NULL;
        buf_done(&units);
    } else {
        string = engine_string(utf8);
    }
    if (string == NULL) {
        (void)refuse(c, "The encoded data was not valid utf-8");
        return;
    }
    c->result = JSValueMakeString(c->context, string);
    JSStringRelease(string);
}

JSObjectRef engine_bytes(JSContextRef context, struct slice bytes, JSValueRef *exception)
{
    JSObjectRef array =
        JSObjectMakeTypedArray(context, kJSTypedArrayTypeUint8Array, bytes.len, exception);
    if (array == NULL || bytes.len == 0) {
        return array;
    }
    void *at = JSObjectGetTypedArrayBytesPtr(context, array, exception);
    if (at == NULL) {
        return NULL;
    }
    memcpy(at, bytes.data, bytes.len);
    return array;
}

static void free_bytes(void *bytes, void *context)
{
    (void)context;
    mem_free(bytes);
}

JSObjectRef engine_bytes_of(JSContextRef context, struct buf *bytes, JSValueRef *exception)
{
    struct buf own = buf_take(bytes);
    if (own.len == 0) {
        buf_done(&own);
        return engine_bytes(context, SLICE(""), exception);
    }
    /* On failure the engine has freed them. */
    return JSObjectMakeTypedArrayWithBytesNoCopy(context, kJSTypedArrayTypeUint8Array, own.data,
                                                 own.len, free_bytes, NULL, exception);
}
