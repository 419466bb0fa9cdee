#include "rpc/tls_mint.h"

#include <string.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/test.h"

struct world {
    struct tls_mint *mint;
    struct buf cert;
    struct buf key;
    SSL_CTX *client;
    uint32_t mints_left;
};

struct guest {
    struct tls_guest hello; /* first */
    struct world *world;
};

static bool may_mint(struct tls_guest *hello)
{
    struct world *w = ((struct guest *)hello)->world;
    if (w->mints_left == 0) {
        return false;
    }
    w->mints_left--;
    return true;
}

static void open_world(struct world *w)
{
    *w = (struct world){.mints_left = 1000};
    tls_ca_make(clock_wall_ms(), &w->cert, &w->key);
    expect_err(tls_mint_new(buf_slice(&w->cert), buf_slice(&w->key), &w->mint), ERR_OK);
    w->client = SSL_CTX_new(TLS_client_method());
    BIO *bio = BIO_new_mem_buf(w->cert.data, (int)w->cert.len);
    X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(w->client), ca), 1);
    SSL_CTX_set_verify(w->client, SSL_VERIFY_PEER, NULL);
    X509_free(ca);
    BIO_free(bio);
}

static void close_world(struct world *w)
{
    tls_mint_free(w->mint);
    SSL_CTX_free(w->client);
    buf_done(&w->cert);
    buf_done(&w->key);
}

/* A handshake in memory: whether it came to its end, with a certificate that the client trusts for `name`. */
static bool shake_hands(struct world *w, const char *expected, const char *sni, const char *name)
{
    struct guest g = {.hello = {.wall_ms = clock_wall_ms(), .may_mint = may_mint}, .world = w};
    SSL *client = SSL_new(w->client);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    uint8_t room[4096];
    size_t n;
    int rc = 0;
    bool failed = false;
    (void)snprintf(g.hello.host, sizeof g.hello.host, "%s", expected);
    struct tls *server = tls_mint_session(w->mint, &g.hello);
    SSL_set_bio(client, in, out);
    SSL_set_connect_state(client);
    if (sni != NULL) {
        assert_int_equal(SSL_set_tlsext_host_name(client, sni), 1);
    }
    if (name != NULL) {
        assert_int_equal(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(client), name) == 1 ||
                             SSL_set1_host(client, name) == 1,
                         1);
    }
    for (int i = 0; i < 10 && rc != 1 && !failed; i++) {
        rc = SSL_do_handshake(client);
        failed = rc != 1 && SSL_get_error(client, rc) != SSL_ERROR_WANT_READ;
        int len = BIO_read(out, room, sizeof room);
        if (len > 0) {
            uint8_t plain[64];
            tls_feed(server, slice_of(room, (size_t)len));
            enum err err = tls_read(server, plain, sizeof plain, &n);
            assert_true(err == ERR_MORE || err == ERR_BAD_REQUEST || err == ERR_CLOSED);
        }
        for (struct slice s; (s = tls_output(server)).len > 0; tls_sent(server, s.len)) {
            (void)BIO_write(in, s.data, (int)s.len);
        }
    }
    tls_free(server);
    SSL_free(client);
    return rc == 1;
}

static void a_host_gets_a_certificate_that_guests_trust_for_it_alone(void **state)
{
    struct world w;
    (void)state;
    open_world(&w);
    assert_true(shake_hands(&w, "", "a.test", "a.test"));
    assert_true(shake_hands(&w, "", "A.Test", "a.test"));
    assert_int_equal(tls_mint_made(w.mint), 1);
    assert_true(shake_hands(&w, "", "b.test", "b.test"));
    assert_false(shake_hands(&w, "", "b.test", "a.test"));
    assert_int_equal(tls_mint_made(w.mint), 2);
    close_world(&w);
}

static void a_hello_names_the_host_that_is_expected_or_one(void **state)
{
    struct world w;
    (void)state;
    open_world(&w);
    assert_false(shake_hands(&w, "", NULL, NULL));
    assert_false(shake_hands(&w, "a.test", "b.test", "b.test"));
    assert_true(shake_hands(&w, "a.test", "a.test", "a.test"));
    assert_true(shake_hands(&w, "192.0.2.1", NULL, "192.0.2.1"));
    assert_true(shake_hands(&w, "2001:db8::1", NULL, "2001:db8::1"));
    assert_false(shake_hands(&w, "", "a b.test", NULL));
    assert_false(shake_hands(&w, "", "a..test", NULL));
    close_world(&w);
}

static void no_more_are_made_than_may_be_and_those_there_are_stay(void **state)
{
    struct world w;
    char name[32];
    (void)state;
    open_world(&w);
    w.mints_left = 1;
    assert_true(shake_hands(&w, "", "a.test", "a.test"));
    assert_false(shake_hands(&w, "", "b.test", "b.test"));
    assert_true(shake_hands(&w, "", "a.test", "a.test"));
    w.mints_left = TLS_MINT_LEAVES_MAX + 10;
    for (int i = 0; i < TLS_MINT_LEAVES_MAX + 1; i++) {
        (void)snprintf(name, sizeof name, "n%d.test", i);
        assert_true(shake_hands(&w, "", name, name));
    }
    uint64_t made = tls_mint_made(w.mint);
    assert_true(shake_hands(&w, "", "a.test", "a.test")); /* it was the oldest, and is made again */
    assert_int_equal(tls_mint_made(w.mint), made + 1);
    close_world(&w);
}

static void what_is_no_authority_with_its_key_is_refused(void **state)
{
    struct world w;
    struct buf cert = {0};
    struct buf key = {0};
    struct tls_mint *m;
    (void)state;
    open_world(&w);
    tls_ca_make(clock_wall_ms(), &cert, &key);
    expect_err(tls_mint_new(buf_slice(&cert), buf_slice(&w.key), &m), ERR_BAD_REQUEST);
    expect_err(tls_mint_new(SLICE("x"), buf_slice(&key), &m), ERR_BAD_REQUEST);
    expect_err(tls_mint_new(buf_slice(&cert), (struct slice){0}, &m), ERR_BAD_REQUEST);
    buf_done(&cert);
    buf_done(&key);
    close_world(&w);
}

TEST_MAIN(cmocka_unit_test(a_host_gets_a_certificate_that_guests_trust_for_it_alone),
          cmocka_unit_test(a_hello_names_the_host_that_is_expected_or_one),
          cmocka_unit_test(no_more_are_made_than_may_be_and_those_there_are_stay),
          cmocka_unit_test(what_is_no_authority_with_its_key_is_refused))
