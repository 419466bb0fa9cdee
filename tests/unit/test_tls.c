#include "rpc/tls.h"

#include <openssl/err.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "tests/lib/test.h"
#include "tests/lib/tls_certs.h"
#include "tests/lib/tls_client.h"

enum { PATH_BYTES = 4096, ROOM_BYTES = 64 * 1024 };

static char *dir;
static struct tls_context *for_clients;
static struct tls_context *node1;
static struct tls_context *node2;
static struct tls_context *stranger; /* of another CA, under the name of node 2 */
static uint8_t room[ROOM_BYTES];

/* Certificates */

static struct tls_context *load(enum tls_use use, const char *name)
{
    char cert[PATH_BYTES];
    char key[PATH_BYTES];
    char ca[PATH_BYTES];
    char detail[TLS_DETAIL_BYTES];
    (void)snprintf(cert, sizeof cert, "%s/%s", dir, name);
    (void)snprintf(key, sizeof key, "%s/%s.key", dir, name);
    (void)snprintf(ca, sizeof ca, "%s/%s.ca", dir, name);
    const struct tls_files files = {
        .cert = cert, .key = key, .ca = use == TLS_FOR_PEERS ? ca : NULL};
    struct tls_context *c = NULL;
    if (tls_context_new(use, &files, clock_wall_ms(), &c, detail) != ERR_OK) {
        fail_msg("%s", detail);
    }
    return c;
}

static struct tls_context *make(enum tls_use use, const struct tls_cert *ca, const char *name,
                                const char *names)
{
    char file[64];
    struct tls_cert c = tls_cert_make(ca, &(struct tls_cert_options){.names = names});
    tls_cert_save(&c, dir, name);
    (void)snprintf(file, sizeof file, "%s.key", name);
    tls_cert_save_key(&c, dir, file, NULL);
    (void)snprintf(file, sizeof file, "%s.ca", name);
    tls_cert_save(ca, dir, file);
    tls_cert_done(&c);
    return load(use, name);
}

static int make_certificates(void **state)
{
    (void)state;
    dir = test_make_dir();
    const struct tls_cert_options is_ca = {.is_ca = true};
    struct tls_cert ca = tls_cert_make(NULL, &is_ca);
    struct tls_cert other = tls_cert_make(NULL, &is_ca);
    for_clients = make(TLS_FOR_CLIENTS, &ca, "web", "DNS:localhost");
    node1 = make(TLS_FOR_PEERS, &ca, "n1", "URI:dormouse://c/node/1");
    node2 = make(TLS_FOR_PEERS, &ca, "n2", "URI:dormouse://c/node/2");
    stranger = make(TLS_FOR_PEERS, &other, "n3", "URI:dormouse://c/node/2");
    tls_cert_done(&ca);
    tls_cert_done(&other);
    return 0;
}

static int free_certificates(void **state)
{
    (void)state;
    tls_context_unref(for_clients);
    tls_context_unref(node1);
    tls_context_unref(node2);
    tls_context_unref(stranger);
    test_remove_dir(dir);
    return 0;
}

/* Sessions */

/* All plaintext of what is fed, in pieces of the wire; the last word of the session. */
static enum err recv_pieces(struct tls *t, struct slice wire, size_t piece, struct buf *got)
{
    enum err err = ERR_MORE;
    while (wire.len > 0 && err == ERR_MORE) {
        size_t n = wire.len < piece ? wire.len : piece;
        size_t len;
        tls_feed(t, slice_of(wire.data, n));
        while ((err = tls_read(t, room, sizeof room, &len)) == ERR_OK) {
            buf_append(got, room, len);
        }
        wire = slice_skip(wire, n);
    }
    return err;
}

static void take_output(struct tls *t, struct buf *wire)
{
    struct slice out;
    while ((out = tls_output(t)).len > 0) {
        size_t n = out.len < 1000 ? out.len : 1000;
        buf_append(wire, out.data, n);
        tls_sent(t, n);
    }
    assert_int_equal(tls_output_bytes(t), 0);
}

/* Both ways until neither has anything to say. Returns the last word of the server. */
static enum err converse(struct tls *server, struct tls_client *client, size_t piece,
                         struct buf *got)
{
    enum err err = ERR_MORE;
    struct buf wire = {0};
    do {
        buf_clear(&wire);
        tls_client_take(client, &wire);
        if (wire.len > 0) {
            err = recv_pieces(server, buf_slice(&wire), piece, got);
        }
        buf_clear(&wire);
        take_output(server, &wire);
        tls_client_recv(client, buf_slice(&wire));
    } while (wire.len > 0 || BIO_pending(SSL_get_wbio(client->ssl)) > 0);
    buf_done(&wire);
    return err;
}

static enum err converse_peers(struct tls *a, struct tls *b, struct buf *got_a, struct buf *got_b)
{
    enum err err = ERR_MORE;
    struct buf wire = {0};
    bool is_quiet;
    do {
        buf_clear(&wire);
        take_output(a, &wire);
        is_quiet = wire.len == 0;
        err = is_quiet ? err : recv_pieces(b, buf_slice(&wire), SIZE_MAX, got_b);
        buf_clear(&wire);
        take_output(b, &wire);
        is_quiet = is_quiet && wire.len == 0;
        (void)recv_pieces(a, buf_slice(&wire), SIZE_MAX, got_a);
    } while (!is_quiet);
    buf_done(&wire);
    return err;
}

static void expect_echo(struct tls *server, struct tls_client *client)
{
    struct buf wire = {0};
    struct buf got = {0};
    tls_client_send(client, SLICE("ping"), &wire);
    expect_err(recv_pieces(server, buf_slice(&wire), SIZE_MAX, &got), ERR_MORE);
    expect_str(buf_slice(&got), "ping");
    buf_clear(&client->got);
    expect_err(tls_write(server, SLICE("pong")), ERR_OK);
    buf_clear(&wire);
    take_output(server, &wire);
    tls_client_recv(client, buf_slice(&wire));
    expect_str(buf_slice(&client->got), "pong");
    buf_done(&wire);
    buf_done(&got);
}

/* Clients */

static const struct tls_client_options plain = {0};

static void a_client_and_the_server_speak_however_the_bytes_are_cut(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    static const size_t pieces[] = {1, 7, 1000, SIZE_MAX};
    for (size_t v = 0; v < 2; v++) {
        for (size_t p = 0; p < 4; p++) {
            struct tls *server = tls_new(for_clients, TLS_SERVER);
            struct tls_client client;
            struct buf got = {0};
            tls_client_open(&client, &(struct tls_client_options){.version_max = versions[v]});
            expect_err(converse(server, &client, pieces[p], &got), ERR_MORE);
            assert_true(client.is_done);
            assert_int_equal(SSL_version(client.ssl), versions[v]);
            assert_int_equal(tls_state(server), TLS_OPEN);
            expect_echo(server, &client);
            buf_done(&got);
            tls_client_close(&client);
            tls_free(server);
        }
    }
}

static void megabytes_go_both_ways_whole(void **state)
{
    (void)state;
    enum { BYTES = 3 * 1024 * 1024 };
    struct buf big = {0};
    struct buf wire = {0};
    struct buf got = {0};
    random_bytes(buf_extend(&big, BYTES), BYTES);
    struct tls *server = tls_new(for_clients, TLS_SERVER);
    struct tls_client client;
    tls_client_open(&client, &plain);
    (void)converse(server, &client, SIZE_MAX, &got);
    tls_client_send(&client, buf_slice(&big), &wire);
    expect_err(recv_pieces(server, buf_slice(&wire), ROOM_BYTES, &got), ERR_MORE);
    assert_true(slice_equal(buf_slice(&got), buf_slice(&big)));
    buf_clear(&wire);
    expect_err(tls_write(server, buf_slice(&big)), ERR_OK);
    take_output(server, &wire);
    tls_client_recv(&client, buf_slice(&wire));
    assert_true(slice_equal(buf_slice(&client.got), buf_slice(&big)));
    tls_client_close(&client);
    tls_free(server);
    buf_done(&big);
    buf_done(&wire);
    buf_done(&got);
}

static void what_is_being_sent_stays_in_place_while_more_is_written(void **state)
{
    (void)state;
    struct tls *server = tls_new(for_clients, TLS_SERVER);
    struct tls_client client;
    struct buf got = {0};
    tls_client_open(&client, &plain);
    (void)converse(server, &client, SIZE_MAX, &got);
    expect_err(tls_write(server, SLICE("first")), ERR_OK);
    struct slice out = tls_output(server);
    struct buf copy = {0};
    buf_append_slice(&copy, out);
    for (int i = 0; i < 1000; i++) {
        expect_err(tls_write(server, SLICE("and more")), ERR_OK);
    }
    tls_sent(server, 3);
    struct slice rest = tls_output(server);
    assert_ptr_equal(rest.data, out.data + 3);
    expect_slice(rest, slice_skip(buf_slice(&copy), 3));
    tls_client_recv(&client, buf_slice(&copy));
    tls_sent(server, rest.len);
    struct buf wire = {0};
    take_output(server, &wire);
    tls_client_recv(&client, buf_slice(&wire));
    assert_int_equal(client.got.len, 5 + 8 * 1000);
    buf_done(&wire);
    buf_done(&copy);
    buf_done(&got);
    tls_client_close(&client);
    tls_free(server);
}

static void alpn_prefers_http2_and_refuses_what_is_neither(void **state)
{
    (void)state;
    static const struct {
        const char *offered;
        enum tls_protocol protocol;
    } rows[] = {
        {NULL, TLS_NO_PROTOCOL},
        {"\x02h2", TLS_HTTP2},
        {"\x08http/1.1", TLS_HTTP1},
        {"\x08http/1.1\x02h2", TLS_HTTP2},
        {"\x08http/1.0\x08http/1.1", TLS_HTTP1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls *server = tls_new(for_clients, TLS_SERVER);
        struct tls_client client;
        struct buf got = {0};
        tls_client_open(&client, &(struct tls_client_options){.protocols = rows[i].offered});
        expect_err(converse(server, &client, SIZE_MAX, &got), ERR_MORE);
        assert_int_equal(tls_protocol(server), rows[i].protocol);
        buf_done(&got);
        tls_client_close(&client);
        tls_free(server);
    }
    struct tls *server = tls_new(for_clients, TLS_SERVER);
    struct tls_client client;
    struct buf got = {0};
    tls_client_open(&client, &(struct tls_client_options){.protocols = "\x02h3"});
    expect_err(converse(server, &client, SIZE_MAX, &got), ERR_BAD_REQUEST);
    assert_int_equal(ERR_GET_REASON(client.error), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    buf_done(&got);
    tls_client_close(&client);
    tls_free(server);
}

static void old_versions_and_suites_are_refused(void **state)
{
    (void)state;
    static const struct tls_client_options rows[] = {
        {.version_max = TLS1_1_VERSION, .version_min = TLS1_VERSION, .ciphers = "ALL:@SECLEVEL=0"},
        {.version_max = TLS1_2_VERSION, .ciphers = "AES128-SHA"},
        {.version_max = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES128-SHA256"},
        {.version_max = TLS1_2_VERSION, .ciphers = "AES128-GCM-SHA256"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls *server = tls_new(for_clients, TLS_SERVER);
        struct tls_client client;
        struct buf got = {0};
        tls_client_open(&client, &rows[i]);
        expect_err(converse(server, &client, SIZE_MAX, &got), ERR_BAD_REQUEST);
        assert_int_equal(tls_state(server), TLS_FAILED);
        assert_true(client.is_failed);
        assert_true(tls_reason(server)[0] != '\0');
        buf_done(&got);
        tls_client_close(&client);
        tls_free(server);
    }
}

/* A ticket is good for every session of the context, on whichever worker, and for no other. */
static void a_ticket_resumes_under_its_context_alone(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_context *renewed = load(TLS_FOR_CLIENTS, "web");
    for (size_t v = 0; v < 2; v++) {
        struct tls_client_options o = {.version_max = versions[v]};
        struct tls_context *const contexts[] = {for_clients, for_clients, renewed};
        SSL_SESSION *session = NULL;
        for (size_t i = 0; i < 3; i++) {
            struct tls *server = tls_new(contexts[i], TLS_SERVER);
            struct tls_client client;
            struct buf got = {0};
            o.session = session;
            tls_client_open(&client, &o);
            expect_err(converse(server, &client, SIZE_MAX, &got), ERR_MORE);
            assert_int_equal(tls_is_resumed(server), i == 1);
            expect_echo(server, &client);
            if (session == NULL) {
                session = SSL_get1_session(client.ssl);
            }
            (void)SSL_shutdown(client.ssl); /* else its session is spoilt */
            buf_done(&got);
            tls_client_close(&client);
            tls_free(server);
        }
        SSL_SESSION_free(session);
    }
    tls_context_unref(renewed);
}

static void either_side_may_say_that_it_sends_no_more(void **state)
{
    (void)state;
    struct tls *server = tls_new(for_clients, TLS_SERVER);
    struct tls_client client;
    struct buf got = {0};
    struct buf wire = {0};
    tls_client_open(&client, &plain);
    (void)converse(server, &client, SIZE_MAX, &got);
    (void)SSL_shutdown(client.ssl);
    expect_err(converse(server, &client, SIZE_MAX, &got), ERR_CLOSED);
    assert_int_equal(tls_state(server), TLS_ENDED);
    tls_feed(server, SLICE("anything")); /* is dropped */
    size_t len;
    expect_err(tls_read(server, room, sizeof room, &len), ERR_CLOSED);
    expect_err(tls_write(server, SLICE("the answer")), ERR_OK);
    tls_close(server);
    tls_close(server);
    take_output(server, &wire);
    tls_client_recv(&client, buf_slice(&wire));
    expect_str(buf_slice(&client.got), "the answer");
    assert_true(client.is_ended);
    buf_done(&wire);
    buf_done(&got);
    tls_client_close(&client);
    tls_free(server);
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    struct tls *server = tls_new(for_clients, TLS_SERVER);
    struct tls_client client;
    struct buf got = {0};
    tls_client_open(&client, &(struct tls_client_options){.version_max = TLS1_2_VERSION});
    (void)converse(server, &client, SIZE_MAX, &got);
    assert_int_equal(SSL_renegotiate(client.ssl), 1);
    (void)SSL_do_handshake(client.ssl);
    (void)converse(server, &client, SIZE_MAX, &got);
    assert_int_equal(SSL_num_renegotiations(client.ssl), 1); /* it tried */
    assert_true(client.is_failed);                           /* and was told no */
    buf_done(&got);
    tls_client_close(&client);
    tls_free(server);
}

/* Hostile input */

static void expect_broken(struct tls *server, struct slice wire, const char *reason)
{
    struct buf got = {0};
    size_t len;
    expect_err(recv_pieces(server, wire, SIZE_MAX, &got), ERR_BAD_REQUEST);
    assert_int_equal(tls_state(server), TLS_FAILED);
    if (strstr(tls_reason(server), reason) == NULL) {
        fail_msg("\"%s\" without \"%s\"", tls_reason(server), reason);
    }
    tls_feed(server, wire); /* changes nothing any more */
    expect_err(tls_read(server, room, sizeof room, &len), ERR_BAD_REQUEST);
    tls_close(server);
    buf_done(&got);
    tls_free(server);
}

static void what_is_not_tls_fails_at_once(void **state)
{
    (void)state;
    static const struct {
        struct slice wire;
        const char *reason;
    } rows[] = {
        {{(const uint8_t *)"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27}, "http request"},
        {{(const uint8_t *)"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24}, "version"},
        {{(const uint8_t *)"\0\0\0\0\0\0\0\0\0\0\0\0", 12}, ""},
        {{(const uint8_t *)"\x16\x03\x01\xff\xff\x01\x00\x00\x10", 9}, ""},
        {{(const uint8_t *)"\x17\x03\x03\x00\x05hello", 10}, ""},
        {{(const uint8_t *)"\x16\x03\x01\x00\x04\x01\x01\x00\x00", 9}, "too large"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_broken(tls_new(for_clients, TLS_SERVER), rows[i].wire, rows[i].reason);
    }
}

/* Each prefix of a handshake waits for more; a byte changed anywhere does no harm. */
static void a_handshake_cut_off_anywhere_waits(void **state)
{
    (void)state;
    struct tls_client client;
    struct buf hello = {0};
    struct buf got = {0};
    tls_client_open(&client, &plain);
    tls_client_take(&client, &hello);
    for (size_t n = 1; n < hello.len; n++) {
        struct tls *server = tls_new(for_clients, TLS_SERVER);
        expect_err(recv_pieces(server, slice_of(hello.data, n), SIZE_MAX, &got), ERR_MORE);
        assert_int_equal(tls_state(server), TLS_HANDSHAKE);
        assert_int_equal(tls_output_bytes(server), 0);
        tls_free(server);
    }
    for (size_t n = 0; n < hello.len; n++) {
        struct tls *server = tls_new(for_clients, TLS_SERVER);
        hello.data[n] ^= 0xff;
        enum err err = recv_pieces(server, buf_slice(&hello), SIZE_MAX, &got);
        assert_true(err == ERR_MORE || err == ERR_BAD_REQUEST);
        assert_int_not_equal(tls_state(server), TLS_OPEN);
        hello.data[n] ^= 0xff;
        tls_free(server);
    }
    assert_int_equal(got.len, 0);
    buf_done(&hello);
    tls_client_close(&client);
}

static void a_changed_byte_of_the_data_fails_the_session(void **state)
{
    (void)state;
    struct tls *server = tls_new(for_clients, TLS_SERVER);
    struct tls_client client;
    struct buf got = {0};
    struct buf wire = {0};
    tls_client_open(&client, &plain);
    (void)converse(server, &client, SIZE_MAX, &got);
    tls_client_send(&client, SLICE("hello"), &wire);
    wire.data[wire.len - 1] ^= 1;
    expect_broken(server, buf_slice(&wire), "bad record mac");
    buf_done(&wire);
    buf_done(&got);
    tls_client_close(&client);
}

/* Each request for a key update makes the server answer; who reads none of it is cut. */
static void key_updates_that_nobody_reads_are_bounded(void **state)
{
    (void)state;
    struct tls *server = tls_new(for_clients, TLS_SERVER);
    struct tls_client client;
    struct buf got = {0};
    struct buf wire = {0};
    tls_client_open(&client, &plain);
    (void)converse(server, &client, SIZE_MAX, &got);
    enum err err = ERR_MORE;
    int updates = 0;
    for (; err == ERR_MORE && updates < TLS_CONTROL_BYTES_MAX; updates++) {
        buf_clear(&wire);
        assert_int_equal(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(client.ssl), 1);
        tls_client_take(&client, &wire);
        err = recv_pieces(server, buf_slice(&wire), SIZE_MAX, &got);
    }
    expect_err(err, ERR_BAD_REQUEST);
    size_t waiting = 0;
    struct slice out;
    while ((out = tls_output(server)).len > 0) {
        waiting += out.len;
        tls_sent(server, out.len);
    }
    assert_true(waiting <= TLS_CONTROL_BYTES_MAX + 100);
    buf_done(&wire);
    buf_done(&got);
    tls_client_close(&client);
    tls_free(server);
}

/* Peers */

static void nodes_know_each_other_by_their_certificates(void **state)
{
    (void)state;
    struct tls *a = tls_new(node1, TLS_CLIENT);
    struct tls *b = tls_new(node2, TLS_SERVER);
    struct buf got_a = {0};
    struct buf got_b = {0};
    char uri[TLS_URI_BYTES];
    (void)converse_peers(a, b, &got_a, &got_b);
    assert_int_equal(tls_state(a), TLS_OPEN);
    assert_int_equal(tls_state(b), TLS_OPEN);
    assert_int_equal(tls_protocol(a), TLS_PEER);
    assert_int_equal(tls_protocol(b), TLS_PEER);
    expect_err(tls_peer_uri(a, uri), ERR_OK);
    assert_string_equal(uri, "dormouse://c/node/2");
    expect_err(tls_peer_uri(b, uri), ERR_OK);
    assert_string_equal(uri, "dormouse://c/node/1");
    expect_err(tls_write(a, SLICE("to b")), ERR_OK);
    expect_err(tls_write(b, SLICE("to a")), ERR_OK);
    (void)converse_peers(a, b, &got_a, &got_b);
    expect_str(buf_slice(&got_a), "to a");
    expect_str(buf_slice(&got_b), "to b");
    buf_done(&got_a);
    buf_done(&got_b);
    tls_free(a);
    tls_free(b);
}

static void a_node_of_another_ca_is_not_let_in(void **state)
{
    (void)state;
    struct buf got_a = {0};
    struct buf got_b = {0};
    struct tls *a = tls_new(stranger, TLS_CLIENT);
    struct tls *b = tls_new(node1, TLS_SERVER);
    (void)converse_peers(a, b, &got_a, &got_b);
    assert_int_equal(tls_state(a), TLS_FAILED); /* it looks first */
    assert_true(strstr(tls_reason(a), "certificate") != NULL);
    tls_free(a);
    tls_free(b);

    a = tls_new(node1, TLS_CLIENT);
    b = tls_new(stranger, TLS_SERVER);
    (void)converse_peers(a, b, &got_a, &got_b);
    size_t len;
    expect_err(tls_read(a, room, sizeof room, &len), ERR_UNAUTHENTICATED);
    assert_int_not_equal(tls_state(b), TLS_OPEN);
    tls_free(a);
    tls_free(b);
    buf_done(&got_a);
    buf_done(&got_b);
}

static void a_client_without_a_certificate_is_not_let_in(void **state)
{
    (void)state;
    struct tls *server = tls_new(node1, TLS_SERVER);
    struct tls_client client;
    struct buf got = {0};
    tls_client_open(&client, &(struct tls_client_options){.protocols = "\x0d"
                                                                       "dormouse-peer"});
    expect_err(converse(server, &client, SIZE_MAX, &got), ERR_UNAUTHENTICATED);
    assert_int_equal(tls_state(server), TLS_FAILED);
    buf_done(&got);
    tls_client_close(&client);
    tls_free(server);
}

int main(void)
{
    test_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_and_the_server_speak_however_the_bytes_are_cut),
        cmocka_unit_test(megabytes_go_both_ways_whole),
        cmocka_unit_test(what_is_being_sent_stays_in_place_while_more_is_written),
        cmocka_unit_test(alpn_prefers_http2_and_refuses_what_is_neither),
        cmocka_unit_test(old_versions_and_suites_are_refused),
        cmocka_unit_test(a_ticket_resumes_under_its_context_alone),
        cmocka_unit_test(either_side_may_say_that_it_sends_no_more),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(what_is_not_tls_fails_at_once),
        cmocka_unit_test(a_handshake_cut_off_anywhere_waits),
        cmocka_unit_test(a_changed_byte_of_the_data_fails_the_session),
        cmocka_unit_test(key_updates_that_nobody_reads_are_bounded),
        cmocka_unit_test(nodes_know_each_other_by_their_certificates),
        cmocka_unit_test(a_node_of_another_ca_is_not_let_in),
        cmocka_unit_test(a_client_without_a_certificate_is_not_let_in),
    };
    return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
