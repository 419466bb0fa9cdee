/* How the memory of a body grows while nobody has said how long it will be. Each step may copy all that
 * has come, so there are few of them, however small the pieces. */
#include "base/mem.h"
#include "tests/lib/test.h"
#include "tests/unit/http2_world.h"

enum {
    PIECE_BYTES = 50,
    PIECES = 6000,  /* the limit's 300 000 bytes */
    STEPS_MAX = 24, /* doubled from a piece to 64 KB, then by half, and cut to size in the end */
};

static struct slice piece_of(size_t i)
{
    static char piece[PIECE_BYTES + 1];
    (void)snprintf(piece, sizeof piece, "%0*zu", PIECE_BYTES, i);
    return slice_of_str(piece);
}

static void expect_whole(struct slice body)
{
    assert_int_equal(body.len, PIECES * PIECE_BYTES);
    for (size_t i = 0; i < PIECES; i++) {
        assert_memory_equal(body.data + i * PIECE_BYTES, piece_of(i).data, PIECE_BYTES);
    }
}

static void a_body_of_many_small_chunks_grows_in_few_steps(void **state)
{
    (void)state;
    struct http_callee one;
    http_callee_init(&one, &limits);
    http_callee_recv(&one,
                     SLICE("PUT /k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    mem_fail_after(STEPS_MAX);
    for (size_t i = 0; i < PIECES; i++) {
        http_callee_recv(&one, SLICE("32\r\n"));
        http_callee_recv(&one, piece_of(i));
        http_callee_recv(&one, SLICE("\r\n"));
    }
    http_callee_recv(&one, SLICE("0\r\n\r\n"));
    mem_fail_after(-1);
    expect_whole(bytes_slice(http_exchange_request(http_callee_open(&one, 0))->body));
    http_callee_respond(&one, 204, NULL);
    http_callee_done(&one);
}

static void a_body_of_many_small_frames_grows_in_few_steps(void **state)
{
    (void)state;
    int32_t id = http2_client_request(&client, "PUT", "/k", NULL, 0, true, piece_of(0));
    stream(id)->holds = true;
    mem_fail_after(STEPS_MAX);
    http2_client_pump(&client);
    for (size_t i = 1; i < PIECES; i++) {
        http2_client_send_more(&client, id, piece_of(i), i == PIECES - 1);
        http2_client_pump(&client);
    }
    mem_fail_after(-1);
    expect_whole(bytes_slice(http_exchange_request(http_callee_open(&world, 0))->body));
    http_callee_respond(&world, 204, NULL);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 204);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

TEST_MAIN(T(a_body_of_many_small_chunks_grows_in_few_steps),
          T(a_body_of_many_small_frames_grows_in_few_steps))
