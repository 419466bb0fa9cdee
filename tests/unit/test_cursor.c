#include "node/cursor.h"

#include "tests/lib/storage.h"
#include "tests/lib/test.h"

enum { KEY_BYTES_MAX = 480 };

static struct buf cursor_of(struct slice key)
{
    struct buf text = {0};
    cursor_encode(key, &text);
    return text;
}

static void a_cursor_gives_back_the_key_it_was_made_of(void **state)
{
    (void)state;
    uint64_t seed = 5;
    uint8_t key[KEY_BYTES_MAX];
    for (size_t len = 1; len <= KEY_BYTES_MAX; len += 1 + test_below(&seed, 7)) {
        for (size_t i = 0; i < len; i++) {
            key[i] = (uint8_t)test_next(&seed);
        }
        struct buf text = cursor_of(slice_of(key, len));
        struct bytes *decoded;
        expect_err(cursor_decode(buf_slice(&text), &decoded), ERR_OK);
        expect_slice(bytes_slice(decoded), slice_of(key, len));
        bytes_unref(decoded);
        buf_done(&text);
    }
}

/* It goes into a query as it is. */
static void a_cursor_needs_no_escapes(void **state)
{
    (void)state;
    struct buf text = cursor_of(SLICE("key/with?all&of=them\xff\xfe"));
    for (size_t i = 0; i < text.len; i++) {
        char c = (char)text.data[i];
        assert_non_null(
            strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", c));
    }
    buf_done(&text);
}

static void a_cursor_that_was_changed_or_cut_is_refused(void **state)
{
    (void)state;
    struct buf text = cursor_of(SLICE("some key"));
    struct bytes *decoded;
    for (size_t len = 0; len < text.len; len++) {
        expect_err(cursor_decode(slice_of(text.data, len), &decoded), ERR_BAD_REQUEST);
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t was = text.data[i];
        text.data[i] = was == 'A' ? 'B' : 'A';
        expect_err(cursor_decode(buf_slice(&text), &decoded), ERR_BAD_REQUEST);
        text.data[i] = was;
    }
    buf_append_byte(&text, 'A');
    expect_err(cursor_decode(buf_slice(&text), &decoded), ERR_BAD_REQUEST);
    buf_done(&text);
}

static void a_cursor_of_nothing_is_refused(void **state)
{
    (void)state;
    struct buf text = cursor_of(SLICE(""));
    struct bytes *decoded;
    expect_err(cursor_decode(buf_slice(&text), &decoded), ERR_BAD_REQUEST);
    expect_err(cursor_decode(SLICE("nonsense"), &decoded), ERR_BAD_REQUEST);
    buf_done(&text);
}

TEST_MAIN(cmocka_unit_test(a_cursor_gives_back_the_key_it_was_made_of),
          cmocka_unit_test(a_cursor_needs_no_escapes),
          cmocka_unit_test(a_cursor_that_was_changed_or_cut_is_refused),
          cmocka_unit_test(a_cursor_of_nothing_is_refused))
