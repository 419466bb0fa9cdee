#include "actor/request_wire.h"

#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/value.h"
#include "storage/keyspace.h"

enum {
    WIRE_FORMAT = 1,
    FIELD_HEAD_BYTES = 5,
    DETAIL_BYTES_MAX = 512,
    LIMIT_NAME_BYTES_MAX = 64,
    IDEMPOTENCY_KEY_MAX = 255,
};

/* Kinds by their bytes on the wire. */
static const enum request_kind kinds[] = {
    [1] = REQUEST_KV_GET,
    [2] = REQUEST_KV_PUT,
    [3] = REQUEST_KV_DELETE,
    [4] = REQUEST_KV_LIST,
    [5] = REQUEST_TXN,
    [6] = REQUEST_ACTOR_INFO,
    [7] = REQUEST_ACTOR_DELETE,
    [8] = REQUEST_HIBERNATE,
    [9] = REQUEST_WATCH,
    [10] = REQUEST_STEP_BEGIN,
    [11] = REQUEST_STEP_END,
    [12] = REQUEST_STEP_LIST,
    [13] = REQUEST_TIMER_PUT,
    [14] = REQUEST_TIMER_GET,
    [15] = REQUEST_TIMER_DELETE,
    [16] = REQUEST_TIMER_LIST,
    [17] = REQUEST_CALL,
    [18] = REQUEST_CLASS_FETCH,
    [19] = REQUEST_EXECUTE,
    [20] = REQUEST_WORKFLOW_START,
    [21] = REQUEST_WORKFLOW_GET,
    [22] = REQUEST_WORKFLOW_EVENT,
    [23] = REQUEST_WORKFLOW_CONTROL,
    [24] = REQUEST_SANDBOX,
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static uint8_t byte_of_kind(enum request_kind kind)
{
    uint8_t at = 1;
    while (kinds[at] != kind) {
        at++;
        PRE(at < KINDS); /* a kind that never travels */
    }
    return at;
}

enum request_tag {
    TAG_NAMESPACE = 1,
    TAG_CLASS = 2,
    TAG_ID = 3,
    TAG_IDENTITY = 4,
    TAG_NAME = 5,
    TAG_BODY = 6,
    TAG_MATCH = 7, /* match u8 | versions u64 */
    TAG_PREFIX = 8,
    TAG_START = 9,
    TAG_START_AFTER = 10,
    TAG_END = 11,
    TAG_CURSOR = 12,
    TAG_LIST = 13,  /* limit u32 | flags u8 */
    TAG_SINCE = 14, /* version u64 | n u32 */
    TAG_IDEMPOTENCY_KEY = 15,
    TAG_HASH = 16,
    TAG_TOKEN = 17,
    TAG_SOCKET = 18, /* id u64 | node u32 | is_for_body u8 */
    TAG_COUNT = 19,
};

enum { LIST_REVERSE = 1, LIST_VALUES = 2, LIST_HAS_NO_NEXT = 4 };

enum { LIST_FIELD_BYTES = 5, SINCE_FIELD_BYTES = 12, SOCKET_FIELD_BYTES = 13 };

/* Writing */

static void put_field(struct buf *out, uint8_t tag, struct slice bytes)
{
    buf_append_byte(out, tag);
    buf_append_u32(out, (uint32_t)bytes.len);
    buf_append_slice(out, bytes);
}

static void put_bytes(struct buf *out, uint8_t tag, const struct bytes *bytes)
{
    if (bytes != NULL) {
        put_field(out, tag, bytes_slice(bytes));
    }
}

static void put_list(struct buf *out, const struct list_params *p)
{
    uint8_t field[LIST_FIELD_BYTES];
    put_bytes(out, TAG_PREFIX, p->prefix);
    put_bytes(out, TAG_START, p->start);
    put_bytes(out, TAG_START_AFTER, p->start_after);
    put_bytes(out, TAG_END, p->end);
    put_bytes(out, TAG_CURSOR, p->cursor);
    put_be32(field, p->limit);
    field[4] = (uint8_t)((p->reverse ? LIST_REVERSE : 0) | (p->values ? LIST_VALUES : 0) |
                         (p->has_no_next ? LIST_HAS_NO_NEXT : 0));
    put_field(out, TAG_LIST, slice_of(field, sizeof field));
}

static void put_match(struct buf *out, const struct request *r)
{
    uint8_t field[1 + 8 * MATCH_VERSIONS_MAX];
    if (r->match != MATCH_ANY) {
        field[0] = (uint8_t)r->match;
        for (uint32_t i = 0; i < r->match_count; i++) {
            put_be64(field + 1 + 8 * (size_t)i, r->match_versions[i]);
        }
        put_field(out, TAG_MATCH, slice_of(field, 1 + 8 * (size_t)r->match_count));
    }
}

static void put_socket(struct buf *out, const struct request *r)
{
    uint8_t field[SOCKET_FIELD_BYTES];
    if (r->socket.id != 0) {
        put_be64(field, r->socket.id);
        put_be32(field + 8, r->socket.node);
        field[12] = r->is_for_body;
        put_field(out, TAG_SOCKET, slice_of(field, sizeof field));
    }
}

void request_encode(const struct request *r, struct buf *out)
{
    PRE(r->address_text != NULL);

    uint8_t since[SINCE_FIELD_BYTES];
    buf_append_byte(out, WIRE_FORMAT);
    buf_append_byte(out, byte_of_kind(r->kind));
    put_field(out, TAG_NAMESPACE, r->address.ns);
    put_field(out, TAG_CLASS, r->address.class);
    put_field(out, TAG_ID, r->address.id);
    put_field(out, TAG_IDENTITY, slice_of(r->identity.bytes, IDENTITY_BYTES));
    put_bytes(out, TAG_NAME, r->name);
    put_bytes(out, TAG_BODY, r->body);
    put_match(out, r);
    put_list(out, &r->list);
    if (r->has_since) {
        put_be64(since, r->since_version);
        put_be32(since + 8, r->since_n);
        put_field(out, TAG_SINCE, slice_of(since, sizeof since));
    }
    if (r->idempotency_key != NULL) {
        put_bytes(out, TAG_IDEMPOTENCY_KEY, r->idempotency_key);
        put_field(out, TAG_HASH, slice_of(r->hash, sizeof r->hash));
    }
    if (r->has_token) {
        put_field(out, TAG_TOKEN, slice_of(r->token_hash, sizeof r->token_hash));
    }
    put_socket(out, r);
}

/* Reading */

/* The fields of a message by their tags; absent ones have no data. A tag that comes twice is corrupt. */
static enum err read_fields(struct slice bytes, struct slice *fields, size_t count)
{
    while (bytes.len > 0) {
        if (bytes.len < FIELD_HEAD_BYTES) {
            return ERR_CORRUPT;
        }
        uint8_t tag = bytes.data[0];
        uint32_t len = get_be32(bytes.data + 1);
        bytes = slice_skip(bytes, FIELD_HEAD_BYTES);
        if (len > bytes.len) {
            return ERR_CORRUPT;
        }
        if (tag < count) {
            if (fields[tag].data != NULL) {
                return ERR_CORRUPT;
            }
            fields[tag] = slice_of(bytes.data, len);
        }
        bytes = slice_skip(bytes, len);
    }
    return ERR_OK;
}

static bool is_given(struct slice field)
{
    return field.data != NULL;
}

static bool take_bytes(struct slice field, size_t max, struct bytes **ret)
{
    if (!is_given(field)) {
        return true;
    }
    if (field.len > max) {
        return false;
    }
    *ret = bytes_new(field);
    return true;
}

static bool take_address(struct request *r, const struct slice *fields)
{
    const struct address a = {
        .ns = fields[TAG_NAMESPACE], .class = fields[TAG_CLASS], .id = fields[TAG_ID]};
    if (!is_given(a.ns) || !is_given(a.class) || !is_given(a.id) || address_check(&a) != ERR_OK ||
        fields[TAG_IDENTITY].len != IDENTITY_BYTES) {
        return false;
    }
    request_set_address(r, &a);
    memcpy(r->identity.bytes, fields[TAG_IDENTITY].data, IDENTITY_BYTES);
    return true;
}

static bool is_utf8_of(struct slice field, size_t max)
{
    return field.len <= max && slice_is_utf8(field);
}

/* What the kind needs, as the decoder of HTTP requests gives it. */
static bool take_name_and_body(struct request *r, const struct slice *fields)
{
    const char *reason;
    struct slice name = fields[TAG_NAME];
    struct slice body = fields[TAG_BODY];
    bool is_key =
        r->kind == REQUEST_KV_GET || r->kind == REQUEST_KV_PUT || r->kind == REQUEST_KV_DELETE;
    bool is_named = is_key || r->kind == REQUEST_STEP_BEGIN || r->kind == REQUEST_STEP_END ||
                    r->kind == REQUEST_TIMER_PUT || r->kind == REQUEST_TIMER_GET ||
                    r->kind == REQUEST_TIMER_DELETE || r->kind == REQUEST_CALL ||
                    r->kind == REQUEST_WORKFLOW_CONTROL;
    bool has_body = r->kind == REQUEST_KV_PUT || r->kind == REQUEST_TXN ||
                    r->kind == REQUEST_STEP_END || r->kind == REQUEST_TIMER_PUT ||
                    r->kind == REQUEST_CALL || r->kind == REQUEST_CLASS_FETCH ||
                    r->kind == REQUEST_EXECUTE || r->kind == REQUEST_WORKFLOW_EVENT ||
                    r->kind == REQUEST_SANDBOX;
    if (is_named != is_given(name) || (has_body && !is_given(body)) ||
        (is_named &&
         (name.len == 0 || !is_utf8_of(name, is_key ? KV_KEY_BYTES_MAX : NAME_BYTES_MAX)))) {
        return false;
    }
    if (is_given(body) && value_check(body, VALUE_DEPTH_CAP, &reason) != ERR_OK) {
        return false;
    }
    return take_bytes(name, name.len, &r->name) && take_bytes(body, body.len, &r->body);
}

static bool take_match(struct request *r, struct slice field)
{
    if (!is_given(field)) {
        return true;
    }
    if (field.len % 8 != 1 || field.len / 8 > MATCH_VERSIONS_MAX || field.data[0] > MATCH_ABSENT) {
        return false;
    }
    r->match = (enum match)field.data[0];
    r->match_count = (uint32_t)(field.len / 8);
    for (uint32_t i = 0; i < r->match_count; i++) {
        r->match_versions[i] = get_be64(field.data + 1 + 8 * (size_t)i);
    }
    return true;
}

static bool take_list(struct request *r, const struct slice *fields)
{
    struct list_params *p = &r->list;
    struct slice list = fields[TAG_LIST];
    if (list.len != LIST_FIELD_BYTES) {
        return false;
    }
    p->limit = get_be32(list.data);
    p->reverse = (list.data[4] & LIST_REVERSE) != 0;
    p->values = (list.data[4] & LIST_VALUES) != 0;
    p->has_no_next = (list.data[4] & LIST_HAS_NO_NEXT) != 0;
    return p->limit >= 1 && p->limit <= LIST_LIMIT_MAX &&
           take_bytes(fields[TAG_PREFIX], SIZE_MAX, &p->prefix) &&
           take_bytes(fields[TAG_START], KV_KEY_BYTES_MAX, &p->start) &&
           take_bytes(fields[TAG_START_AFTER], KV_KEY_BYTES_MAX, &p->start_after) &&
           take_bytes(fields[TAG_END], KV_KEY_BYTES_MAX, &p->end) &&
           take_bytes(fields[TAG_CURSOR], KV_KEY_BYTES_MAX, &p->cursor);
}

static bool take_socket(struct request *r, struct slice field)
{
    if (!is_given(field)) {
        return true;
    }
    if (field.len != SOCKET_FIELD_BYTES ||
        (r->kind != REQUEST_CLASS_FETCH && r->kind != REQUEST_SANDBOX)) {
        return false;
    }
    r->socket = (struct socket_ref){.id = get_be64(field.data), .node = get_be32(field.data + 8)};
    r->is_for_body = field.data[12] == 1;
    return r->socket.id != 0 && field.data[12] <= 1;
}

static bool take_rest(struct request *r, const struct slice *fields)
{
    struct slice since = fields[TAG_SINCE];
    struct slice hash = fields[TAG_HASH];
    struct slice token = fields[TAG_TOKEN];
    if (is_given(since)) {
        if (since.len != SINCE_FIELD_BYTES) {
            return false;
        }
        r->has_since = true;
        r->since_version = get_be64(since.data);
        r->since_n = get_be32(since.data + 8);
    }
    if (is_given(token)) {
        if (token.len != sizeof r->token_hash) {
            return false;
        }
        r->has_token = true;
        memcpy(r->token_hash, token.data, token.len);
    }
    if (is_given(fields[TAG_IDEMPOTENCY_KEY])) {
        if (hash.len != sizeof r->hash || fields[TAG_IDEMPOTENCY_KEY].len == 0) {
            return false;
        }
        memcpy(r->hash, hash.data, hash.len);
    }
    return take_socket(r, fields[TAG_SOCKET]) &&
           take_bytes(fields[TAG_IDEMPOTENCY_KEY], IDEMPOTENCY_KEY_MAX, &r->idempotency_key);
}

enum err request_decode(struct slice bytes, struct request **ret_request)
{
    struct slice fields[TAG_COUNT] = {{0}};
    if (bytes.len < 2) {
        return ERR_CORRUPT;
    }
    if (bytes.data[0] != WIRE_FORMAT || bytes.data[1] == 0 || bytes.data[1] >= KINDS) {
        return ERR_FORMAT;
    }
    if (read_fields(slice_skip(bytes, 2), fields, TAG_COUNT) != ERR_OK) {
        return ERR_CORRUPT;
    }
    struct request *r = request_new(kinds[bytes.data[1]]);
    if (!take_address(r, fields) || !take_name_and_body(r, fields) ||
        !take_match(r, fields[TAG_MATCH]) || !take_list(r, fields) || !take_rest(r, fields)) {
        request_free(r);
        return ERR_CORRUPT;
    }
    *ret_request = r;
    return ERR_OK;
}

/* Replies */

enum reply_tag {
    TAG_ERR = 1, /* the name of the error; absent: OK */
    TAG_STATUS = 2,
    TAG_ETAG = 3,
    TAG_STATE_VERSION = 4,
    TAG_FLAGS = 5, /* existed | replayed << 2 | is_value << 3 */
    TAG_REPLY_BODY = 6,
    TAG_DETAIL = 7,
    TAG_FAILED = 8,
    TAG_LIMIT_NAME = 9,
    TAG_LIMIT_VALUE = 10,
    REPLY_TAG_COUNT = 11,
};

static const char *const err_names[ERR_COUNT] = {
#define X(name, status, code, retryable, maybe_applied, text) [ERR_##name] = #name,
#include "base/err.def"
#undef X
};

static void put_u64(struct buf *out, uint8_t tag, uint64_t v)
{
    uint8_t field[8];
    put_be64(field, v);
    put_field(out, tag, slice_of(field, sizeof field));
}

void reply_to_wire(const struct reply *r, struct buf *out)
{
    uint8_t status[2];
    uint8_t flags =
        (uint8_t)((unsigned)r->existed | (r->replayed ? 4U : 0U) | (r->is_value ? 8U : 0U));
    buf_append_byte(out, WIRE_FORMAT);
    if (r->err != ERR_OK) {
        put_field(out, TAG_ERR, slice_of_str(err_names[r->err]));
    }
    put_be16(status, (uint16_t)r->status);
    put_field(out, TAG_STATUS, slice_of(status, sizeof status));
    put_u64(out, TAG_ETAG, r->etag);
    put_u64(out, TAG_STATE_VERSION, r->state_version);
    put_field(out, TAG_FLAGS, slice_of(&flags, 1));
    put_bytes(out, TAG_REPLY_BODY, r->body);
    if (r->detail != NULL) {
        put_field(out, TAG_DETAIL, slice_of_str(r->detail));
    }
    if (r->failed >= 0) {
        put_u64(out, TAG_FAILED, (uint64_t)r->failed);
    }
    if (r->limit_name != NULL) {
        put_field(out, TAG_LIMIT_NAME, slice_of_str(r->limit_name));
        put_u64(out, TAG_LIMIT_VALUE, r->limit_value);
    }
}

static bool take_err(struct slice field, enum err *ret)
{
    if (!is_given(field)) {
        *ret = ERR_OK;
        return true;
    }
    for (int i = ERR_OK + 1; i < ERR_COUNT; i++) {
        if (slice_equal_str(field, err_names[i])) {
            *ret = (enum err)i;
            return true;
        }
    }
    return false;
}

static bool take_u64(struct slice field, uint64_t *ret)
{
    if (is_given(field)) {
        if (field.len != 8) {
            return false;
        }
        *ret = get_be64(field.data);
    }
    return true;
}

/* Both texts are in one block, which the reply owns as its detail: "detail\0limit\0". */
static bool take_texts(struct reply *r, struct slice detail, struct slice limit)
{
    if (detail.len >= DETAIL_BYTES_MAX || limit.len >= LIMIT_NAME_BYTES_MAX ||
        (detail.len > 0 && memchr(detail.data, 0, detail.len) != NULL)) {
        return false;
    }
    if (!is_given(detail) && !is_given(limit)) {
        return true;
    }
    r->detail = mem_zalloc(detail.len + limit.len + 2);
    if (detail.len > 0) {
        memcpy(r->detail, detail.data, detail.len);
    }
    if (limit.len > 0) {
        memcpy(r->detail + detail.len + 1, limit.data, limit.len);
        r->limit_name = r->detail + detail.len + 1;
    }
    return true;
}

static bool take_flags(struct reply *r, struct slice field)
{
    if (field.len != 1 || field.data[0] > 15 || (field.data[0] & 3) > EXISTED_YES) {
        return false;
    }
    r->existed = (enum reply_existed)(field.data[0] & 3);
    r->replayed = (field.data[0] & 4) != 0;
    r->is_value = (field.data[0] & 8) != 0;
    return true;
}

static bool take_body(struct reply *r, struct slice field)
{
    const char *reason;
    if (is_given(field) && value_check(field, VALUE_DEPTH_CAP, &reason) != ERR_OK) {
        return false;
    }
    return take_bytes(field, SIZE_MAX, &r->body);
}

enum err reply_from_wire(struct slice bytes, struct reply *ret_reply)
{
    struct slice fields[REPLY_TAG_COUNT] = {{0}};
    struct reply r;
    uint64_t failed = UINT64_MAX;
    reply_init(&r);
    if (bytes.len < 1 || bytes.data[0] != WIRE_FORMAT) {
        return bytes.len < 1 ? ERR_CORRUPT : ERR_FORMAT;
    }
    if (read_fields(slice_skip(bytes, 1), fields, REPLY_TAG_COUNT) != ERR_OK ||
        fields[TAG_STATUS].len != 2) {
        return ERR_CORRUPT;
    }
    if (!take_err(fields[TAG_ERR], &r.err)) {
        return ERR_FORMAT;
    }
    r.status = get_be16(fields[TAG_STATUS].data);
    if (r.status < 200 || r.status > 599 || !take_u64(fields[TAG_ETAG], &r.etag) ||
        !take_u64(fields[TAG_STATE_VERSION], &r.state_version) ||
        !take_u64(fields[TAG_FAILED], &failed) ||
        !take_u64(fields[TAG_LIMIT_VALUE], &r.limit_value) || !take_flags(&r, fields[TAG_FLAGS]) ||
        !take_texts(&r, fields[TAG_DETAIL], fields[TAG_LIMIT_NAME]) ||
        !take_body(&r, fields[TAG_REPLY_BODY])) {
        reply_clear(&r);
        return ERR_CORRUPT;
    }
    r.failed = failed > INT64_MAX ? -1 : (int64_t)failed;
    *ret_reply = r;
    return ERR_OK;
}
