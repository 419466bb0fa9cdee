#include "rpc/tls_context.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/test.h"
#include "tests/lib/tls_certs.h"

enum { DAY = 24 * 60 * 60, PATH_BYTES = 4096 };

struct fixture {
    char *dir;
    char cert[PATH_BYTES];
    char key[PATH_BYTES];
    char ca[PATH_BYTES];
    struct tls_files files;
    char detail[TLS_DETAIL_BYTES];
};

static struct tls_cert ca;

static void save(struct fixture *f, const struct tls_cert *c)
{
    tls_cert_save(c, f->dir, "cert.pem");
    tls_cert_save_key(c, f->dir, "key.pem", NULL);
}

static void save_made(struct fixture *f, const struct tls_cert *issuer, struct tls_cert_options o)
{
    struct tls_cert c = tls_cert_make(issuer, &o);
    save(f, &c);
    tls_cert_done(&c);
}

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    f->dir = test_make_dir();
    (void)snprintf(f->cert, sizeof f->cert, "%s/cert.pem", f->dir);
    (void)snprintf(f->key, sizeof f->key, "%s/key.pem", f->dir);
    (void)snprintf(f->ca, sizeof f->ca, "%s/ca.pem", f->dir);
    f->files = (struct tls_files){.cert = f->cert, .key = f->key};
    tls_cert_save(&ca, f->dir, "ca.pem");
    save_made(f, &ca, (struct tls_cert_options){.names = "DNS:localhost,URI:dormouse://c/node/1"});
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    test_remove_dir(f->dir);
    mem_free(f);
    return 0;
}

static int make_ca(void **state)
{
    (void)state;
    ca = tls_cert_make(NULL, &(struct tls_cert_options){.is_ca = true});
    return 0;
}

static int free_ca(void **state)
{
    (void)state;
    tls_cert_done(&ca);
    return 0;
}

static void expect_loaded(struct fixture *f, enum tls_use use)
{
    struct tls_context *c = NULL;
    enum err err = tls_context_new(use, &f->files, clock_wall_ms(), &c, f->detail);
    if (err != ERR_OK) {
        fail_msg("%s", f->detail);
    }
    tls_context_unref(c);
}

/* Refused with one sentence that names the file and says this. */
static void expect_refused(struct fixture *f, enum tls_use use, const char *file, const char *part)
{
    struct tls_context *c = NULL;
    f->detail[0] = '\0';
    enum err err = tls_context_new(use, &f->files, clock_wall_ms(), &c, f->detail);
    if (err != ERR_BAD_REQUEST || c != NULL || strstr(f->detail, part) == NULL ||
        strncmp(f->detail, file, strlen(file)) != 0) {
        fail_msg("%s \"%s\" without \"%s: ... %s\"", err_info(err)->name, f->detail, file, part);
    }
}

static void expect_client_refusal(struct fixture *f, const char *file, const char *part)
{
    expect_refused(f, TLS_FOR_CLIENTS, file, part);
}

static void a_pair_is_loaded_and_says_when_it_ends(void **state)
{
    struct fixture *f = *state;
    save_made(f, &ca, (struct tls_cert_options){.ends_seconds = 10 * DAY});
    struct tls_context *c;
    uint64_t now_ms = clock_wall_ms();
    expect_err(tls_context_new(TLS_FOR_CLIENTS, &f->files, now_ms, &c, f->detail), ERR_OK);
    uint64_t left_ms = tls_context_expires_ms(c) - now_ms;
    assert_in_range(left_ms, (10 * DAY - 60) * 1000ULL, (10 * DAY + 60) * 1000ULL);
    tls_context_unref(tls_context_ref(c));
    tls_context_unref(c);
}

static void a_file_that_is_not_there_is_told_in_the_systems_words(void **state)
{
    struct fixture *f = *state;
    (void)unlink(f->key);
    expect_client_refusal(f, f->key, "No such file or directory");
    (void)unlink(f->cert);
    expect_client_refusal(f, f->cert, "No such file or directory");
    f->files.cert = f->dir;
    expect_client_refusal(f, f->dir, "directory");
}

static void a_file_without_pem_is_told(void **state)
{
    struct fixture *f = *state;
    tls_save_text(f->dir, "key.pem", "");
    expect_client_refusal(f, f->key, "has no private key in PEM");
    tls_save_text(f->dir, "key.pem",
                  "-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----\n");
    expect_client_refusal(f, f->key, "has no private key in PEM");
    tls_save_text(f->dir, "cert.pem", "hello\n");
    expect_client_refusal(f, f->cert, "has no certificate in PEM");
}

static void a_chain_cut_short_is_told(void **state)
{
    struct fixture *f = *state;
    FILE *file = fopen(f->cert, "ae");
    assert_non_null(file);
    (void)fputs("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", file);
    (void)fclose(file);
    expect_client_refusal(f, f->cert, "damaged");
}

static void a_file_of_any_size_is_not_read_into_memory(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(truncate(f->cert, TLS_FILE_BYTES_MAX + 1), 0);
    expect_client_refusal(f, f->cert, "too large");
}

static void the_key_of_another_certificate_is_told(void **state)
{
    struct fixture *f = *state;
    struct tls_cert other = tls_cert_make(&ca, &(struct tls_cert_options){0});
    tls_cert_save_key(&other, f->dir, "key.pem", NULL);
    tls_cert_done(&other);
    expect_client_refusal(f, f->key, "is not the key of the certificate in");
    assert_non_null(strstr(f->detail, f->cert));
}

static void a_key_with_a_passphrase_is_told_and_nobody_is_asked_for_it(void **state)
{
    struct fixture *f = *state;
    struct tls_cert c = tls_cert_make(&ca, &(struct tls_cert_options){0});
    tls_cert_save(&c, f->dir, "cert.pem");
    tls_cert_save_key(&c, f->dir, "key.pem", "secret");
    tls_cert_done(&c);
    expect_client_refusal(f, f->key, "has a passphrase");
}

static void a_certificate_out_of_its_time_is_told_with_the_day(void **state)
{
    struct fixture *f = *state;
    save_made(f, &ca, (struct tls_cert_options){.begins_seconds = -DAY, .ends_seconds = -60});
    expect_client_refusal(f, f->cert, "has expired on ");
    assert_non_null(strstr(f->detail, " GMT"));
    save_made(f, &ca, (struct tls_cert_options){.begins_seconds = 600, .ends_seconds = DAY});
    expect_client_refusal(f, f->cert, "is not valid before ");
}

static void a_certificate_for_another_purpose_is_told(void **state)
{
    struct fixture *f = *state;
    save_made(f, &ca, (struct tls_cert_options){.purposes = "clientAuth"});
    expect_client_refusal(f, f->cert, "not one for servers");
    save_made(f, &ca, (struct tls_cert_options){.purposes = "serverAuth"});
    expect_loaded(f, TLS_FOR_CLIENTS);
    f->files.ca = f->ca;
    expect_refused(f, TLS_FOR_PEERS, f->cert, "not one for clients");
}

static void a_weak_key_is_told(void **state)
{
    struct fixture *f = *state;
    save_made(f, &ca, (struct tls_cert_options){.is_weak = true});
    expect_client_refusal(f, f->cert, "cannot be used");
    assert_non_null(strstr(f->detail, "too small"));
}

static void a_node_has_a_certificate_of_its_clusters_ca(void **state)
{
    struct fixture *f = *state;
    f->files.ca = f->ca;
    expect_loaded(f, TLS_FOR_PEERS);
    struct tls_cert other = tls_cert_make(NULL, &(struct tls_cert_options){.is_ca = true});
    tls_cert_save(&other, f->dir, "ca.pem");
    tls_cert_done(&other);
    expect_refused(f, TLS_FOR_PEERS, f->cert, "is not one of the CA in");
    tls_save_text(f->dir, "ca.pem", "");
    expect_refused(f, TLS_FOR_PEERS, f->ca, "has no certificate in PEM");
    (void)unlink(f->ca);
    expect_refused(f, TLS_FOR_PEERS, f->ca, "No such file");
}

static void a_nodes_certificate_names_the_node_once(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {NULL, "DNS:localhost", "URI:https://c/node/1",
                                        "URI:dormouse://c/node/1,URI:dormouse://c/node/2"};
    f->files.ca = f->ca;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        save_made(f, &ca, (struct tls_cert_options){.names = names[i]});
        expect_refused(f, TLS_FOR_PEERS, f->cert, "does not name a node");
    }
    save_made(f, &ca,
              (struct tls_cert_options){.names = "DNS:a,URI:https://b,URI:dormouse://c/node/7"});
    struct tls_context *c;
    expect_err(tls_context_new(TLS_FOR_PEERS, &f->files, clock_wall_ms(), &c, f->detail), ERR_OK);
    assert_string_equal(tls_context_uri(c), "dormouse://c/node/7");
    tls_context_unref(c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    test_begin();
    const struct CMUnitTest tests[] = {
        T(a_pair_is_loaded_and_says_when_it_ends),
        T(a_file_that_is_not_there_is_told_in_the_systems_words),
        T(a_file_without_pem_is_told),
        T(a_chain_cut_short_is_told),
        T(a_file_of_any_size_is_not_read_into_memory),
        T(the_key_of_another_certificate_is_told),
        T(a_key_with_a_passphrase_is_told_and_nobody_is_asked_for_it),
        T(a_certificate_out_of_its_time_is_told_with_the_day),
        T(a_certificate_for_another_purpose_is_told),
        T(a_weak_key_is_told),
        T(a_node_has_a_certificate_of_its_clusters_ca),
        T(a_nodes_certificate_names_the_node_once),
    };
    return cmocka_run_group_tests(tests, make_ca, free_ca);
}
