#include "rpc/peer_name.h"

#include "tests/lib/test.h"

static void a_name_is_read_as_it_is_written(void **state)
{
    (void)state;
    static const char *const uris[] = {"dormouse://a", "dormouse://0123456789abcdef/node/1",
                                       "dormouse://a-b/node/4294967295",
                                       "dormouse://abcdefghijklmnopqrstuvwxyz012345/node/1000000"};
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        struct peer_name name;
        char uri[PEER_NAME_BYTES];
        expect_err(peer_name_parse(slice_of_str(uris[i]), &name), ERR_OK);
        peer_name_format(&name, uri);
        assert_string_equal(uri, uris[i]);
    }
    struct peer_name name;
    expect_err(peer_name_parse(SLICE("dormouse://c/node/7"), &name), ERR_OK);
    assert_string_equal(name.cluster, "c");
    assert_int_equal(name.node, 7);
}

static void what_is_not_exactly_a_name_is_refused(void **state)
{
    (void)state;
    static const char *const uris[] = {
        "",
        "dormouse://",
        "dormouse:///node/1",
        "http://c/node/1",
        "DORMOUSE://c/node/1",
        "dormouse://C/node/1",
        "dormouse://c/node/",
        "dormouse://c/node/0",
        "dormouse://c/node/01",
        "dormouse://c/node/+1",
        "dormouse://c/node/ 1",
        "dormouse://c/node/1 ",
        "dormouse://c/node/1/",
        "dormouse://c/node/1x",
        "dormouse://c/node/4294967296",
        "dormouse://c/node/18446744073709551617",
        "dormouse://c/Node/1",
        "dormouse://c/",
        "dormouse://c/1",
        "dormouse://c.d/node/1",
        "dormouse://abcdefghijklmnopqrstuvwxyz0123456/node/1",
    };
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        struct peer_name name = {.node = 99};
        expect_err(peer_name_parse(slice_of_str(uris[i]), &name), ERR_BAD_REQUEST);
        assert_int_equal(name.node, 99);
    }
}

TEST_MAIN(cmocka_unit_test(a_name_is_read_as_it_is_written),
          cmocka_unit_test(what_is_not_exactly_a_name_is_refused))
