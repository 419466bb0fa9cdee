#include "actor/isolate/host.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "actor/isolate/host_crypto.h"
#include "actor/isolate/memory.h"
#include "actor/isolate_control.h"
#include "actor/isolate_frame.h"
#include "base/clock.h"
#include "base/mem.h"

/* send(bytes, length = all, now = false): one frame. It leaves at the end of the turn of the loop, or
 * before the isolate waits for an answer; where `now`, at once. */
static void host_send(struct engine_call *c, void *context)
{
    struct host *h = context;
    uint8_t *data;
    size_t len;
    if (!engine_arg_bytes(c, 0, &data, &len)) {
        return;
    }
    double count = (double)len;
    if (engine_arg_count(c) > 1 && !engine_arg_number(c, 1, &count)) {
        return;
    }
    if (!(count >= 1 && count <= (double)len && count <= FRAME_BYTES_MAX)) {
        engine_throw(c, "RangeError", "a frame has 1 byte to 24 MiB");
        return;
    }
    if (h->channel == NULL) {
        engine_throw(c, "Error", "there is no channel yet");
        return;
    }
    channel_send(h->channel, slice_of(data, (size_t)count));
    if (engine_arg_bool(c, 2)) {
        channel_flush(h->channel);
    }
}

/* receive(): the next frame, waited for. */
static void host_receive(struct engine_call *c, void *context)
{
    struct host *h = context;
    if (h->channel == NULL) {
        engine_throw(c, "Error", "there is no channel yet");
        return;
    }
    channel_flush(h->channel);
    struct slice frame;
    struct buf large = {0};
    enum err err = channel_next(h->channel, &frame, &large);
    while (err == ERR_MORE) {
        err = channel_read(h->channel);
        if (err == ERR_OK) {
            err = channel_next(h->channel, &frame, &large);
        }
    }
    if (err == ERR_CLOSED) {
        _exit(ISOLATE_EXIT_OK); /* nobody is left to answer */
    }
    if (err != ERR_OK) {
        _exit(ISOLATE_EXIT_FRAME);
    }
    if (large.data != NULL) {
        engine_return_buf(c, &large);
    } else {
        engine_return_bytes(c, frame);
    }
}

/* now(): milliseconds of a clock that never goes back, with fractions. */
static void host_now(struct engine_call *c, void *context)
{
    (void)context;
    engine_return_number(c, (double)clock_mono_ns() / 1e6);
}

/* random(bytes): fills them from the kernel. */
static void host_random(struct engine_call *c, void *context)
{
    (void)context;
    uint8_t *data;
    size_t len;
    if (!engine_arg_bytes(c, 0, &data, &len)) {
        return;
    }
    for (size_t at = 0; at < len;) {
        ssize_t n = getrandom(data + at, len - at, 0);
        if (n < 0 && errno != EINTR) {
            engine_throw(c, "Error", "the kernel gives no randomness");
            return;
        }
        at += n > 0 ? (size_t)n : 0;
    }
}

/* encode(string): its UTF-8. */
static void host_encode(struct engine_call *c, void *context)
{
    (void)context;
    struct buf b = {0};
    if (engine_arg_text(c, 0, &b)) {
        engine_return_buf(c, &b);
    }
    buf_done(&b);
}

/* decode(bytes, fatal, ignoreBOM): the text; a TypeError where it is fatal and they are no UTF-8. */
static void host_decode(struct engine_call *c, void *context)
{
    (void)context;
    uint8_t *data;
    size_t len;
    if (!engine_arg_bytes(c, 0, &data, &len)) {
        return;
    }
    struct slice text = slice_of(data, len);
    if (!engine_arg_bool(c, 2) && slice_has_prefix(text, SLICE("\xef\xbb\xbf"))) {
        text = slice_skip(text, 3);
    }
    engine_return_text(c, text, engine_arg_bool(c, 1));
}

/* memory(): bytes of this process that are resident and its own. */
static void host_memory(struct engine_call *c, void *context)
{
    struct host *h = context;
    engine_return_number(c, (double)memory_own_bytes(h->statm_fd));
}

/* exit(code): ends the process; what was sent leaves first. */
static void host_exit(struct engine_call *c, void *context)
{
    struct host *h = context;
    double code = 0;
    if (engine_arg_count(c) > 0 && !engine_arg_number(c, 0, &code)) {
        return;
    }
    if (h->channel == NULL) {
        engine_throw(c, "Error", "the zygote stays");
        return;
    }
    channel_flush(h->channel);
    _exit(code >= 0 && code <= 255 ? (int)code : ISOLATE_EXIT_BUG);
}

void host_add(struct host *h, struct engine *e)
{
    static const struct engine_host functions[] = {
        {"send", host_send},     {"receive", host_receive}, {"now", host_now},
        {"random", host_random}, {"encode", host_encode},   {"decode", host_decode},
        {"memory", host_memory}, {"exit", host_exit},
    };
    engine_host_add(e, functions, sizeof functions / sizeof functions[0], h);
    host_crypto_add(e);
}
