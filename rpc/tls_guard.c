#include "rpc/tls_guard.h"

enum { RECORD_HANDSHAKE = 22 };

/* Collects a header of `whole` bytes; true once it is there. */
static bool collect(uint8_t *header, uint8_t *has, size_t whole, struct slice *in)
{
    while (*has < whole && in->len > 0) {
        header[(*has)++] = in->data[0];
        *in = slice_skip(*in, 1);
    }
    return *has == whole;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void skip(struct tls_guard *g, struct slice *body)
{
    size_t n = min_size(body->len, g->message_left);
    g->message_left -= (uint32_t)n;
    *body = slice_skip(*body, n);
}

/* The body of a handshake record, or a part of it. */
static bool pass_body(struct tls_guard *g, struct slice body)
{
    skip(g, &body);
    while (body.len > 0 && collect(g->message, &g->message_has, sizeof g->message, &body)) {
        g->message_has = 0;
        g->message_left =
            (uint32_t)g->message[1] << 16 | (uint32_t)g->message[2] << 8 | (uint32_t)g->message[3];
        if (g->message_left > TLS_GUARD_MESSAGE_BYTES_MAX) {
            return false;
        }
        skip(g, &body);
    }
    return true;
}

bool tls_guard_pass(struct tls_guard *g, struct slice in)
{
    while (in.len > 0 && !g->is_done) {
        if (g->record_left == 0) {
            if (!collect(g->record, &g->record_has, sizeof g->record, &in)) {
                return true;
            }
            g->record_has = 0;
            g->record_left = (uint16_t)(g->record[3] << 8 | g->record[4]);
            g->is_done = g->record[0] != RECORD_HANDSHAKE;
            continue;
        }
        size_t n = min_size(in.len, g->record_left);
        if (!pass_body(g, slice_of(in.data, n))) {
            return false;
        }
        g->record_left = (uint16_t)(g->record_left - n);
        in = slice_skip(in, n);
    }
    return true;
}
