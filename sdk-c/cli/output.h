/* What is printed: tables for people, JSON for programs. */
#ifndef SDK_C_CLI_OUTPUT_H
#define SDK_C_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "sdk-c/dormouse.h"

/* A JSON string of UTF-8, quotes and all. */
void json_text(FILE *to, const char *text, size_t bytes);

/* The text with control characters shown as \xNN: keys of others must not steer a terminal. */
void plain_text(FILE *to, const char *text, size_t bytes);

/* The node as JSON on standard output. */
void print_json(struct dormouse_node node);

/* Flushes; false where anything could not be written. Says so. */
bool output_is_written(void);

/* A table: rows are collected so that columns align, and printed TABLE_ROWS at a time. On a terminal
 * the last column is cut to its width. Zero-initialise with `headings`. */
enum { TABLE_COLUMNS = 8, TABLE_ROWS = 500 };
struct table {
    const char *headings[TABLE_COLUMNS]; /* closed by NULL where fewer; e.g. {"KEY", "VERSION"} */
    char *cells[TABLE_ROWS][TABLE_COLUMNS];
    size_t widths[TABLE_COLUMNS];
    size_t row_count;
    size_t cell_count; /* in the row that is being filled */
    bool has_headings; /* they have been printed */
};

/* The next cell of the row; a row is complete when all headings have one. Control characters are
 * shown as in plain_text. */
void table_text(struct table *t, const char *text, size_t bytes);
void table_printf(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Texts as they are, absent and null as "-", anything else as JSON. */
void table_node(struct table *t, struct dormouse_node node);
/* A time in ms since the epoch as UTC; "-" for another type. */
void table_time(struct table *t, struct dormouse_node node);
/* Prints what is left. The table is empty again, its headings printed. */
void table_end(struct table *t);

#endif
