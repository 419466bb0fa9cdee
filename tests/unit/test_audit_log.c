#include "node/audit_log.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

static struct buf record_of(const char *ns, uint64_t i, size_t filler)
{
    struct buf doc = {0};
    char *text = mem_zalloc(filler + 1);
    memset(text, 'x', filler);
    value_put_map(&doc, 3);
    value_put_text(&doc, "namespace");
    value_put_text(&doc, ns);
    value_put_text(&doc, "i");
    value_put_uint(&doc, i);
    value_put_text(&doc, "path");
    value_put_text(&doc, text);
    mem_free(text);
    return doc;
}

static bool add(struct audit_log *l, const char *ns, uint64_t i, size_t filler)
{
    struct buf doc = record_of(ns, i, filler);
    bool good = audit_log_add(l, buf_slice(&doc));
    buf_done(&doc);
    return good;
}

/* The numbers `i` of a page, and where its last record stands. */
static uint32_t read(struct audit_log *l, struct audit_query *q, uint64_t *ret_i, bool *ret_more)
{
    struct buf page = {0};
    uint32_t count;
    audit_log_read(l, q, &page, &count, ret_more);
    struct value_iter it = {.rest = buf_slice(&page), .left = count};
    struct slice item;
    struct slice doc;
    for (uint32_t k = 0; value_next(&it, &item); k++) {
        struct value_iter of = value_items(item);
        assert_true(value_next(&of, &doc) && value_get_uint(doc, &q->after.time_ms));
        assert_true(value_next(&of, &doc) && value_get_uint(doc, &q->after.number));
        q->after.node = l->node;
        assert_true(value_next(&of, &doc) && value_member(doc, "i", &item) &&
                    value_get_uint(item, &ret_i[k]));
    }
    buf_done(&page);
    return count;
}

static void records_are_read_in_pages_in_their_order_also_by_another_process(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    struct audit_log l;
    uint64_t is[16];
    bool more = true;
    audit_log_init(&l, dir, 7);
    for (uint64_t i = 0; i < 10; i++) {
        assert_true(add(&l, i % 2 == 0 ? "even" : "odd", i, 10));
    }
    for (int life = 1; life <= 2; life++) {
        struct audit_query q = {.limit = 4};
        uint64_t next = 0;
        for (more = true; more; q.has_after = true) {
            uint32_t count = read(&l, &q, is, &more);
            for (uint32_t k = 0; k < count; k++) {
                assert_int_equal(is[k], next++);
            }
        }
        assert_int_equal(next, 10);
        struct audit_query odd = {.limit = 16, .ns = SLICE("odd")};
        assert_int_equal(read(&l, &odd, is, &more), 5);
        assert_int_equal(is[4], 9);
        audit_log_done(&l);
        audit_log_init(&l, dir, 7);
    }
    assert_true(add(&l, "new", 10, 10));
    struct audit_query all = {.limit = 16};
    assert_int_equal(read(&l, &all, is, &more), 11);
    assert_true(is[10] == 10 && all.after.number >= 11);
    audit_log_done(&l);
    test_remove_dir(dir);
}

static size_t count_files(const char *dir)
{
    char path[512];
    size_t count = 0;
    struct dirent *entry;
    (void)snprintf(path, sizeof path, "%s/audit", dir);
    DIR *d = opendir(path);
    while (d != NULL && (entry = readdir(d)) != NULL) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return count;
}

static void the_oldest_records_go_and_the_newest_stay(void **state)
{
    enum { RECORDS = 1500, FILLER = 60 * 1024 };
    (void)state;
    char *dir = test_make_dir();
    struct audit_log l;
    uint64_t is[16];
    bool more;
    audit_log_init(&l, dir, 1);
    for (uint64_t i = 0; i < RECORDS;) {
        if (add(&l, "app", i, FILLER)) {
            i++;
        } else { /* its queue is full: a read waits for the writer */
            struct audit_query q = {.limit = 1};
            (void)read(&l, &q, is, &more);
        }
    }
    struct audit_query q = {.limit = 1};
    assert_int_equal(read(&l, &q, is, &more), 1);
    assert_true(more && is[0] > 0 && is[0] <= RECORDS - 7 * AUDIT_FILE_BYTES / (FILLER + 100));
    assert_true(count_files(dir) <= AUDIT_FILES_MAX);
    audit_log_done(&l);
    test_remove_dir(dir);
}

static void what_is_too_large_is_lost_and_counted(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    struct audit_log l;
    audit_log_init(&l, dir, 1);
    assert_false(add(&l, "app", 1, AUDIT_RECORD_BYTES_MAX));
    assert_int_equal(audit_log_lost(&l), 1);
    assert_int_equal(count_files(dir), 0);
    audit_log_done(&l);
    test_remove_dir(dir);
}

TEST_MAIN(cmocka_unit_test(records_are_read_in_pages_in_their_order_also_by_another_process),
          cmocka_unit_test(the_oldest_records_go_and_the_newest_stay),
          cmocka_unit_test(what_is_too_large_is_lost_and_counted))
