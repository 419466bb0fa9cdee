#include "tests/unit/http2_world.h"

#include "tests/lib/test.h"

struct http_callee world;
struct http2_client client;
struct http_limits limits;

void open_client(void)
{
    http_callee_init(&world, &limits);
    http2_client_init(&client, &world);
    http2_client_pump(&client);
}

int open_world(void **state)
{
    (void)state;
    limits = http_limits_default;
    limits.header_bytes_max = 4096;
    limits.header_count_max = 20;
    limits.target_bytes_max = 64;
    limits.body_bytes_max = 300 * 1000;
    limits.streams_max = 20;
    limits.stream_bytes_max = 1000;
    open_client();
    return 0;
}

int close_world(void **state)
{
    (void)state;
    http_callee_done(&world);
    http2_client_done(&client);
    return 0;
}

bool contains(struct slice text, const char *part)
{
    return memmem(text.data, text.len, part, strlen(part)) != NULL;
}

struct http2_client_stream *stream(int32_t id)
{
    return http2_client_stream(&client, id);
}

void tick_after(uint64_t ms)
{
    world.now_ms += ms;
    http_conn_tick(world.conn, world.now_ms);
}

void expect_alive(void)
{
    size_t before = world.request_count;
    int32_t id = http2_client_get(&client, "/alive");
    http2_client_pump(&client);
    assert_int_equal(world.request_count, before + 1);
    while (world.open_count > 0) {
        http_callee_respond(&world, 200, "yes");
    }
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 200);
    assert_false(client.got_goaway);
}

/* The connection ends with this code, and nobody's request stays behind. */
void expect_death(uint32_t code)
{
    http2_client_receive(&client);
    assert_true(client.got_goaway);
    assert_int_equal(client.goaway_code, code);
    assert_true(http_conn_wants_close(world.conn));
    assert_int_equal(world.open_count, 0);
}

void raw(uint8_t type, uint8_t flags, int32_t id, struct slice payload)
{
    http2_client_raw(&client, type, flags, id, payload);
}

void put_field(struct buf *block, const char *name, const char *value)
{
    buf_append_byte(block, 0x00);
    buf_append_byte(block, (uint8_t)strlen(name));
    buf_append_str(block, name);
    buf_append_byte(block, (uint8_t)strlen(value));
    buf_append_str(block, value);
}
