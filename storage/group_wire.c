#include "storage/group_wire.h"

#include "base/endian.h"
#include "base/invariant.h"

enum flag { FLAG_GRANTED = 1, FLAG_PRE_VOTE = 2, FLAG_DISRUPT = 4 };

/* Encoding */

static void encode_append(const struct group_message *m, struct buf *to)
{
    PRE(m->append.count <= GROUP_WIRE_ENTRIES_MAX);
    buf_append_u64(to, m->append.previous_index);
    buf_append_u64(to, m->append.previous_term);
    buf_append_u64(to, m->append.commit);
    buf_append_u32(to, m->append.count);
    buf_append_slice(to, m->append.entries); /* none, or decoded ones */
}

static void encode_install(const struct group_message *m, struct buf *to)
{
    buf_append_u64(to, m->install.index);
    buf_append_u64(to, m->install.term);
    buf_append_u64(to, m->install.configuration_index);
    buf_append_slice(to, m->install.configuration);
}

static void encode_body(const struct group_message *m, struct buf *to)
{
    switch (m->type) {
    case GROUP_APPEND:
        encode_append(m, to);
        return;
    case GROUP_APPENDED:
        buf_append_u64(to, m->appended.rejected);
        buf_append_u64(to, m->appended.last_index);
        return;
    case GROUP_ASK_VOTE:
        buf_append_u64(to, m->ask_vote.last_index);
        buf_append_u64(to, m->ask_vote.last_term);
        buf_append_byte(to, (uint8_t)((m->ask_vote.pre_vote ? FLAG_PRE_VOTE : 0) |
                                      (m->ask_vote.disrupt ? FLAG_DISRUPT : 0)));
        return;
    case GROUP_VOTE:
        buf_append_byte(to, (uint8_t)((m->vote.granted ? FLAG_GRANTED : 0) |
                                      (m->vote.pre_vote ? FLAG_PRE_VOTE : 0)));
        return;
    case GROUP_INSTALL:
        encode_install(m, to);
        return;
    case GROUP_TIMEOUT_NOW:
        buf_append_u64(to, m->timeout_now.last_index);
        buf_append_u64(to, m->timeout_now.last_term);
        return;
    case GROUP_PROBE:
    case GROUP_PROVEN:
        buf_append_u64(to, m->probe);
        return;
    case GROUP_REST:
    case GROUP_RESTING:
        buf_append_u64(to, m->rest.last_index);
        buf_append_u64(to, m->rest.round);
        return;
    }
    UNREACHABLE();
}

void group_wire_encode(const struct group_message *m, struct buf *to)
{
    PRE(m->from > 0 && m->to > 0 && m->from != m->to && m->term > 0);
    buf_append_byte(to, GROUP_WIRE_FORMAT);
    buf_append_byte(to, (uint8_t)m->type);
    buf_append_u16(to, 0);
    buf_append_u64(to, m->from);
    buf_append_u64(to, m->to);
    buf_append_u64(to, m->term);
    encode_body(m, to);
}

void group_wire_put(const struct group_entry *e, struct buf *to)
{
    PRE(e->term > 0 && e->data.len <= UINT32_MAX);
    buf_append_u64(to, e->term);
    buf_append_byte(to, (uint8_t)e->type);
    buf_append_byte(to, 0);
    buf_append_u16(to, 0);
    buf_append_u32(to, (uint32_t)e->data.len);
    buf_append_slice(to, e->data);
}

/* Decoding */

/* Bytes that are left, and whether all that were asked for were there. */
struct reader {
    struct slice rest;
    bool is_short;
};

static const uint8_t *take(struct reader *r, size_t n)
{
    static const uint8_t zeros[8];
    if (r->is_short || r->rest.len < n) {
        PRE(n <= sizeof zeros);
        r->is_short = true;
        return zeros;
    }
    const uint8_t *at = r->rest.data;
    r->rest = slice_skip(r->rest, n);
    return at;
}

static uint64_t take_u64(struct reader *r)
{
    return get_be64(take(r, 8));
}

static bool is_index(uint64_t index)
{
    return index > 0 && index < GROUP_INDEX_MAX;
}

/* An index and its term: both or neither. */
static bool is_position(uint64_t index, uint64_t term, uint64_t term_max)
{
    return index == 0 ? term == 0 : is_index(index) && term > 0 && term <= term_max;
}

static bool is_entry(const struct group_entry *e)
{
    struct group_config ignored;
    switch (e->type) {
    case GROUP_COMMAND:
        return e->data.len > 0;
    case GROUP_BARRIER:
        return true; /* the library puts eight zeros there */
    case GROUP_CONFIGURATION:
        return group_config_decode(e->data, &ignored) == ERR_OK;
    }
    return false;
}

/* False: the bytes end, or hold something else. */
static bool take_entry(struct reader *r, struct group_entry *ret_entry)
{
    uint64_t term = take_u64(r);
    const uint8_t *type = take(r, 4);
    uint32_t len = get_be32(take(r, 4));
    if (r->is_short || type[1] != 0 || type[2] != 0 || type[3] != 0 || r->rest.len < len) {
        return false;
    }
    *ret_entry = (struct group_entry){
        .term = term, .type = (enum group_entry_type)type[0], .data = slice_of(r->rest.data, len)};
    r->rest = slice_skip(r->rest, len);
    return true;
}

static bool decode_append(struct reader *r, struct group_message *m)
{
    m->append.previous_index = take_u64(r);
    m->append.previous_term = take_u64(r);
    m->append.commit = take_u64(r);
    m->append.count = get_be32(take(r, 4));
    m->append.entries = r->rest;
    if (!is_position(m->append.previous_index, m->append.previous_term, m->term) ||
        m->append.commit >= GROUP_INDEX_MAX || m->append.count > GROUP_WIRE_ENTRIES_MAX) {
        return false;
    }
    uint64_t term = m->append.previous_term;
    for (uint32_t i = 0; i < m->append.count; i++) {
        struct group_entry e;
        if (!take_entry(r, &e) || e.term == 0 || e.term < term || e.term > m->term ||
            !is_entry(&e)) {
            return false;
        }
        term = e.term;
    }
    return true;
}

/* Whose answer names what it rejects says where its log ends before that. */
static bool decode_appended(struct reader *r, struct group_message *m)
{
    m->appended.rejected = take_u64(r);
    m->appended.last_index = take_u64(r);
    return m->appended.rejected < GROUP_INDEX_MAX && m->appended.last_index < GROUP_INDEX_MAX &&
           (m->appended.rejected == 0 || m->appended.last_index < m->appended.rejected);
}

static bool decode_ask_vote(struct reader *r, struct group_message *m)
{
    m->ask_vote.last_index = take_u64(r);
    m->ask_vote.last_term = take_u64(r);
    uint8_t flags = *take(r, 1);
    m->ask_vote.pre_vote = (flags & FLAG_PRE_VOTE) != 0;
    m->ask_vote.disrupt = (flags & FLAG_DISRUPT) != 0;
    return (flags & ~(FLAG_PRE_VOTE | FLAG_DISRUPT)) == 0 &&
           is_position(m->ask_vote.last_index, m->ask_vote.last_term, m->term);
}

static bool decode_vote(struct reader *r, struct group_message *m)
{
    uint8_t flags = *take(r, 1);
    m->vote.granted = (flags & FLAG_GRANTED) != 0;
    m->vote.pre_vote = (flags & FLAG_PRE_VOTE) != 0;
    return (flags & ~(FLAG_GRANTED | FLAG_PRE_VOTE)) == 0;
}

static bool decode_install(struct reader *r, struct group_message *m)
{
    struct group_config ignored;
    m->install.index = take_u64(r);
    m->install.term = take_u64(r);
    m->install.configuration_index = take_u64(r);
    m->install.configuration = r->rest;
    r->rest = (struct slice){0};
    return is_index(m->install.index) && is_position(m->install.index, m->install.term, m->term) &&
           is_index(m->install.configuration_index) &&
           m->install.configuration_index <= m->install.index &&
           group_config_decode(m->install.configuration, &ignored) == ERR_OK;
}

static bool decode_timeout_now(struct reader *r, struct group_message *m)
{
    m->timeout_now.last_index = take_u64(r);
    m->timeout_now.last_term = take_u64(r);
    return is_position(m->timeout_now.last_index, m->timeout_now.last_term, m->term);
}

static bool decode_body(struct reader *r, struct group_message *m)
{
    switch (m->type) {
    case GROUP_APPEND:
        return decode_append(r, m);
    case GROUP_APPENDED:
        return decode_appended(r, m);
    case GROUP_ASK_VOTE:
        return decode_ask_vote(r, m);
    case GROUP_VOTE:
        return decode_vote(r, m);
    case GROUP_INSTALL:
        return decode_install(r, m);
    case GROUP_TIMEOUT_NOW:
        return decode_timeout_now(r, m);
    case GROUP_PROBE:
    case GROUP_PROVEN:
        m->probe = take_u64(r);
        return true;
    case GROUP_REST:
    case GROUP_RESTING:
        m->rest.last_index = take_u64(r);
        m->rest.round = take_u64(r);
        return is_index(m->rest.last_index);
    }
    return false;
}

enum err group_wire_decode(struct slice bytes, struct group_message *ret_message)
{
    if (bytes.len < GROUP_WIRE_HEAD_BYTES) {
        return ERR_CORRUPT;
    }
    if (bytes.data[0] != GROUP_WIRE_FORMAT) {
        return ERR_FORMAT;
    }
    struct reader r = {.rest = slice_skip(bytes, 4)};
    struct group_message m = {.type = (enum group_message_type)bytes.data[1]};
    m.from = take_u64(&r);
    m.to = take_u64(&r);
    m.term = take_u64(&r);
    bool is_sane = bytes.data[2] == 0 && bytes.data[3] == 0 && m.from > 0 && m.to > 0 &&
                   m.from != m.to && is_index(m.term);
    if (!is_sane || !decode_body(&r, &m) || r.is_short || r.rest.len > 0) {
        return ERR_CORRUPT;
    }
    *ret_message = m;
    return ERR_OK;
}

void group_wire_next(struct slice *entries, struct group_entry *ret_entry)
{
    struct reader r = {.rest = *entries};
    bool is_there = take_entry(&r, ret_entry);
    PRE(is_there); /* they were looked at when the message was decoded */
    *entries = r.rest;
}
