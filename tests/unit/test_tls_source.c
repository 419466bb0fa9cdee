#include "node/tls_source.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/lib/test.h"
#include "tests/lib/tls_certs.h"

enum { PATH_BYTES = 4096, DAY = 24 * 60 * 60 };

struct fixture {
    char *dir;
    char cert[PATH_BYTES];
    char key[PATH_BYTES];
    struct tls_files files;
    struct tls_source source;
    uint64_t mono_ms;
};

/* Each pair is told by how long it lasts. */
static struct tls_cert make_pair(int days)
{
    return tls_cert_make(NULL,
                         &(struct tls_cert_options){.ends_seconds = (int64_t)days * DAY + DAY / 2});
}

static void save_pair(struct fixture *f, int days)
{
    struct tls_cert c = make_pair(days);
    tls_cert_save(&c, f->dir, "cert");
    tls_cert_save_key(&c, f->dir, "key", NULL);
    tls_cert_done(&c);
}

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    char detail[TLS_DETAIL_BYTES];
    log_set_level(LOG_ERROR + 1);
    f->dir = test_make_dir();
    f->mono_ms = 1000;
    (void)snprintf(f->cert, sizeof f->cert, "%s/cert", f->dir);
    (void)snprintf(f->key, sizeof f->key, "%s/key", f->dir);
    f->files = (struct tls_files){.cert = f->cert, .key = f->key};
    save_pair(f, 1);
    expect_err(tls_source_open(&f->source, TLS_FOR_CLIENTS, &f->files, f->mono_ms, clock_wall_ms(),
                               detail),
               ERR_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tls_source_close(&f->source);
    test_remove_dir(f->dir);
    mem_free(f);
    return 0;
}

static void poll_source(struct fixture *f, bool must)
{
    f->mono_ms += TLS_SOURCE_POLL_MS;
    tls_source_poll(&f->source, must, f->mono_ms, clock_wall_ms());
}

static void expect_pair(struct fixture *f, int days, uint64_t generation)
{
    uint64_t got;
    struct tls_context *c = tls_source_take(&f->source, &got);
    uint64_t left_ms = tls_context_expires_ms(c) - clock_wall_ms();
    assert_int_equal(left_ms / 1000 / DAY, days);
    assert_int_equal(got, generation);
    assert_int_equal(atomic_load(&f->source.generation), generation);
    tls_context_unref(c);
}

static void files_that_stay_as_they_are_are_read_once(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++) {
        poll_source(f, false);
    }
    expect_pair(f, 1, 1);
}

static void changed_files_are_a_new_generation(void **state)
{
    struct fixture *f = *state;
    uint64_t generation;
    struct tls_context *old = tls_source_take(&f->source, &generation);
    save_pair(f, 2);
    poll_source(f, false);
    expect_pair(f, 2, 2);
    poll_source(f, false);
    expect_pair(f, 2, 2);
    assert_true(tls_context_expires_ms(old) > 0); /* who has it keeps it */
    tls_context_unref(old);
}

static void a_file_replaced_by_rename_is_a_change(void **state)
{
    struct fixture *f = *state;
    char next[PATH_BYTES + 8];
    struct tls_cert c = make_pair(3);
    tls_cert_save_key(&c, f->dir, "key", NULL);
    tls_cert_save(&c, f->dir, "next");
    tls_cert_done(&c);
    (void)snprintf(next, sizeof next, "%s/next", f->dir);
    assert_int_equal(rename(next, f->cert), 0);
    poll_source(f, false);
    expect_pair(f, 3, 2);
}

/* Both files cannot change at once: in between they are no pair. */
static void a_half_of_a_new_pair_waits_for_the_other(void **state)
{
    struct fixture *f = *state;
    struct tls_cert c = make_pair(4);
    tls_cert_save(&c, f->dir, "cert");
    poll_source(f, false);
    expect_pair(f, 1, 1);
    assert_non_null(strstr(f->source.complaint, "is not the key of"));
    poll_source(f, false);
    expect_pair(f, 1, 1);
    tls_cert_save_key(&c, f->dir, "key", NULL);
    poll_source(f, false);
    expect_pair(f, 4, 2);
    assert_string_equal(f->source.complaint, "");
    tls_cert_done(&c);
}

static void files_that_went_or_are_no_good_leave_the_certificate_as_it_is(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(unlink(f->key), 0);
    poll_source(f, false);
    expect_pair(f, 1, 1);
    assert_non_null(strstr(f->source.complaint, "No such file"));
    tls_save_text(f->dir, "key", "not a key");
    poll_source(f, true);
    expect_pair(f, 1, 1);
    assert_non_null(strstr(f->source.complaint, "no private key"));
    struct tls_cert expired = tls_cert_make(
        NULL, &(struct tls_cert_options){.begins_seconds = -DAY, .ends_seconds = -60});
    tls_cert_save(&expired, f->dir, "cert");
    tls_cert_save_key(&expired, f->dir, "key", NULL);
    tls_cert_done(&expired);
    poll_source(f, false);
    expect_pair(f, 1, 1);
    assert_non_null(strstr(f->source.complaint, "has expired"));
    save_pair(f, 5);
    poll_source(f, false);
    expect_pair(f, 5, 2);
}

static void a_signal_reads_files_that_look_the_same(void **state)
{
    struct fixture *f = *state;
    poll_source(f, true);
    expect_pair(f, 1, 2);
}

static void a_context_is_renewed_with_its_ticket_key(void **state)
{
    struct fixture *f = *state;
    f->mono_ms += TLS_SOURCE_AGE_MS - 2 * TLS_SOURCE_POLL_MS;
    poll_source(f, false);
    expect_pair(f, 1, 1);
    poll_source(f, false);
    expect_pair(f, 1, 2);
    poll_source(f, false);
    expect_pair(f, 1, 2);
}

static void a_source_that_cannot_be_read_does_not_open(void **state)
{
    struct fixture *f = *state;
    struct tls_source s;
    char detail[TLS_DETAIL_BYTES];
    const struct tls_files files = {.cert = f->cert, .key = f->cert};
    expect_err(tls_source_open(&s, TLS_FOR_CLIENTS, &files, 0, clock_wall_ms(), detail),
               ERR_BAD_REQUEST);
    assert_non_null(strstr(detail, "no private key"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(T(files_that_stay_as_they_are_are_read_once), T(changed_files_are_a_new_generation),
          T(a_file_replaced_by_rename_is_a_change), T(a_half_of_a_new_pair_waits_for_the_other),
          T(files_that_went_or_are_no_good_leave_the_certificate_as_it_is),
          T(a_signal_reads_files_that_look_the_same), T(a_context_is_renewed_with_its_ticket_key),
          T(a_source_that_cannot_be_read_does_not_open))
