#include "actor/zone.h"

#include <stdbool.h>
#include <string.h>

#include <glib.h>

#include "base/invariant.h"
#include "base/mem.h"

enum { DAY_S = 24 * 60 * 60 };

struct zone {
    GTimeZone *rules; /* owned */
};

static bool is_letter(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* GLib takes POSIX rules too ("ABC5"), which look like these zones and are none of the database.
 * The real ones that have a digit and no folder are few and will not become more. */
static bool is_known_with_digit(struct slice name)
{
    static const char *const known[] = {"EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT",
                                        "GMT0",    "GMT+0",   "GMT-0"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (slice_equal_str(name, known[i])) {
            return true;
        }
    }
    return false;
}

/* Identifiers start with a capital; files beside them that are no zones ("leapseconds",
 * "right/...") do not. A dot never occurs, so no name leaves the folder of the zones. */
static bool name_is_plausible(struct slice name)
{
    if (name.len < 2 || name.len > ZONE_NAME_BYTES_MAX || name.data[0] < 'A' ||
        name.data[0] > 'Z') {
        return false;
    }
    bool has_digit = false;
    bool has_folder = false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        has_digit = has_digit || is_digit(c);
        has_folder = has_folder || c == '/';
        if (!is_letter(c) && !is_digit(c) && memchr("/_+-", c, 4) == NULL) {
            return false;
        }
    }
    return !has_digit || has_folder || is_known_with_digit(name);
}

enum err zone_new(struct slice name, struct zone **ret_zone)
{
    if (!name_is_plausible(name)) {
        return ERR_BAD_REQUEST;
    }
    char text[ZONE_NAME_BYTES_MAX + 1];
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    GTimeZone *rules = g_time_zone_new_identifier(text);
    if (rules == NULL) {
        return ERR_BAD_REQUEST;
    }
    struct zone *z = MEM_NEW(struct zone);
    z->rules = rules;
    *ret_zone = z;
    return ERR_OK;
}

void zone_free(struct zone *z)
{
    if (z == NULL) {
        return;
    }
    g_time_zone_unref(z->rules);
    mem_free(z);
}

static int64_t offset_at(const struct zone *z, int64_t instant_s)
{
    int interval = g_time_zone_find_interval(z->rules, G_TIME_TYPE_UNIVERSAL, instant_s);
    INVARIANT(interval >= 0); /* every instant has an offset */
    return g_time_zone_get_offset(z->rules, interval);
}

int64_t zone_local(const struct zone *z, int64_t instant_s)
{
    return instant_s + offset_at(z, instant_s);
}

/* The first instant in (low, high] whose offset is not the one of `low`. */
static int64_t change_between(const struct zone *z, int64_t low, int64_t high)
{
    int64_t before = offset_at(z, low);
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (offset_at(z, middle) == before) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

int64_t zone_instant(const struct zone *z, int64_t local_s)
{
    /* No offset reaches a day, so these two instants enclose the one we look for. No zone of the
     * database ever changed its clock twice within them; files that do get a wrong answer only. */
    int64_t before = offset_at(z, local_s - DAY_S);
    int64_t after = offset_at(z, local_s + DAY_S);
    int64_t first = local_s - before;
    if (offset_at(z, first) == before) {
        return first;
    }
    int64_t second = local_s - after;
    if (offset_at(z, second) == after) {
        return second;
    }
    /* The clock jumped over this time. */
    return second < first ? change_between(z, second, first) : first;
}
