/* Attacks with HTTP/1.1, and with connections that say nothing. */
#include "tests/lib/attack.h"

enum {
    PIPELINED = 64, /* requests sent at a time */
    HEADER_BYTES = 60 * 1024,
    HEADER_LINE_BYTES = 1000,
    ACTORS = 5000,
    BODY_BYTES = 13 * 1000 * 1000,
    BODY_PIECE_BYTES = 64 * 1024,
};

static void say(struct assailant *a, const char *text)
{
    buf_append_str(&a->out, text);
}

static void drip(struct assailant *a)
{
    buf_append_byte(&a->out, 'x');
    attack_did(a, 1);
}

/* Connections */

static void did_open(struct assailant *a)
{
    attack_did(a, 1);
}

static void open_and_go(struct assailant *a)
{
    attack_did(a, 1);
    a->is_finished = true;
}

static void ask_once(struct assailant *a)
{
    say(a, "GET " ATTACK_LARGE_PATH " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    attack_did(a, 1);
}

/* Header sections */

static void begin_head(struct assailant *a)
{
    say(a, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
}

static void fill_header(struct assailant *a, size_t bytes)
{
    for (size_t at = 0; at + HEADER_LINE_BYTES <= bytes; at += HEADER_LINE_BYTES) {
        say(a, "X-Fat: ");
        memset(buf_extend(&a->out, HEADER_LINE_BYTES - 9), 'f', HEADER_LINE_BYTES - 9);
        say(a, "\r\n");
    }
}

static void begin_fat_head(struct assailant *a)
{
    say(a, "GET / HTTP/1.1\r\nHost: localhost\r\n");
    fill_header(a, HEADER_BYTES);
    say(a, "X-Slow: ");
}

static void huge_head(struct assailant *a)
{
    say(a, "GET / HTTP/1.1\r\nHost: localhost\r\n");
    fill_header(a, 200 * 1000);
    say(a, "\r\n");
    attack_did(a, 1);
}

static void head_of_many_fields(struct assailant *a)
{
    say(a, "GET / HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 5000; i++) {
        say(a, "a: b\r\n");
    }
    say(a, "\r\n");
    attack_did(a, 1);
}

/* The largest that is let in, as fast as it can. */
static void fat_requests(struct assailant *a)
{
    say(a, "GET /v1/attack/Store/small/kv/k HTTP/1.1\r\nHost: localhost\r\n");
    fill_header(a, HEADER_BYTES);
    say(a, "\r\n");
    attack_did(a, 1);
}

/* Bodies */

static void begin_body(struct assailant *a)
{
    buf_printf(&a->out,
               "PUT /v1/attack/Store/a%u/kv/k HTTP/1.1\r\nHost: localhost\r\n"
               "Content-Length: %d\r\n\r\n",
               a->number, BODY_BYTES);
}

static void fill_body(struct assailant *a)
{
    if (a->step < BODY_BYTES / BODY_PIECE_BYTES - 1) {
        a->step++;
        memset(buf_extend(&a->out, BODY_PIECE_BYTES), ' ', BODY_PIECE_BYTES);
        attack_did(a, BODY_PIECE_BYTES);
    }
}

static void begin_chunks(struct assailant *a)
{
    say(a, "PUT /v1/attack/Store/chunks/kv/k HTTP/1.1\r\nHost: localhost\r\n"
           "Transfer-Encoding: chunked\r\n\r\n");
}

static void tiny_chunks(struct assailant *a)
{
    for (int i = 0; i < 1000; i++) {
        say(a, "1\r\n \r\n");
    }
    attack_did(a, 1000);
}

/* JSON that is dear to read: a million small numbers. */
static void dear_json(struct assailant *a)
{
    enum { NUMBERS = 500 * 1000 };
    buf_printf(&a->out,
               "PUT /v1/attack/Store/json%u/kv/k HTTP/1.1\r\nHost: localhost\r\n"
               "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n[",
               a->number % 16, 2 * NUMBERS + 1);
    for (int i = 1; i < NUMBERS; i++) {
        say(a, "1,");
    }
    say(a, "1]");
    attack_did(a, 1);
}

/* A map nested as deep as it goes, keys without end, escapes: the largest text there may be. */
static void dear_text(struct assailant *a)
{
    enum { ESCAPES = 2 * 1000 * 1000 };
    buf_printf(&a->out,
               "PUT /v1/attack/Store/text%u/kv/k HTTP/1.1\r\nHost: localhost\r\n"
               "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n\"",
               a->number % 16, 6 * ESCAPES + 2);
    for (int i = 0; i < ESCAPES; i++) {
        say(a, "\\u0041");
    }
    say(a, "\"");
    attack_did(a, 1);
}

/* Requests */

static void pipelined(struct assailant *a, const char *path)
{
    for (int i = 0; i < PIPELINED; i++) {
        buf_printf(&a->out, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    }
    attack_did(a, PIPELINED);
}

static void pipelined_gets(struct assailant *a)
{
    pipelined(a, "/v1/attack/Store/small/kv/k");
}

static void pipelined_large_gets(struct assailant *a)
{
    pipelined(a, ATTACK_LARGE_PATH);
}

/* As JSON they are dear to show. */
static void dear_gets(struct assailant *a)
{
    pipelined(a, ATTACK_DEAR_PATH);
}

static void pipelined_lists(struct assailant *a)
{
    pipelined(a, "/admin/v1/namespaces/attack/actors?limit=1000");
}

static void pipelined_puts(struct assailant *a)
{
    for (int i = 0; i < PIPELINED; i++) {
        buf_printf(&a->out,
                   "PUT /v1/attack/Store/a%u/kv/k HTTP/1.1\r\nHost: localhost\r\n"
                   "Content-Length: 10\r\n\r\n\"12345678\"",
                   (a->number * PIPELINED * 7 + a->step++) % ACTORS);
    }
    attack_did(a, PIPELINED);
}

static void watch(struct assailant *a)
{
    buf_printf(&a->out,
               "GET /v1/attack/Store/a%u/watch?values=true HTTP/1.1\r\nHost: localhost\r\n\r\n",
               a->number % ACTORS);
    attack_did(a, 1);
}

static void rubbish(struct assailant *a)
{
    for (int i = 0; i < 1000; i++) {
        buf_append_u64(&a->out, 0x9e3779b97f4a7c15U * (a->number + a->step++ + 1));
    }
    attack_did(a, 1);
}

const struct attack attacks_http1[] = {
    {.name = "idle", .connections = 10000, .stays_closed = true, .begin = did_open},
    {.name = "idle-again", .connections = 10000, .begin = did_open},
    {.name = "idle-after-a-request", .connections = 10000, .stays_closed = true, .begin = ask_once},
    {.name = "connects", .connections = 500, .begin = open_and_go},
    {.name = "slow-headers",
     .connections = 10000,
     .pace_ms = 500,
     .begin = begin_head,
     .go_on = drip},
    {.name = "slow-fat-headers",
     .connections = 4000,
     .pace_ms = 500,
     .begin = begin_fat_head,
     .go_on = drip},
    {.name = "huge-headers", .connections = 100, .go_on = huge_head},
    {.name = "many-headers", .connections = 100, .go_on = head_of_many_fields},
    {.name = "fat-requests", .connections = 100, .go_on = fat_requests},
    {.name = "slow-bodies",
     .connections = 10000,
     .pace_ms = 500,
     .begin = begin_body,
     .go_on = drip},
    {.name = "slow-fat-bodies", .connections = 500, .begin = begin_body, .go_on = fill_body},
    {.name = "tiny-chunks", .connections = 100, .begin = begin_chunks, .go_on = tiny_chunks},
    {.name = "dear-json", .connections = 20, .go_on = dear_json},
    {.name = "dear-text", .connections = 20, .go_on = dear_text},
    {.name = "dear-gets", .connections = 20, .go_on = dear_gets},
    {.name = "pipelining", .connections = 100, .go_on = pipelined_gets},
    {.name = "pipelining-deaf",
     .connections = 1000,
     .is_deaf = true,
     .go_on = pipelined_large_gets},
    {.name = "pipelining-large", .connections = 100, .go_on = pipelined_large_gets},
    {.name = "pipelining-lists", .connections = 100, .go_on = pipelined_lists},
    {.name = "pipelining-writes", .connections = 100, .go_on = pipelined_puts},
    {.name = "watches-deaf", .connections = 4000, .is_deaf = true, .begin = watch},
    {.name = "rubbish", .connections = 100, .go_on = rubbish},
    {0},
};
