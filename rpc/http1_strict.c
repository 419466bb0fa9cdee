#include "rpc/http1.h"

#include "rpc/http_field.h"

static bool ends_with_crlf(struct slice line)
{
    return line.len >= 2 && line.data[line.len - 2] == '\r' && line.data[line.len - 1] == '\n';
}

/* The first line with its LF; the section ends with one. */
static struct slice first_line(struct slice head)
{
    const uint8_t *lf = memchr(head.data, '\n', head.len);
    return slice_of(head.data, (size_t)(lf - head.data) + 1);
}

/* method SP target SP HTTP/1.x CRLF, and single spaces only: HTTP/0.9 and "ICE/1.0" end here. Method
 * and target are checked with the rest of the request. */
static const char *check_request_line(struct slice line)
{
    if (!ends_with_crlf(line)) {
        return "A line does not end with CRLF.";
    }
    size_t spaces = 0;
    for (size_t i = 0; i + 2 < line.len; i++) {
        if (line.data[i] < ' ' || line.data[i] == 0x7f) {
            return "There is a control character in the request line.";
        }
        spaces += line.data[i] == ' ';
    }
    static const size_t version_len = sizeof " HTTP/1.1\r\n" - 1;
    if (spaces != 2 || line.len < version_len) {
        return "The request line is not method, target and version.";
    }
    struct slice version = slice_skip(line, line.len - version_len);
    if (!slice_equal(version, SLICE(" HTTP/1.1\r\n")) &&
        !slice_equal(version, SLICE(" HTTP/1.0\r\n"))) {
        return "The version is neither HTTP/1.1 nor HTTP/1.0.";
    }
    return NULL;
}

const char *http1_check_line(struct slice line)
{
    if (!ends_with_crlf(line)) {
        return "A line does not end with CRLF.";
    }
    line.len -= 2;
    if (line.len == 0) {
        return NULL;
    }
    if (line.data[0] == ' ' || line.data[0] == '\t') {
        return "A header field is folded.";
    }
    const uint8_t *colon = memchr(line.data, ':', line.len);
    size_t name_len = colon == NULL ? line.len : (size_t)(colon - line.data);
    if (colon == NULL || !http_name_is_valid(slice_of(line.data, name_len))) {
        return "The name of a header field is not a token closed by a colon.";
    }
    if (!http_value_is_valid(slice_skip(line, name_len + 1))) {
        return "There is a control character in a header field.";
    }
    return NULL;
}

const char *http1_check_head(struct slice head)
{
    struct slice line = first_line(head);
    const char *wrong = check_request_line(line);
    while (wrong == NULL && line.len < head.len) {
        head = slice_skip(head, line.len);
        line = first_line(head);
        wrong = http1_check_line(line);
    }
    return wrong;
}

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* 1*HEXDIG [";" extension] CRLF. The parser would take a space or an LF inside the extension. */
const char *http1_check_chunk_line(struct slice line)
{
    if (!ends_with_crlf(line)) {
        return "A chunk size does not end with CRLF.";
    }
    line.len -= 2;
    size_t digits = 0;
    while (digits < line.len && is_hex(line.data[digits])) {
        digits++;
    }
    struct slice extension = slice_skip(line, digits);
    if (digits == 0 || (extension.len > 0 && extension.data[0] != ';') ||
        !http_value_is_valid(extension)) {
        return "A chunk size is not a hexadecimal number.";
    }
    return NULL;
}
