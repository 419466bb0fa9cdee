#include <string.h>
#include <time.h>

#include "actor/cron.h"
#include "actor/zone.h"

#include "tests/lib/test.h"

static struct cron parsed(const char *text)
{
    struct cron c;
    const char *detail = "none";
    enum err err = cron_parse(slice_of_str(text), &c, &detail);
    if (err != ERR_OK) {
        fail_msg("\"%s\" was refused: %s", text, detail);
    }
    return c;
}

static struct zone *zone_of(const char *name)
{
    struct zone *z = NULL;
    expect_err(zone_new(slice_of_str(name), &z), ERR_OK);
    return z;
}

/* "2026-03-29 01:00:00", in UTC */
static uint64_t ms_of(const char *utc)
{
    struct tm at = {0};
    const char *end = strptime(utc, "%Y-%m-%d %H:%M:%S", &at);
    if (end == NULL || *end != '\0') {
        fail_msg("\"%s\" is no time", utc);
    }
    return (uint64_t)timegm(&at) * 1000;
}

static void expect_time(uint64_t got_ms, const char *want)
{
    time_t at = (time_t)(got_ms / 1000);
    struct tm utc;
    char text[32];
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", gmtime_r(&at, &utc));
    assert_string_equal(text, want);
}

/* Bits low to high. */
static uint64_t bits(int low, int high)
{
    uint64_t set = 0;
    for (int i = low; i <= high; i++) {
        set |= UINT64_C(1) << i;
    }
    return set;
}

static void stars_leave_nothing_out(void **state)
{
    (void)state;
    struct cron c = parsed("* * * * *");
    assert_int_equal(c.minutes, bits(0, 59));
    assert_int_equal(c.hours, bits(0, 23));
    assert_int_equal(c.days, bits(1, 31));
    assert_int_equal(c.months, bits(1, 12));
    assert_int_equal(c.weekdays, bits(0, 6));
}

static void lists_ranges_steps_and_names_make_sets(void **state)
{
    (void)state;
    struct cron c = parsed(" 0,30\t9-17/4  */10 JAN-mar,Dec  Fri-sun ");
    assert_int_equal(c.minutes, bits(0, 0) | bits(30, 30));
    assert_int_equal(c.hours, bits(9, 9) | bits(13, 13) | bits(17, 17));
    assert_int_equal(c.days, bits(1, 1) | bits(11, 11) | bits(21, 21) | bits(31, 31));
    assert_int_equal(c.months, bits(1, 3) | bits(12, 12));
    assert_int_equal(c.weekdays, bits(5, 6) | bits(0, 0));
}

static void a_value_with_a_step_runs_to_the_end_of_its_range(void **state)
{
    (void)state;
    assert_int_equal(parsed("40/10 * * * *").minutes, bits(40, 40) | bits(50, 50));
    assert_int_equal(parsed("0 0 * * 4/2").weekdays, bits(4, 4) | bits(6, 6));
}

static void sunday_is_zero_and_seven(void **state)
{
    (void)state;
    const struct {
        const char *weekdays;
        uint64_t want;
    } rows[] = {
        {"0", bits(0, 0)},
        {"7", bits(0, 0)},
        {"sun", bits(0, 0)},
        {"5-7", bits(5, 6) | bits(0, 0)},
        {"0-7", bits(0, 6)},
        {"5-0", bits(5, 6) | bits(0, 0)},
        {"0-2", bits(0, 2)},
        {"sun-tue", bits(0, 2)},
        {"0-7/7", bits(0, 0)},
        {"7/2", bits(0, 0)},
        {"*/2", bits(0, 0) | bits(2, 2) | bits(4, 4) | bits(6, 6)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[32];
        snprintf(text, sizeof(text), "0 0 * * %s", rows[i].weekdays);
        assert_int_equal(parsed(text).weekdays, rows[i].want);
    }
}

static void what_is_wrong_is_told_by_field(void **state)
{
    (void)state;
    const struct {
        const char *text;
        const char *says;
    } rows[] = {
        {"", "five fields"},
        {"* * * *", "five fields"},
        {"* * * * * *", "five fields"},
        {"@daily", "five fields"},
        {"60 * * * *", "minute"},
        {"-1 * * * *", "minute"},
        {"5- * * * *", "minute"},
        {"30-10 * * * *", "minute"},
        {"*/0 * * * *", "minute"},
        {"*/60 * * * *", "minute"},
        {"*/ * * * *", "minute"},
        {"*5 * * * *", "minute"},
        {"1,,2 * * * *", "minute"},
        {"1, * * * *", "minute"},
        {",1 * * * *", "minute"},
        {"1/2/3 * * * *", "minute"},
        {"99999999999999999999 * * * *", "minute"},
        {"mon * * * *", "minute"},
        {"* 24 * * *", "hour"},
        {"* 1.5 * * *", "hour"},
        {"* * 0 * *", "day-of-month"},
        {"* * 32 * *", "day-of-month"},
        {"* * L * *", "day-of-month"},
        {"* * ? * *", "day-of-month"},
        {"* * * 0 *", "month"},
        {"* * * 13 *", "month"},
        {"* * * mon *", "month"},
        {"* * * january *", "month"},
        {"* * * ja *", "month"},
        {"* * * * 8", "day-of-week"},
        {"* * * * jan", "day-of-week"},
        {"* * * * sat-mon", "day-of-week"},
        {"* * * * mon#2", "day-of-week"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cron c;
        const char *detail = "";
        expect_err(cron_parse(slice_of_str(rows[i].text), &c, &detail), ERR_BAD_REQUEST);
        if (strstr(detail, rows[i].says) == NULL) {
            fail_msg("\"%s\": \"%s\" does not say \"%s\"", rows[i].text, detail, rows[i].says);
        }
    }
}

static void a_long_expression_and_a_zero_byte_are_refused(void **state)
{
    (void)state;
    struct cron c;
    const char *detail = NULL;
    char text[CRON_BYTES_MAX + 2];
    memset(text, ' ', sizeof(text));
    memcpy(text, "* * * * *", 9);
    expect_err(cron_parse(slice_of(text, CRON_BYTES_MAX), &c, &detail), ERR_OK);
    expect_err(cron_parse(slice_of(text, CRON_BYTES_MAX + 1), &c, &detail), ERR_BAD_REQUEST);
    expect_err(cron_parse(slice_of("* * * * *\0", 10), &c, &detail), ERR_BAD_REQUEST);
}

static void names_that_are_no_zones_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "Europe",
        "Europe/Atlantis",
        "europe/berlin",
        "/usr/share/zoneinfo/UTC",
        "Europe/../UTC",
        "../UTC",
        "+05:30",
        "Z",
        "ABC5",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "UTC+5",
        "leapseconds",
        "posixrules",
        "right/Europe/Berlin",
        "Europe/Berlin ",
        "A/very/long/name/that/is/longer/than/any/zone/of/the/whole/"
        "database"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct zone *z = NULL;
        if (zone_new(slice_of_str(names[i]), &z) != ERR_BAD_REQUEST) {
            fail_msg("\"%s\" was taken for a zone", names[i]);
        }
    }
    struct zone *z = NULL;
    expect_err(zone_new(slice_of("UTC\0x", 5), &z), ERR_BAD_REQUEST);
}

static void names_of_the_database_are_zones(void **state)
{
    (void)state;
    static const char *const names[] = {
        "UTC",   "Etc/GMT+5", "EST5EDT",      "GMT0",
        "GMT+0", "Etc/UTC",   "Asia/Kolkata", "America/Argentina/ComodRivadavia"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        zone_free(zone_of(names[i]));
    }
}

struct row {
    const char *zone;
    const char *cron;
    const char *after; /* all in UTC */
    const char *due;
    const char *then;
};

/* Each row: the first two due times after an instant. */
static void expect_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct zone *z = zone_of(rows[i].zone);
        struct cron c = parsed(rows[i].cron);
        uint64_t due_ms;
        assert_true(cron_next(&c, z, ms_of(rows[i].after), &due_ms));
        expect_time(due_ms, rows[i].due);
        assert_true(cron_next(&c, z, due_ms, &due_ms));
        expect_time(due_ms, rows[i].then);
        zone_free(z);
    }
}
#define EXPECT_ROWS(rows) expect_rows(rows, sizeof(rows) / sizeof(rows[0]))

static void due_times_come_in_order_in_utc(void **state)
{
    (void)state;
    const struct row rows[] = {
        {"UTC", "* * * * *", "2026-01-01 00:00:00", "2026-01-01 00:01:00", "2026-01-01 00:02:00"},
        {"UTC", "* * * * *", "2026-12-31 23:59:59", "2027-01-01 00:00:00", "2027-01-01 00:01:00"},
        {"UTC", "0 9 * * 1-5", "2026-01-02 09:00:00", "2026-01-05 09:00:00", "2026-01-06 09:00:00"},
        {"UTC", "0 0 31 * *", "2026-01-31 00:00:00", "2026-03-31 00:00:00", "2026-05-31 00:00:00"},
        {"UTC", "59 23 31 12 *", "2026-12-31 23:59:00", "2027-12-31 23:59:00",
         "2028-12-31 23:59:00"},
        {"UTC", "0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00:00", "2032-02-29 00:00:00"},
        {"UTC", "0 0 29 2 *", "2096-02-29 00:00:00", "2104-02-29 00:00:00", "2108-02-29 00:00:00"},
        {"UTC", "0 0 * * *", "1970-01-01 00:00:00", "1970-01-02 00:00:00", "1970-01-03 00:00:00"},
        {"America/New_York", "0 0 * * *", "1970-01-01 00:00:00", "1970-01-01 05:00:00",
         "1970-01-02 05:00:00"},
    };
    EXPECT_ROWS(rows);
}

static void both_kinds_of_day_restricted_mean_either(void **state)
{
    (void)state;
    const struct row rows[] = {
        /* 2026-02-13 is a Friday; so is the 6th */
        {"UTC", "0 0 13 * fri", "2026-02-01 00:00:00", "2026-02-06 00:00:00",
         "2026-02-13 00:00:00"},
        {"UTC", "0 0 10 * fri", "2026-02-06 00:00:00", "2026-02-10 00:00:00",
         "2026-02-13 00:00:00"},
        /* what leaves no value out restricts nothing */
        {"UTC", "0 0 1-31 * fri", "2026-02-06 00:00:00", "2026-02-13 00:00:00",
         "2026-02-20 00:00:00"},
        {"UTC", "0 0 10 * 0-7", "2026-02-06 00:00:00", "2026-02-10 00:00:00",
         "2026-03-10 00:00:00"},
        /* 30 February is never, but a Monday of February is */
        {"UTC", "0 0 30 2 mon", "2026-03-01 00:00:00", "2027-02-01 00:00:00",
         "2027-02-08 00:00:00"},
    };
    EXPECT_ROWS(rows);
}

static void a_skipped_local_time_is_due_once_at_the_first_instant_after_the_gap(void **state)
{
    (void)state;
    const struct row rows[] = {
        /* 02:00 becomes 03:00 at 01:00 UTC */
        {"Europe/Berlin", "30 2 * * *", "2026-03-28 12:00:00", "2026-03-29 01:00:00",
         "2026-03-30 00:30:00"},
        {"Europe/Berlin", "0 2 * * *", "2026-03-28 12:00:00", "2026-03-29 01:00:00",
         "2026-03-30 00:00:00"},
        /* all of the gap, and 03:00 itself, make one */
        {"Europe/Berlin", "0,20,40 2-3 * * *", "2026-03-28 12:00:00", "2026-03-29 01:00:00",
         "2026-03-29 01:20:00"},
        {"Europe/Berlin", "*/30 * * * *", "2026-03-29 00:30:00", "2026-03-29 01:00:00",
         "2026-03-29 01:30:00"},
        /* from inside the second before the gap, and from its end on */
        {"Europe/Berlin", "15 2 * * *", "2026-03-29 00:59:59", "2026-03-29 01:00:00",
         "2026-03-30 00:15:00"},
        {"Europe/Berlin", "15 2 * * *", "2026-03-29 01:00:00", "2026-03-30 00:15:00",
         "2026-03-31 00:15:00"},
        {"America/New_York", "30 2 * * *", "2026-03-07 12:00:00", "2026-03-08 07:00:00",
         "2026-03-09 06:30:00"},
        /* half an hour: 02:00 becomes 02:30 at 15:30 UTC the day before */
        {"Australia/Lord_Howe", "15 2 * * *", "2026-10-03 00:00:00", "2026-10-03 15:30:00",
         "2026-10-04 15:15:00"},
        /* a day that never was: 2011-12-30 */
        {"Pacific/Apia", "0 12 30 12 *", "2011-12-01 00:00:00", "2011-12-30 10:00:00",
         "2012-12-29 22:00:00"},
    };
    EXPECT_ROWS(rows);
}

static void a_repeated_local_time_is_due_the_first_time_only(void **state)
{
    (void)state;
    const struct row rows[] = {
        /* 03:00 becomes 02:00 at 01:00 UTC */
        {"Europe/Berlin", "30 2 * * *", "2026-10-24 12:00:00", "2026-10-25 00:30:00",
         "2026-10-26 01:30:00"},
        {"Europe/Berlin", "*/30 * * * *", "2026-10-25 00:00:00", "2026-10-25 00:30:00",
         "2026-10-25 02:00:00"},
        /* from inside the second pass */
        {"Europe/Berlin", "30 2 * * *", "2026-10-25 01:10:00", "2026-10-26 01:30:00",
         "2026-10-27 01:30:00"},
        {"America/New_York", "30 1 * * *", "2026-10-31 12:00:00", "2026-11-01 05:30:00",
         "2026-11-02 06:30:00"},
        /* half an hour: 02:00 becomes 01:30 at 15:00 UTC the day before */
        {"Australia/Lord_Howe", "45 1 * * *", "2026-04-03 20:00:00", "2026-04-04 14:45:00",
         "2026-04-05 15:15:00"},
    };
    EXPECT_ROWS(rows);
}

static void zones_off_the_hour_and_years_ahead_are_right(void **state)
{
    (void)state;
    const struct row rows[] = {
        {"Asia/Kolkata", "0 9 * * *", "2026-06-01 00:00:00", "2026-06-01 03:30:00",
         "2026-06-02 03:30:00"},
        {"Asia/Kolkata", "0 0 1 * *", "2026-06-01 00:00:00", "2026-06-30 18:30:00",
         "2026-07-31 18:30:00"},
        {"Europe/Berlin", "0 12 15 1,7 *", "2060-01-01 00:00:00", "2060-01-15 11:00:00",
         "2060-07-15 10:00:00"},
        {"America/New_York", "0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 05:00:00",
         "2032-02-29 05:00:00"},
    };
    EXPECT_ROWS(rows);
}

static void fractions_of_a_second_never_repeat_a_due_time(void **state)
{
    (void)state;
    struct zone *z = zone_of("UTC");
    struct cron c = parsed("0 * * * *");
    uint64_t due_ms;
    assert_true(cron_next(&c, z, ms_of("2026-01-01 00:00:00") - 1, &due_ms));
    expect_time(due_ms, "2026-01-01 00:00:00");
    assert_true(cron_next(&c, z, ms_of("2026-01-01 00:00:00") + 999, &due_ms));
    expect_time(due_ms, "2026-01-01 01:00:00");
    zone_free(z);
}

static void a_date_that_never_comes_is_never_due(void **state)
{
    (void)state;
    static const char *const never[] = {"0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "* * 30-31 feb *"};
    struct zone *z = zone_of("Europe/Berlin");
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        struct cron c = parsed(never[i]);
        uint64_t due_ms = 1;
        assert_false(cron_next(&c, z, ms_of("2026-01-01 00:00:00"), &due_ms));
        assert_int_equal(due_ms, 1);
    }
    zone_free(z);
}

static void beyond_the_known_rules_nothing_is_due(void **state)
{
    (void)state;
    struct zone *z = zone_of("America/New_York");
    struct cron c = parsed("* * * * *");
    static const uint64_t late_ms[] = {UINT64_C(29400000000000), UINT64_C(1) << 53, UINT64_MAX};
    for (size_t i = 0; i < sizeof(late_ms) / sizeof(late_ms[0]); i++) {
        uint64_t due_ms;
        assert_false(cron_next(&c, z, late_ms[i], &due_ms));
    }
    zone_free(z);
}

/* The promise of zone.h, minute by minute around every clock change of three years. */
static void the_instant_of_a_local_time_is_the_first_that_shows_it_or_later(void **state)
{
    (void)state;
    static const char *const names[] = {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                                        "Africa/Casablanca", "Asia/Kolkata"};
    int64_t from_s = (int64_t)(ms_of("2025-01-01 00:00:00") / 1000);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct zone *z = zone_of(names[i]);
        int64_t last_s = 0;
        for (int64_t local_s = from_s; local_s < from_s + INT64_C(3) * 366 * 86400;
             local_s += 600) {
            int64_t at_s = zone_instant(z, local_s);
            if (at_s < last_s || zone_local(z, at_s) < local_s ||
                zone_local(z, at_s - 1) >= local_s) {
                fail_msg("%s: local %lld is not at %lld", names[i], (long long)local_s,
                         (long long)at_s);
            }
            last_s = at_s;
        }
        zone_free(z);
    }
}

TEST_MAIN(cmocka_unit_test(stars_leave_nothing_out),
          cmocka_unit_test(lists_ranges_steps_and_names_make_sets),
          cmocka_unit_test(a_value_with_a_step_runs_to_the_end_of_its_range),
          cmocka_unit_test(sunday_is_zero_and_seven),
          cmocka_unit_test(what_is_wrong_is_told_by_field),
          cmocka_unit_test(a_long_expression_and_a_zero_byte_are_refused),
          cmocka_unit_test(names_that_are_no_zones_are_refused),
          cmocka_unit_test(names_of_the_database_are_zones),
          cmocka_unit_test(due_times_come_in_order_in_utc),
          cmocka_unit_test(both_kinds_of_day_restricted_mean_either),
          cmocka_unit_test(a_skipped_local_time_is_due_once_at_the_first_instant_after_the_gap),
          cmocka_unit_test(a_repeated_local_time_is_due_the_first_time_only),
          cmocka_unit_test(zones_off_the_hour_and_years_ahead_are_right),
          cmocka_unit_test(fractions_of_a_second_never_repeat_a_due_time),
          cmocka_unit_test(a_date_that_never_comes_is_never_due),
          cmocka_unit_test(beyond_the_known_rules_nothing_is_due),
          cmocka_unit_test(the_instant_of_a_local_time_is_the_first_that_shows_it_or_later))
