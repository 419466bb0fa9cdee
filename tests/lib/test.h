/* What every unit test includes: cmocka in the order it wants, typed helpers, the shared main.
 *
 *     static void a_sentence_about_behaviour(void **state) { ... }
 *     TEST_MAIN(cmocka_unit_test(a_sentence_about_behaviour), ...)
 */
#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/slice.h"

/* Prints both sides as text where they differ. */
void expect_slice(struct slice got, struct slice want);
void expect_str(struct slice got, const char *want);
void expect_err(enum err got, enum err want);

/* Makes invariant failures visible to expect_assert_failure(). Undone by the next test's start. */
void expect_invariants_to_fail(void);

/* A new empty directory under TMPDIR; test_remove_dir removes it with all it holds. */
char *test_make_dir(void); /* free with test_remove_dir */
void test_remove_dir(char *path);

/* A crash loses what a pipe has buffered: lines go out as they are written. */
void test_begin(void);

#define TEST_MAIN(...)                                    \
    int main(void)                                        \
    {                                                     \
        test_begin();                                     \
        const struct CMUnitTest tests[] = {__VA_ARGS__};  \
        return cmocka_run_group_tests(tests, NULL, NULL); \
    }

#endif
