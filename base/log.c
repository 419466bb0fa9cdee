#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { LINE_MAX_BYTES = 4096, TAIL_BYTES = 4 };

struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
};

static _Atomic int lowest_level = LOG_INFO;

void log_set_level(enum log_level lowest)
{
    atomic_store(&lowest_level, (int)lowest);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "debug";
    case LOG_INFO:
        return "info";
    case LOG_WARN:
        return "warn";
    case LOG_ERROR:
        return "error";
    }
    return "error";
}

static void put(struct line *l, const char *text, size_t n)
{
    size_t room = sizeof l->text - TAIL_BYTES - l->len;
    if (n > room) {
        n = room;
    }
    memcpy(l->text + l->len, text, n);
    l->len += n;
}

/* JSON escapes for what JSON demands; other bytes pass, and what is not ASCII is replaced byte by
 * byte: a log line must be valid whatever was in a path. */
static void put_string(struct line *l, const char *text)
{
    put(l, "\"", 1);
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        char escaped[8];
        if (byte == '"' || byte == '\\') {
            escaped[0] = '\\';
            escaped[1] = *c;
            put(l, escaped, 2);
        } else if (byte < 0x20 || byte >= 0x7f) {
            int n = snprintf(escaped, sizeof escaped, "\\u%04x", byte < 0x7f ? byte : 0xfffdU);
            put(l, escaped, (size_t)n);
        } else {
            put(l, c, 1);
        }
    }
    put(l, "\"", 1);
}

void log_event(enum log_level level, const char *event, const struct log_field *fields, int count)
{
    if ((int)level < atomic_load(&lowest_level)) {
        return;
    }
    struct line l = {.len = 0};
    char number[64];
    int n = snprintf(number, sizeof number,
                     "{\"ts\":%llu,\"level\":", (unsigned long long)clock_wall_ms());
    put(&l, number, (size_t)n);
    put_string(&l, level_name(level));
    put(&l, ",\"event\":", 9);
    put_string(&l, event);
    for (int i = 0; i < count; i++) {
        put(&l, ",", 1);
        put_string(&l, fields[i].name);
        put(&l, ":", 1);
        if (fields[i].text != NULL) {
            put_string(&l, fields[i].text);
        } else {
            n = snprintf(number, sizeof number, "%lld", (long long)fields[i].number);
            put(&l, number, (size_t)n);
        }
    }
    memcpy(l.text + l.len, "}\n", 2);
    l.len += 2;
    ssize_t written = write(STDERR_FILENO, l.text, l.len);
    (void)written; /* nobody is left to tell */
}
