/* The world of the HTTP/2 tests: one connection with small limits, and a client that has said
 * hello. */
#ifndef TESTS_UNIT_HTTP2_WORLD_H
#define TESTS_UNIT_HTTP2_WORLD_H

#include "tests/lib/http2_client.h"
#include "tests/lib/http_callee.h"

extern struct http_callee world;
extern struct http2_client client;
extern struct http_limits limits;

int open_world(void **state);
int close_world(void **state);
void open_client(void); /* once more, after close_world */

struct http2_client_stream *stream(int32_t id);
bool contains(struct slice text, const char *part);
void tick_after(uint64_t ms);

/* Another request is answered as if nothing had been. */
void expect_alive(void);
/* The connection ends with this code, and nobody's request stays behind. */
void expect_death(uint32_t code);

/* A frame written past the client's session. */
void raw(uint8_t type, uint8_t flags, int32_t id, struct slice payload);
/* One literal field, without indexing and without Huffman. */
void put_field(struct buf *block, const char *name, const char *value);

#endif
