#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "storage/wal.h"

struct reporter {
    wal_report_fn *report;
    void *ctx;
    struct buf line;
};

static void say(struct reporter *to, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct reporter *to, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    to->report(to->ctx, line);
}

static void say_detail(struct reporter *to, const char *what, const struct wal_detail *d)
{
    if (d->file[0] != '\0') {
        say(to, "%s: %s in %s at %" PRIu64, what, d->text, d->file, d->offset);
    } else {
        say(to, "%s: %s", what, d->text);
    }
}

static void say_groups(struct reporter *to, const struct wal_recovery *r)
{
    for (size_t i = 0; i < r->group_count; i++) {
        const struct wal_recovered_group *g = &r->groups[i];
        say(to,
            "group %" PRIu32 " replica %" PRIu64 ": term %" PRIu64 ", vote %" PRIu64
            ", snapshot %" PRIu64 " of term %" PRIu64 ", entries up to %" PRIu64,
            g->group, g->replica, g->term, g->vote, g->snapshot.index, g->snapshot.term,
            g->snapshot.index + g->entry_count);
    }
}

enum err wal_check(const char *dir, wal_report_fn *report, void *ctx)
{
    struct reporter to = {.report = report, .ctx = ctx};
    struct wal_recovery *r;
    enum err err = wal_recover(dir, &r);
    if (err == ERR_NOT_FOUND) {
        say(&to, "there is no WAL here");
    } else if (err != ERR_OK) {
        say_detail(&to, err_info(err)->name, &r->damage);
    } else {
        say(&to,
            "worker %" PRIu32 ", epoch %" PRIu64 ", segments %" PRIu64 " to %" PRIu64 ", %" PRIu64
            " frames, the next one is %" PRIu64,
            r->identity.worker, r->identity.epoch, r->floor, r->newest, r->frame_count,
            r->next_sequence);
        if (r->was_cut) {
            say_detail(&to, "cut", &r->cut);
        }
        say_groups(&to, r);
    }
    wal_recovery_free(r);
    return err;
}
