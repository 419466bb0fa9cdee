#include "storage/group_wire.h"

#include "base/mem.h"
#include "tests/lib/test.h"

#define A (UINT64_C(1) << 32 | 7)
#define B (UINT64_C(2) << 32 | 7)

static struct group_message message(enum group_message_type type)
{
    return (struct group_message){.type = type, .from = A, .to = B, .term = 9};
}

static void put_command(uint64_t term, const char *text, struct buf *to)
{
    struct group_entry e = {.term = term, .type = GROUP_COMMAND, .data = slice_of_str(text)};
    group_wire_put(&e, to);
}

/* One of each type, with something in every field. */
static void encode(enum group_message_type type, struct buf *to)
{
    struct group_message m = message(type);
    struct group_config config = {0};
    struct buf configuration = {0};
    group_config_add(&config, A, GROUP_VOTER);
    group_config_encode(&config, &configuration);
    switch (type) {
    case GROUP_APPEND:
        m.append.previous_index = 41;
        m.append.previous_term = 7;
        m.append.commit = 40;
        m.append.count = 3;
        break;
    case GROUP_APPENDED:
        m.appended.rejected = 41;
        m.appended.last_index = 17;
        break;
    case GROUP_ASK_VOTE:
        m.ask_vote.last_index = 41;
        m.ask_vote.last_term = 8;
        m.ask_vote.pre_vote = true;
        break;
    case GROUP_VOTE:
        m.vote.granted = true;
        break;
    case GROUP_INSTALL:
        m.install.index = 41;
        m.install.term = 8;
        m.install.configuration_index = 12;
        m.install.configuration = buf_slice(&configuration);
        break;
    case GROUP_TIMEOUT_NOW:
        m.timeout_now.last_index = 41;
        m.timeout_now.last_term = 8;
        break;
    case GROUP_PROBE:
    case GROUP_PROVEN:
        m.probe = 77;
        break;
    case GROUP_REST:
    case GROUP_RESTING:
        m.rest.last_index = 41;
        m.rest.round = 5;
        break;
    }
    group_wire_encode(&m, to);
    if (type == GROUP_APPEND) {
        put_command(7, "one", to);
        put_command(9, "two", to);
        struct group_entry e = {
            .term = 9, .type = GROUP_CONFIGURATION, .data = buf_slice(&configuration)};
        group_wire_put(&e, to);
    }
    buf_done(&configuration);
}

static void every_message_comes_back_as_it_was(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct group_message m;
    for (int type = GROUP_APPEND; type <= GROUP_RESTING; type++) {
        buf_clear(&bytes);
        encode((enum group_message_type)type, &bytes);
        expect_err(group_wire_decode(buf_slice(&bytes), &m), ERR_OK);
        assert_int_equal(m.type, type);
        assert_int_equal(m.from, A);
        assert_int_equal(m.to, B);
        assert_int_equal(m.term, 9);
        struct buf again = {0};
        group_wire_encode(&m, &again);
        expect_slice(buf_slice(&again), buf_slice(&bytes));
        buf_done(&again);
    }
    buf_done(&bytes);
}

static void entries_come_back_one_by_one(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct group_message m;
    struct group_entry e;
    encode(GROUP_APPEND, &bytes);
    expect_err(group_wire_decode(buf_slice(&bytes), &m), ERR_OK);
    assert_int_equal(m.append.count, 3);
    struct slice rest = m.append.entries;
    group_wire_next(&rest, &e);
    assert_int_equal(e.term, 7);
    expect_str(e.data, "one");
    group_wire_next(&rest, &e);
    assert_int_equal(e.term, 9);
    expect_str(e.data, "two");
    group_wire_next(&rest, &e);
    assert_int_equal(e.type, GROUP_CONFIGURATION);
    assert_int_equal(rest.len, 0);
    buf_done(&bytes);
}

static void a_message_that_ends_early_or_late_is_refused(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct group_message m;
    for (int type = GROUP_APPEND; type <= GROUP_RESTING; type++) {
        buf_clear(&bytes);
        encode((enum group_message_type)type, &bytes);
        for (size_t len = 0; len < bytes.len; len++) {
            uint8_t *exact = mem_alloc(len + 1);
            memcpy(exact, bytes.data, len);
            expect_err(group_wire_decode(slice_of(exact, len), &m), ERR_CORRUPT);
            mem_free(exact);
        }
        buf_append_byte(&bytes, 0);
        expect_err(group_wire_decode(buf_slice(&bytes), &m), ERR_CORRUPT);
    }
    buf_done(&bytes);
}

static void another_format_is_told_apart_from_damage(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct group_message m;
    encode(GROUP_PROBE, &bytes);
    bytes.data[0] = GROUP_WIRE_FORMAT + 1;
    expect_err(group_wire_decode(buf_slice(&bytes), &m), ERR_FORMAT);
    buf_done(&bytes);
}

static void expect_refused(const struct group_message *m, const struct group_entry *e)
{
    struct buf bytes = {0};
    struct group_message back;
    group_wire_encode(m, &bytes);
    if (e != NULL) {
        group_wire_put(e, &bytes);
    }
    expect_err(group_wire_decode(buf_slice(&bytes), &back), ERR_CORRUPT);
    buf_done(&bytes);
}

static void what_no_replica_says_is_refused(void **state)
{
    (void)state;
    struct group_entry command = {.term = 9, .type = GROUP_COMMAND, .data = SLICE("x")};
    struct group_message m = message(GROUP_APPEND);
    m.append.count = 1;
    m.append.previous_index = 1; /* without its term */
    expect_refused(&m, &command);
    m.append.previous_term = 10; /* above the message's */
    expect_refused(&m, &command);
    m.append.previous_term = 9;
    command.term = 8; /* they fall */
    expect_refused(&m, &command);
    command.term = 10;
    expect_refused(&m, &command);
    command.term = 9;
    m.append.commit = GROUP_INDEX_MAX;
    expect_refused(&m, &command);
    m.append.commit = 0;
    m.append.previous_index = GROUP_INDEX_MAX;
    expect_refused(&m, &command);
    m.append.previous_index = 1;
    command.data.len = 0; /* a command without one */
    expect_refused(&m, &command);
    command = (struct group_entry){.term = 9, .type = GROUP_CONFIGURATION, .data = SLICE("x")};
    expect_refused(&m, &command);
    command = (struct group_entry){.term = 9, .type = (enum group_entry_type)4, .data = SLICE("x")};
    expect_refused(&m, &command);
    m.append.count = 2; /* one is there */
    expect_refused(&m, &command);

    m = message(GROUP_APPENDED);
    m.appended.rejected = 5;
    m.appended.last_index = 5; /* then it would not have rejected it */
    expect_refused(&m, NULL);
    m = message(GROUP_INSTALL); /* of nothing */
    expect_refused(&m, NULL);
    m = message(GROUP_TIMEOUT_NOW);
    m.timeout_now.last_term = 1;
    expect_refused(&m, NULL);
}

TEST_MAIN(cmocka_unit_test(every_message_comes_back_as_it_was),
          cmocka_unit_test(entries_come_back_one_by_one),
          cmocka_unit_test(a_message_that_ends_early_or_late_is_refused),
          cmocka_unit_test(another_format_is_told_apart_from_damage),
          cmocka_unit_test(what_no_replica_says_is_refused))
