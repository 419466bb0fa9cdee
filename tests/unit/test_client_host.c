#include <arpa/inet.h>
#include <netinet/in.h>

#include "node/client_host.h"

#include "tests/lib/test.h"

static struct client_hosts hosts;

static struct client_host *join(const char *text)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        address.ss_family = AF_INET;
        v4->sin_port = 1234;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        address.ss_family = AF_INET6;
    }
    return client_host_join(&hosts, &address);
}

static void connections_of_one_address_share_a_host_while_there_is_one(void **state)
{
    (void)state;
    struct client_host *first = join("127.0.0.1");
    assert_ptr_equal(join("127.0.0.1"), first);
    assert_int_equal(first->conn_count, 2);
    client_host_leave(&hosts, first);
    assert_int_equal(first->conn_count, 1);
    client_host_leave(&hosts, first);
    client_hosts_done(&hosts); /* none is left */
}

static void addresses_are_told_apart_as_their_owners_are(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool is_same;
    } cases[] = {
        {"127.0.0.1", "127.0.0.2", false},
        {"2001:db8:0:1::1", "2001:db8:0:1:ffff::", true},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
        {"::ffff:127.0.0.1", "127.0.0.1", true},
        {"::ffff:127.0.0.1", "::ffff:127.0.0.2", false},
        {"::1", "127.0.0.1", false},
        {"7f00:1::", "127.0.0.1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client_host *a = join(cases[i].a);
        struct client_host *b = join(cases[i].b);
        if ((a == b) != cases[i].is_same) {
            fail_msg("%s and %s", cases[i].a, cases[i].b);
        }
        client_host_leave(&hosts, a);
        client_host_leave(&hosts, b);
    }
    client_hosts_done(&hosts);
}

TEST_MAIN(cmocka_unit_test(connections_of_one_address_share_a_host_while_there_is_one),
          cmocka_unit_test(addresses_are_told_apart_as_their_owners_are))
