/* Messages of a group from a peer: what decodes is walked to its end, encodes to the same bytes, and
 * is refused when it is cut or goes on. */
#include <string.h>

#include "base/buf.h"
#include "storage/group_wire.h"
#include "tests/fuzz/fuzz.h"

static void walk_entries(const struct group_message *m)
{
    struct slice rest = m->append.entries;
    uint64_t term = m->append.previous_term;
    for (uint32_t i = 0; i < m->append.count; i++) {
        struct group_entry e;
        group_wire_next(&rest, &e);
        HOLDS(e.term >= term && e.term <= m->term && e.term > 0);
        HOLDS(e.data.len <= rest.len || e.data.data + e.data.len == rest.data);
        term = e.term;
    }
    HOLDS(rest.len == 0);
}

static void walk_configuration(struct slice bytes)
{
    struct group_config c;
    struct buf again = {0};
    HOLDS(group_config_decode(bytes, &c) == ERR_OK);
    HOLDS(c.count > 0 && c.count <= GROUP_MEMBERS_MAX);
    group_config_encode(&c, &again);
    HOLDS(slice_equal(buf_slice(&again), bytes));
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice bytes = slice_of(data, len);
    struct group_message m;
    if (group_wire_decode(bytes, &m) != ERR_OK) {
        return 0;
    }
    struct buf again = {0};
    group_wire_encode(&m, &again);
    HOLDS(slice_equal(buf_slice(&again), bytes));
    if (m.type == GROUP_APPEND) {
        walk_entries(&m);
    }
    if (m.type == GROUP_INSTALL) {
        walk_configuration(m.install.configuration);
    }
    struct group_message ignored;
    HOLDS(group_wire_decode(slice_of(data, len - 1), &ignored) == ERR_CORRUPT);
    buf_append_byte(&again, 0);
    HOLDS(group_wire_decode(buf_slice(&again), &ignored) == ERR_CORRUPT);
    buf_done(&again);
    return 0;
}
