#include "tests/lib/test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"

void expect_slice(struct slice got, struct slice want)
{
    if (!slice_equal(got, want)) {
        fail_msg("got \"%.*s\" (%zu bytes), want \"%.*s\" (%zu bytes)", (int)got.len,
                 (const char *)got.data, got.len, (int)want.len, (const char *)want.data, want.len);
    }
}

void expect_str(struct slice got, const char *want)
{
    expect_slice(got, slice_of_str(want));
}

void expect_err(enum err got, enum err want)
{
    if (got != want) {
        fail_msg("got %s, want %s", err_info(got)->name, err_info(want)->name);
    }
}

static void raise_mock_assert(const char *kind, const char *expr, const char *file, int line)
{
    (void)kind;
    mock_assert(0, expr, file, line);
}

void expect_invariants_to_fail(void)
{
    invariant_hook = raise_mock_assert;
}

char *test_make_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *path = mem_alloc(4096);
    (void)snprintf(path, 4096, "%s/dormouse-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL) {
        fail_msg("mkdtemp(%s) failed", path);
    }
    return path;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void test_remove_dir(char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    mem_free(path);
}

void test_begin(void)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    random_init();
}
