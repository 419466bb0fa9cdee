#include "node/exposure.h"

#include "tests/lib/test.h"

enum { DETAIL_BYTES = 256 };

static enum err check(const char *host, bool has_tls, bool has_tokens, const char *part)
{
    char detail[DETAIL_BYTES] = "";
    enum err err = exposure_check(host, has_tls, has_tokens, detail, sizeof detail);
    if (strstr(detail, part) == NULL) {
        fail_msg("%s: \"%s\" without \"%s\"", host, detail, part);
    }
    return err;
}

static void this_machine_alone_needs_nothing(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        expect_err(check(hosts[i], false, false, ""), ERR_OK);
    }
}

static void beyond_it_a_node_needs_tls_and_tokens(void **state)
{
    (void)state;
    static const char *const hosts[] = {"0.0.0.0",
                                        "::",
                                        "10.0.0.1",
                                        "128.0.0.1",
                                        "::2",
                                        "",
                                        "localhost",
                                        "example.com",
                                        "127.0.0.1.evil.de",
                                        "127.1",
                                        "::ffff:127.0.0.1"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        expect_err(check(hosts[i], false, false, "needs TLS (--tls-cert and --tls-key) and tokens"),
                   ERR_BAD_REQUEST);
        expect_err(check(hosts[i], true, false, "needs tokens"), ERR_BAD_REQUEST);
        expect_err(check(hosts[i], false, true, "needs TLS"), ERR_BAD_REQUEST);
        expect_err(check(hosts[i], true, true, ""), ERR_OK);
    }
}

TEST_MAIN(cmocka_unit_test(this_machine_alone_needs_nothing),
          cmocka_unit_test(beyond_it_a_node_needs_tls_and_tokens))
