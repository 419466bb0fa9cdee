/* The log: JSON lines on standard error, one event each. Programs log; library code returns.
 *
 *     LOG(LOG_WARN, "wal_buffered", LOG_STR("dir", dir), LOG_INT("errno", errno));
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* A field: its name and a string, or a number where the string is NULL. */
struct log_field {
    const char *name;
    const char *text;
    int64_t number;
};

void log_set_level(enum log_level lowest);

/* One line, written with a single write(2) and safe from any thread. Strings are escaped as JSON;
 * what is not UTF-8 is replaced. Lines over 4 KiB are cut inside the last field. */
void log_event(enum log_level level, const char *event, const struct log_field *fields, int count);

#define LOG_STR(field_name, value) ((struct log_field){.name = (field_name), .text = (value)})
#define LOG_INT(field_name, value) ((struct log_field){.name = (field_name), .number = (value)})
#define LOG(level, event, ...)                                 \
    log_event(level, event, (struct log_field[]){__VA_ARGS__}, \
              (int)(sizeof((struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field)))

#endif
