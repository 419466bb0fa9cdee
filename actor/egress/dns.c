#include "actor/egress/dns.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"

enum {
    HEAD_BYTES = 12,
    NAME_BYTES_MAX = 255,
    LABEL_BYTES_MAX = 63,
    TYPE_A = 1,
    CLASS_IN = 1,
    FLAG_RESPONSE = 0x8000,
    FLAG_AUTHORITATIVE = 0x0400,
    FLAG_WANTS_RECURSION = 0x0100,
    FLAG_RECURSION = 0x0080,
    OPCODE = 0x7800,
    FORMAT_ERROR = 1,
    NOT_IMPLEMENTED = 4,
    REFUSED = 5,
    POINTER_TO_QUESTION = 0xc00c,
    RECORD_BYTES = 16,
};

_Static_assert(HEAD_BYTES + NAME_BYTES_MAX + 4 + RECORD_BYTES <= DNS_ANSWER_BYTES_MAX,
               "the longest question fits with its answer");

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Where the name at `at` ends; 0: it is none. A pointer in a question would point into it. */
static size_t name_end(struct slice query, size_t at)
{
    size_t start = at;
    while (at < query.len && query.data[at] != 0) {
        size_t label = query.data[at];
        if (label > LABEL_BYTES_MAX || at + label + 1 - start >= NAME_BYTES_MAX) {
            return 0;
        }
        at += label + 1;
    }
    return at < query.len ? at + 1 : 0;
}

static size_t answer_head(struct slice query, uint8_t *out, uint32_t code, uint32_t questions,
                          uint32_t answers)
{
    uint32_t asked = get16(query.data + 2);
    memcpy(out, query.data, 2);
    put16(out + 2, FLAG_RESPONSE | FLAG_AUTHORITATIVE | FLAG_RECURSION |
                       (asked & (OPCODE | FLAG_WANTS_RECURSION)) | code);
    put16(out + 4, questions);
    put16(out + 6, answers);
    put16(out + 8, 0);
    put16(out + 10, 0);
    return HEAD_BYTES;
}

static size_t put_address(uint8_t *out)
{
    put16(out, POINTER_TO_QUESTION);
    put16(out + 2, TYPE_A);
    put16(out + 4, CLASS_IN);
    put16(out + 6, 0);
    put16(out + 8, DNS_TTL_SECONDS);
    put16(out + 10, 4);
    int rc = inet_pton(AF_INET, DNS_TRANSPARENT_ADDRESS, out + 12);
    INVARIANT(rc == 1);
    return RECORD_BYTES;
}

size_t dns_answer(struct slice query, uint8_t ret_answer[DNS_ANSWER_BYTES_MAX])
{
    if (query.len < HEAD_BYTES || query.len > DNS_QUERY_BYTES_MAX ||
        (get16(query.data + 2) & FLAG_RESPONSE) != 0) {
        return 0; /* an answer to an answer would go round for ever */
    }
    if ((get16(query.data + 2) & OPCODE) != 0) {
        return answer_head(query, ret_answer, NOT_IMPLEMENTED, 0, 0);
    }
    size_t end = get16(query.data + 4) == 1 ? name_end(query, HEAD_BYTES) : 0;
    if (end == 0 || end + 4 > query.len) {
        return answer_head(query, ret_answer, FORMAT_ERROR, 0, 0);
    }
    uint32_t type = get16(query.data + end);
    bool is_internet = get16(query.data + end + 2) == CLASS_IN;
    bool has_address = is_internet && type == TYPE_A;
    size_t len = answer_head(query, ret_answer, is_internet ? 0 : REFUSED, 1, has_address ? 1 : 0);
    size_t question = end + 4 - HEAD_BYTES;
    memcpy(ret_answer + len, query.data + HEAD_BYTES, question);
    len += question;
    return len + (has_address ? put_address(ret_answer + len) : 0);
}
