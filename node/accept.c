#include "node/accept.h"

/* The next part up to a separator, trimmed; `rest` moves past it. */
static struct slice next_of(struct slice *rest, char separator)
{
    const uint8_t *end = memchr(rest->data, separator, rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->data) : rest->len;
    struct slice part = http_trim(slice_of(rest->data, len));
    *rest = slice_skip(*rest, end != NULL ? len + 1 : len);
    return part;
}

/* "0", "0.5", "1.000" (RFC 9110, 12.4.2) in thousandths; -1: not a weight. */
static int parse_weight(struct slice text)
{
    int weight = 0;
    int unit = 1000;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (i == 1 && c == '.') {
            continue;
        }
        if (c < '0' || c > '9' || i == 1 || i > 4) {
            return -1;
        }
        weight += (c - '0') * unit;
        unit /= 10;
    }
    return text.len > 0 && weight <= 1000 ? weight : -1;
}

/* "application/msgpack;q=0.5": the weight of one range of Accept, in thousandths; -1: another type.
 * A wildcard counts as no Accept, and so does a range that is malformed. */
static int weight_of(struct slice range, const char *type)
{
    int weight = 1000;
    if (!http_equal_any_case(next_of(&range, ';'), type)) {
        return -1;
    }
    while (range.len > 0) {
        struct slice parameter = next_of(&range, ';');
        if (slice_has_prefix(parameter, SLICE("q=")) || slice_has_prefix(parameter, SLICE("Q="))) {
            weight = parse_weight(slice_skip(parameter, 2));
        }
    }
    return weight;
}

static void raise(int *best, int weight)
{
    *best = weight > *best ? weight : *best;
}

enum body_form accepted_form(const struct http_request *h)
{
    int json = 0;
    int msgpack = 0;
    for (size_t i = 0; i < h->header_count; i++) {
        struct slice rest = h->headers[i].value;
        if (!slice_equal_str(h->headers[i].name, "accept")) {
            continue;
        }
        while (rest.len > 0) {
            struct slice range = next_of(&rest, ',');
            raise(&json, weight_of(range, "application/json"));
            raise(&msgpack, weight_of(range, "application/msgpack"));
        }
    }
    if (json == 0 && msgpack == 0) {
        return FORM_UNSAID;
    }
    return msgpack > json ? FORM_MSGPACK : FORM_JSON;
}
