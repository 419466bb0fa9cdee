#include "rpc/tls_make.h"

#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/tls.h"
#include "tests/lib/test.h"

enum { PATH_BYTES = 4096 };

#define DAY_MS (UINT64_C(24) * 60 * 60 * 1000)

struct fixture {
    char *base;
    char dir[PATH_BYTES];
    struct tls_make_options o;
    struct tls_made made;
    char detail[TLS_DETAIL_BYTES];
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    f->base = test_make_dir();
    (void)snprintf(f->dir, sizeof f->dir, "%s/certs", f->base);
    f->o = (struct tls_make_options){.dir = f->dir, .node = 1};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    test_remove_dir(f->base);
    mem_free(f);
    return 0;
}

static const char *path_of(const struct fixture *f, const char *name)
{
    static char paths[4][2 * PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, 2 * PATH_BYTES, "%s/%s", f->dir, name);
    return path;
}

static void make_node(struct fixture *f, uint32_t node)
{
    f->o.node = node;
    enum err err = tls_make_node(&f->o, clock_wall_ms(), &f->made, f->detail);
    if (err != ERR_OK) {
        fail_msg("%s", f->detail);
    }
}

static void expect_refused(struct fixture *f, const char *part)
{
    f->detail[0] = '\0';
    expect_err(tls_make_node(&f->o, clock_wall_ms(), &f->made, f->detail), ERR_BAD_REQUEST);
    if (strstr(f->detail, part) == NULL) {
        fail_msg("\"%s\" without \"%s\"", f->detail, part);
    }
}

static struct buf read_file(const char *path)
{
    struct buf text = {0};
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text.len = fread(buf_extend(&text, 65536), 1, 65536, file);
    (void)fclose(file);
    return text;
}

static struct tls_context *load(struct fixture *f, uint32_t node)
{
    char names[3][64];
    struct tls_context *c = NULL;
    (void)snprintf(names[0], sizeof names[0], "node-%u/" TLS_NODE_FILE, node);
    (void)snprintf(names[1], sizeof names[1], "node-%u/" TLS_NODE_KEY_FILE, node);
    (void)snprintf(names[2], sizeof names[2], "node-%u/" TLS_CA_FILE, node);
    const struct tls_files files = {
        .cert = path_of(f, names[0]), .key = path_of(f, names[1]), .ca = path_of(f, names[2])};
    if (tls_context_new(TLS_FOR_PEERS, &files, clock_wall_ms(), &c, f->detail) != ERR_OK) {
        fail_msg("%s", f->detail);
    }
    return c;
}

static void nodes_of_one_cluster_get_certificates_that_fit(void **state)
{
    struct fixture *f = *state;
    char want[PEER_NAME_BYTES];
    make_node(f, 1);
    assert_true(f->made.is_new_ca);
    assert_int_equal(f->made.name.node, 1);
    struct peer_name first = f->made.name;
    make_node(f, 4294967295);
    assert_false(f->made.is_new_ca);
    assert_string_equal(f->made.name.cluster, first.cluster);
    peer_name_format(&f->made.name, want);

    struct tls_context *a = load(f, 1);
    struct tls_context *b = load(f, 4294967295);
    assert_string_equal(tls_context_uri(b), want);
    assert_int_equal(tls_context_expires_ms(b), f->made.expires_ms);
    struct tls *client = tls_new(a, TLS_CLIENT);
    struct tls *server = tls_new(b, TLS_SERVER);
    for (int i = 0; i < 4; i++) { /* flights */
        uint8_t room[1024];
        size_t n;
        struct tls *from = i % 2 == 0 ? client : server;
        struct tls *to = i % 2 == 0 ? server : client;
        struct slice out = tls_output(from);
        tls_feed(to, out);
        expect_err(tls_read(to, room, sizeof room, &n), ERR_MORE);
        tls_sent(from, out.len);
    }
    char uri[TLS_URI_BYTES];
    expect_err(tls_peer_uri(client, uri), ERR_OK);
    assert_string_equal(uri, want);
    tls_free(client);
    tls_free(server);
    tls_context_unref(a);
    tls_context_unref(b);
}

static void keys_are_for_their_owner_alone(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    make_node(f, 1);
    static const struct {
        const char *name;
        mode_t others;
    } rows[] = {{"ca-key.pem", 0}, {"node-1/node-key.pem", 0}, {".", 0}, {"node-1", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(stat(path_of(f, rows[i].name), &st), 0);
        assert_int_equal(st.st_mode & 077, rows[i].others);
    }
    assert_int_not_equal(access(path_of(f, "node-1/ca-key.pem"), F_OK), 0);
    assert_int_not_equal(access(path_of(f, "ca-key.pem.new"), F_OK), 0);
}

static void the_ca_signs_nodes_and_no_further_ca(void **state)
{
    struct fixture *f = *state;
    make_node(f, 1);
    FILE *file = fopen(path_of(f, "ca.pem"), "re");
    X509 *ca = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    assert_int_equal(X509_check_ca(ca), 1);
    assert_int_equal(X509_get_pathlen(ca), 0);
    assert_int_equal(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    file = fopen(path_of(f, "node-1/node.pem"), "re");
    X509 *node = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    assert_int_equal(X509_check_ca(node), 0);
    assert_int_equal(X509_get_key_usage(node), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(node), XKU_SSL_SERVER | XKU_SSL_CLIENT);
    X509_free(ca);
    X509_free(node);
}

static void hosts_are_in_the_certificate_as_they_are(void **state)
{
    struct fixture *f = *state;
    static const char *const hosts[] = {"db-1.example.com", "localhost", "10.0.0.1", "fd00::1"};
    f->o.hosts = hosts;
    f->o.host_count = 4;
    make_node(f, 1);
    FILE *file = fopen(path_of(f, "node-1/node.pem"), "re");
    X509 *node = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    assert_int_equal(X509_check_host(node, "db-1.example.com", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(node, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(node, "10.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(node, "fd00::1", 0), 1);
    assert_int_equal(X509_check_host(node, "other.example.com", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(node, "10.0.0.2", 0), 0);
    X509_free(node);
    tls_context_unref(load(f, 1)); /* and it names the node once */
}

/* Else a host could smuggle in the name of another node. */
static void what_is_no_host_is_refused_before_anything_is_made(void **state)
{
    struct fixture *f = *state;
    static const char *const hosts[] = {"",
                                        "a b",
                                        "a,URI:dormouse://c/node/2",
                                        "dormouse://c/node/2",
                                        "*",
                                        ".a",
                                        "-a",
                                        "a\nb",
                                        "1.2.3.4/24",
                                        "[::1]"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        f->o.hosts = &hosts[i];
        f->o.host_count = 1;
        expect_refused(f, "neither a host name nor an address");
        assert_int_not_equal(access(f->dir, F_OK), 0);
    }
}

static void a_certificate_that_is_there_is_replaced_only_when_asked(void **state)
{
    struct fixture *f = *state;
    make_node(f, 1);
    struct buf before = read_file(path_of(f, "node-1/node.pem"));
    struct buf key = read_file(path_of(f, "node-1/node-key.pem"));
    expect_refused(f, "node-1/node.pem: is there already; --renew replaces it");
    struct buf after = read_file(path_of(f, "node-1/node.pem"));
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_done(&after);
    f->o.renew = true;
    make_node(f, 1);
    after = read_file(path_of(f, "node-1/node.pem"));
    assert_false(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_done(&after);
    after = read_file(path_of(f, "node-1/node-key.pem"));
    assert_false(slice_equal(buf_slice(&key), buf_slice(&after)));
    tls_context_unref(load(f, 1));
    make_node(f, 2); /* where there is none yet */
    buf_done(&before);
    buf_done(&after);
    buf_done(&key);
}

static void a_certificate_lasts_as_long_as_asked_but_not_longer_than_its_ca(void **state)
{
    struct fixture *f = *state;
    uint64_t now_ms = clock_wall_ms();
    f->o.days = 5;
    make_node(f, 1);
    assert_in_range(f->made.expires_ms, now_ms + 5 * DAY_MS - 1000, now_ms + 5 * DAY_MS + 60000);
    f->o.days = 0;
    make_node(f, 2);
    assert_in_range(f->made.expires_ms, now_ms + (TLS_NODE_DAYS_DEFAULT - 1) * DAY_MS,
                    now_ms + (TLS_NODE_DAYS_DEFAULT + 1) * DAY_MS);
    /* A year later the CA has nine years left. */
    f->o.node = 3;
    f->o.days = TLS_CA_DAYS;
    expect_err(tls_make_node(&f->o, now_ms + 365 * DAY_MS, &f->made, f->detail), ERR_OK);
    assert_in_range(f->made.expires_ms, now_ms + (TLS_CA_DAYS - 1) * DAY_MS,
                    now_ms + TLS_CA_DAYS * DAY_MS + 60000);
}

static void a_ca_that_has_expired_signs_nothing(void **state)
{
    struct fixture *f = *state;
    make_node(f, 1);
    f->o.node = 2;
    expect_err(
        tls_make_node(&f->o, clock_wall_ms() + (TLS_CA_DAYS + 1) * DAY_MS, &f->made, f->detail),
        ERR_BAD_REQUEST);
    assert_non_null(strstr(f->detail, "ca.pem: the certificate has expired on"));
}

static void half_a_ca_is_told_and_left_alone(void **state)
{
    struct fixture *f = *state;
    make_node(f, 1);
    f->o.node = 2;
    assert_int_equal(rename(path_of(f, "ca-key.pem"), path_of(f, "elsewhere")), 0);
    expect_refused(f, "ca-key.pem: is missing, though");
    assert_int_equal(rename(path_of(f, "elsewhere"), path_of(f, "ca-key.pem")), 0);
    assert_int_equal(unlink(path_of(f, "ca.pem")), 0);
    expect_refused(f, "ca.pem: is missing, though");
    assert_int_equal(link(path_of(f, "node-1/node.pem"), path_of(f, "ca.pem")), 0);
    expect_refused(f, "is not the key of the certificate");
    assert_int_equal(unlink(path_of(f, "ca-key.pem")), 0);
    assert_int_equal(link(path_of(f, "node-1/node-key.pem"), path_of(f, "ca-key.pem")), 0);
    expect_refused(f, "ca.pem: is not the CA of a cluster");
    assert_int_not_equal(access(path_of(f, "node-2"), F_OK), 0);
}

static void a_directory_that_cannot_be_made_is_told(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/absent/deeper", f->base);
    f->o.dir = path;
    expect_refused(f, "absent/deeper: No such file or directory");
    f->o.dir = "/dev/null";
    expect_refused(f, "/dev/null");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(T(nodes_of_one_cluster_get_certificates_that_fit), T(keys_are_for_their_owner_alone),
          T(the_ca_signs_nodes_and_no_further_ca), T(hosts_are_in_the_certificate_as_they_are),
          T(what_is_no_host_is_refused_before_anything_is_made),
          T(a_certificate_that_is_there_is_replaced_only_when_asked),
          T(a_certificate_lasts_as_long_as_asked_but_not_longer_than_its_ca),
          T(a_ca_that_has_expired_signs_nothing), T(half_a_ca_is_told_and_left_alone),
          T(a_directory_that_cannot_be_made_is_told))
