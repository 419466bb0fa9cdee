#include "node/config_line.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static char *skip_blanks(char *text)
{
    while (is_blank(*text)) {
        text++;
    }
    return text;
}

static void cut_blanks(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && is_blank(text[len - 1])) {
        text[--len] = '\0';
    }
}

/* A hash begins a comment at the start of the text and after a blank: paths may have others. */
static void cut_comment(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (*at == '#' && (at == text || is_blank(at[-1]))) {
            *at = '\0';
            return;
        }
    }
}

static enum err read_quoted(char *text, char **ret_value, const char **ret_detail)
{
    char *end = strchr(text + 1, *text);
    if (end == NULL) {
        *ret_detail = "a quote is not closed";
        return ERR_BAD_REQUEST;
    }
    *end = '\0';
    *ret_value = text + 1;
    char *rest = skip_blanks(end + 1);
    if (*rest != '\0' && *rest != '#') {
        *ret_detail = "there is more after the quoted value";
        return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

static enum err read_value(char *text, char **ret_value, const char **ret_detail)
{
    text = skip_blanks(text);
    if (*text == '"' || *text == '\'') {
        return read_quoted(text, ret_value, ret_detail);
    }
    cut_comment(text);
    cut_blanks(text);
    *ret_value = text;
    return ERR_OK;
}

enum err config_line(char *text, char **ret_name, char **ret_value, const char **ret_detail)
{
    char *name = skip_blanks(text);
    if (*name == '\0' || *name == '#') {
        *ret_name = NULL;
        return ERR_OK;
    }
    char *equals = strchr(name, '=');
    if (equals == NULL) {
        *ret_detail = "not `name = value`";
        return ERR_BAD_REQUEST;
    }
    *equals = '\0';
    cut_blanks(name);
    enum err err = read_value(equals + 1, ret_value, ret_detail);
    if (err == ERR_OK && **ret_value == '\0') {
        *ret_detail = "there is no value";
        err = ERR_BAD_REQUEST;
    }
    if (err == ERR_OK) {
        *ret_name = name;
    }
    return err;
}
