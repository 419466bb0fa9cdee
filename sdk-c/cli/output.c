#include "sdk-c/cli/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "sdk-c/cli/progress.h"

void json_text(FILE *to, const char *text, size_t bytes)
{
    fputc('"', to);
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            fprintf(to, "\\%c", c);
        } else if (c < ' ' || c == 0x7f) {
            fprintf(to, "\\u%04x", c);
        } else {
            fputc(c, to);
        }
    }
    fputc('"', to);
}

/* C1 controls are two bytes in UTF-8: C2, then 80 to 9F. */
static bool is_c1_control(const char *text, size_t left)
{
    return left >= 2 && (unsigned char)text[0] == 0xc2 && (unsigned char)text[1] >= 0x80 &&
           (unsigned char)text[1] < 0xa0;
}

void plain_text(FILE *to, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_c1_control(text + i, bytes - i)) {
            fprintf(to, "\\x%02x", (unsigned char)text[++i]);
        } else if (c < ' ' || c == 0x7f) {
            fprintf(to, "\\x%02x", c);
        } else {
            fputc(c, to);
        }
    }
}

void print_json(struct dormouse_node node)
{
    char *json = dormouse_node_json(node, NULL);
    puts(json);
    dormouse_text_free(json);
}

bool output_is_written(void)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return true;
    }
    perror("dormouse: standard output");
    return false;
}

/* ---- tables ---- */

static size_t column_count(const struct table *t)
{
    size_t count = 0;
    while (count < TABLE_COLUMNS && t->headings[count] != NULL) {
        count++;
    }
    return count;
}

/* Characters, not bytes; those of double width count one. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

/* The bytes of the first `width` characters. */
static int bytes_of_width(const char *text, size_t width)
{
    size_t at = 0;
    for (size_t seen = 0; text[at] != '\0'; at++) {
        seen += ((unsigned char)text[at] & 0xc0) != 0x80;
        if (seen > width) {
            break;
        }
    }
    return (int)at;
}

/* SIZE_MAX where standard output is no terminal: nothing is cut then. */
static size_t terminal_width(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 ||
        size.ws_col < 20) {
        return SIZE_MAX;
    }
    return size.ws_col;
}

static void print_row(const struct table *t, const char *const *cells, size_t screen)
{
    size_t columns = column_count(t);
    size_t used = 0;
    for (size_t i = 0; i + 1 < columns; i++) {
        size_t pad = t->widths[i] + 2 - width_of(cells[i]);
        printf("%s%*s", cells[i], (int)pad, "");
        used += t->widths[i] + 2;
    }
    const char *last = cells[columns - 1];
    bool is_cut = screen != SIZE_MAX && used + 4 < screen && width_of(last) > screen - used;
    if (is_cut) {
        printf("%.*s...\n", bytes_of_width(last, screen - used - 3), last);
    } else {
        printf("%s\n", last);
    }
}

void table_end(struct table *t)
{
    progress_hide();
    size_t screen = terminal_width();
    size_t columns = column_count(t);
    for (size_t c = 0; c < columns; c++) {
        size_t heading = width_of(t->headings[c]);
        t->widths[c] = t->widths[c] > heading ? t->widths[c] : heading;
        for (size_t row = 0; row < t->row_count; row++) {
            size_t width = width_of(t->cells[row][c]);
            t->widths[c] = t->widths[c] > width ? t->widths[c] : width;
        }
    }
    if (!t->has_headings) {
        print_row(t, t->headings, screen);
        t->has_headings = true;
    }
    for (size_t row = 0; row < t->row_count; row++) {
        print_row(t, (const char *const *)t->cells[row], screen);
        for (size_t c = 0; c < columns; c++) {
            free(t->cells[row][c]);
        }
    }
    t->row_count = 0;
}

/* Takes the text over. */
static void add_cell(struct table *t, char *text)
{
    t->cells[t->row_count][t->cell_count++] = text;
    if (t->cell_count == column_count(t)) {
        t->cell_count = 0;
        t->row_count++;
    }
    if (t->row_count == TABLE_ROWS) {
        table_end(t);
    }
}

void table_text(struct table *t, const char *text, size_t bytes)
{
    char *cell = NULL;
    size_t cell_bytes;
    FILE *to = open_memstream(&cell, &cell_bytes);
    if (to == NULL) {
        perror("dormouse");
        exit(EXIT_FAILURE);
    }
    plain_text(to, text, bytes);
    fclose(to);
    add_cell(t, cell);
}

void table_printf(struct table *t, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    table_text(t, text, strlen(text));
}

void table_node(struct table *t, struct dormouse_node node)
{
    size_t bytes = 0;
    enum dormouse_type type = dormouse_node_type(node);
    const char *text = dormouse_node_text(node, &bytes);
    if (text != NULL) {
        table_text(t, text, bytes);
    } else if (type == DORMOUSE_ABSENT || type == DORMOUSE_NULL) {
        table_text(t, "-", 1);
    } else {
        char *json = dormouse_node_json(node, &bytes);
        table_text(t, json, bytes);
        dormouse_text_free(json);
    }
}

void table_time(struct table *t, struct dormouse_node node)
{
    int64_t ms = dormouse_node_int(node, -1);
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    if (ms < 0 || gmtime_r(&seconds, &utc) == NULL) {
        table_text(t, "-", 1);
        return;
    }
    table_printf(t, "%04d-%02d-%02d %02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                 utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)(ms % 1000));
}
