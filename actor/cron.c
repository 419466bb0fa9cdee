#include "actor/cron.h"

#include <string.h>
#include <time.h>

#include "base/invariant.h"

enum {
    DAY_S = 24 * 60 * 60,
    HOUR_S = 60 * 60,
    MINUTE_S = 60,
    SEARCH_DAYS_MAX = 8 * 366 + 1, /* 29 February 2096 to that of 2104, and today */
};

enum field_index { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELD_COUNT };

struct field {
    unsigned min;
    unsigned max;
    const char *names; /* three letters each, from `first_name` on; or NULL */
    unsigned first_name;
    const char *detail;
};

static const struct field fields[FIELD_COUNT] = {
    [MINUTE] = {0, 59, NULL, 0, "cron: the minute field takes 0-59 with * , - and /"},
    [HOUR] = {0, 23, NULL, 0, "cron: the hour field takes 0-23 with * , - and /"},
    [DAY] = {1, 31, NULL, 0, "cron: the day-of-month field takes 1-31 with * , - and /"},
    [MONTH] = {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec", 1,
               "cron: the month field takes 1-12 or jan-dec with * , - and /"},
    [WEEKDAY] = {0, 7, "sunmontuewedthufrisat", 0,
                 "cron: the day-of-week field takes 0-7 or sun-sat with * , - and /"},
};

enum { SUNDAY_AGAIN = 7 };

static const char not_five_fields[] =
    "cron: five fields are needed: minute, hour, day-of-month, month, day-of-week";

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool take_byte(struct slice *rest, uint8_t byte)
{
    if (rest->len == 0 || rest->data[0] != byte) {
        return false;
    }
    *rest = slice_skip(*rest, 1);
    return true;
}

static bool take_number(struct slice *rest, unsigned *ret_number)
{
    unsigned number = 0;
    size_t digits = 0;
    while (digits < rest->len && is_digit(rest->data[digits])) {
        number = number * 10 + (rest->data[digits] - '0');
        digits++;
        if (digits > 3) {
            return false; /* no field needs more, and the sum cannot overflow */
        }
    }
    if (digits == 0) {
        return false;
    }
    *rest = slice_skip(*rest, digits);
    *ret_number = number;
    return true;
}

static bool take_name(struct slice *rest, const struct field *f, unsigned *ret_value)
{
    if (f->names == NULL || rest->len < 3) {
        return false;
    }
    for (unsigned at = 0; f->names[3 * at] != '\0'; at++) {
        const char *name = f->names + 3 * (size_t)at;
        if (lower(rest->data[0]) == name[0] && lower(rest->data[1]) == name[1] &&
            lower(rest->data[2]) == name[2]) {
            *rest = slice_skip(*rest, 3);
            *ret_value = f->first_name + at;
            return true;
        }
    }
    return false;
}

static bool take_value(struct slice *rest, const struct field *f, unsigned *ret_value)
{
    unsigned value;
    if (!take_name(rest, f, &value) && !take_number(rest, &value)) {
        return false;
    }
    if (value < f->min || value > f->max) {
        return false;
    }
    *ret_value = value;
    return true;
}

/* The end of `*` and of `value/step`: Sunday counts once, as 0. */
static unsigned last_value(const struct field *f)
{
    return f->max == SUNDAY_AGAIN ? f->max - 1 : f->max;
}

/* What an item covers before its step: "*", "4" or "4-9". */
static bool take_range(struct slice *rest, const struct field *f, unsigned *ret_low,
                       unsigned *ret_high)
{
    if (take_byte(rest, '*')) {
        *ret_low = f->min;
        *ret_high = last_value(f);
        return true;
    }
    unsigned low;
    if (!take_value(rest, f, &low)) {
        return false;
    }
    unsigned high = low;
    if (take_byte(rest, '-')) {
        if (!take_value(rest, f, &high)) {
            return false;
        }
        if (f->max == SUNDAY_AGAIN && high == 0 && low > 0) {
            high = SUNDAY_AGAIN;
        }
    } else if (rest->len > 0 && rest->data[0] == '/') {
        high = low > last_value(f) ? low : last_value(f);
    }
    *ret_low = low;
    *ret_high = high;
    return low <= high;
}

/* Adds the values of one item to the set. */
static bool take_item(struct slice *rest, const struct field *f, uint64_t *set)
{
    unsigned low;
    unsigned high;
    unsigned step = 1;
    if (!take_range(rest, f, &low, &high)) {
        return false;
    }
    if (take_byte(rest, '/') && (!take_number(rest, &step) || step == 0 || step > f->max)) {
        return false;
    }
    for (unsigned value = low; value <= high; value += step) {
        *set |= UINT64_C(1) << value;
    }
    return true;
}

static bool parse_field(struct slice text, const struct field *f, uint64_t *ret_set)
{
    uint64_t set = 0;
    do {
        if (!take_item(&text, f, &set)) {
            return false;
        }
    } while (take_byte(&text, ','));
    if (text.len > 0) {
        return false;
    }
    if (f->max == SUNDAY_AGAIN && (set & UINT64_C(1) << SUNDAY_AGAIN) != 0) {
        set = (set | 1) & ~(UINT64_C(1) << SUNDAY_AGAIN);
    }
    POST(set != 0);
    *ret_set = set;
    return true;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* The next run of bytes that are not blank; empty at the end. */
static struct slice take_word(struct slice *rest)
{
    while (rest->len > 0 && is_blank(rest->data[0])) {
        *rest = slice_skip(*rest, 1);
    }
    size_t len = 0;
    while (len < rest->len && !is_blank(rest->data[len])) {
        len++;
    }
    struct slice word = slice_of(rest->data, len);
    *rest = slice_skip(*rest, len);
    return word;
}

enum err cron_parse(struct slice text, struct cron *ret_cron, const char **ret_detail)
{
    if (text.len > CRON_BYTES_MAX) {
        *ret_detail = "cron: the expression is over 256 bytes";
        return ERR_BAD_REQUEST;
    }
    struct slice words[FIELD_COUNT];
    for (int i = 0; i < FIELD_COUNT; i++) {
        words[i] = take_word(&text);
    }
    if (words[FIELD_COUNT - 1].len == 0 || take_word(&text).len > 0) {
        *ret_detail = not_five_fields;
        return ERR_BAD_REQUEST;
    }
    uint64_t sets[FIELD_COUNT];
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (!parse_field(words[i], &fields[i], &sets[i])) {
            *ret_detail = fields[i].detail;
            return ERR_BAD_REQUEST;
        }
    }
    *ret_cron = (struct cron){.minutes = sets[MINUTE],
                              .hours = sets[HOUR],
                              .days = sets[DAY],
                              .months = sets[MONTH],
                              .weekdays = sets[WEEKDAY]};
    return ERR_OK;
}

static bool has(uint64_t set, int value)
{
    PRE(value >= 0 && value < 64);
    return (set >> value & 1) != 0;
}

static bool is_restricted(uint64_t set, const struct field *f)
{
    uint64_t all = (UINT64_C(2) << last_value(f)) - (UINT64_C(1) << f->min);
    return set != all;
}

static bool day_is_due(const struct cron *c, const struct tm *day)
{
    if (!has(c->months, day->tm_mon + 1)) {
        return false;
    }
    bool by_date = has(c->days, day->tm_mday);
    bool by_weekday = has(c->weekdays, day->tm_wday);
    if (is_restricted(c->days, &fields[DAY]) && is_restricted(c->weekdays, &fields[WEEKDAY])) {
        return by_date || by_weekday;
    }
    return by_date && by_weekday;
}

/* The first due instant after `after_s` among the local minutes of one day from `minute` on. */
static bool next_in_day(const struct cron *c, const struct zone *z, int64_t day_s, int minute,
                        int64_t after_s, int64_t *ret_due_s)
{
    for (int hour = minute / 60; hour < 24; hour++) {
        if (!has(c->hours, hour)) {
            continue;
        }
        for (int m = hour == minute / 60 ? minute % 60 : 0; m < 60; m++) {
            if (!has(c->minutes, m)) {
                continue;
            }
            int64_t due_s = zone_instant(z, day_s + hour * HOUR_S + m * MINUTE_S);
            if (due_s > after_s) { /* else the first pass of a repeated hour */
                *ret_due_s = due_s;
                return true;
            }
        }
    }
    return false;
}

bool cron_next(const struct cron *c, const struct zone *z, uint64_t after_ms, uint64_t *ret_due_ms)
{
    PRE(c->minutes != 0 && c->hours != 0 && c->days != 0 && c->months != 0 && c->weekdays != 0);

    /* zone_instant never falls as local time grows, so nothing before the local time of `after`
     * can be due later than it. */
    int64_t after_s = (int64_t)(after_ms / 1000);
    int64_t local_s = zone_local(z, after_s);
    int64_t into_day_s = (local_s % DAY_S + DAY_S) % DAY_S;
    int64_t day_s = local_s - into_day_s;
    int minute = (int)(into_day_s / MINUTE_S);
    for (int i = 0; i < SEARCH_DAYS_MAX; i++, day_s += DAY_S, minute = 0) {
        time_t at = day_s;
        struct tm day;
        if (gmtime_r(&at, &day) == NULL || day.tm_year + 1900 > ZONE_YEAR_MAX) {
            return false;
        }
        int64_t due_s;
        if (day_is_due(c, &day) && next_in_day(c, z, day_s, minute, after_s, &due_s)) {
            *ret_due_ms = (uint64_t)due_s * 1000;
            POST(*ret_due_ms > after_ms);
            return true;
        }
    }
    return false;
}
