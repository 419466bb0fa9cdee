#include "rpc/http_date.h"

#include <string.h>
#include <time.h>

enum { YEAR_MAX = 9999 };

/* Not strftime's, which speak the language of the locale. */
static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static void put_number(char *at, int digits, int number)
{
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

void http_date_set(struct http_date *d, uint64_t wall_ms)
{
    uint64_t second = wall_ms / 1000;
    if (second == d->second) {
        return;
    }
    time_t at = (time_t)second;
    struct tm tm;
    if (gmtime_r(&at, &tm) == NULL || tm.tm_year + 1900 > YEAR_MAX) {
        d->second = 0;
        return;
    }
    d->second = second;
    memcpy(d->text, "Ddd, 00 Mmm 0000 00:00:00 GMT", HTTP_DATE_BYTES);
    memcpy(d->text, days[tm.tm_wday], 3);
    put_number(d->text + 5, 2, tm.tm_mday);
    memcpy(d->text + 8, months[tm.tm_mon], 3);
    put_number(d->text + 12, 4, tm.tm_year + 1900);
    put_number(d->text + 17, 2, tm.tm_hour);
    put_number(d->text + 20, 2, tm.tm_min);
    put_number(d->text + 23, 2, tm.tm_sec);
}

struct slice http_date_text(const struct http_date *d)
{
    return slice_of(d->text, d->second != 0 ? HTTP_DATE_BYTES : 0);
}
