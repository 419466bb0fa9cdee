#include "actor/actor.h"
#include "actor/ops.h"
#include "base/endian.h"
#include "rpc/value.h"

/* Says at which version the watcher joins; the stream itself is node/watch_stream.h. It is answered
 * through the output gate, so what it joins is durable. */
enum err op_watch(struct turn *t, struct request *r)
{
    r->reply.state_version = t->actor->last_version;
    return ERR_OK;
}

enum { TIMERS_PAGE_ROWS = 1000, TIMERS_PAGE_BYTES = 256 * 1024 };

/* A page of the kept timer events after a position: {"events": [[version, n, data], ...], "more"}. */
enum err op_watch_timers(struct turn *t, struct request *r)
{
    struct buf low = {0};
    struct scan_cursor cursor;
    buf_append_u64(&low, r->since_version);
    buf_append_u32(&low, r->since_n);
    buf_append_byte(&low, 0); /* just after it */
    const struct scan_range range = {.kind = ROW_WATCH,
                                     .low = buf_slice(&low),
                                     .rows_max = TIMERS_PAGE_ROWS,
                                     .bytes_max = TIMERS_PAGE_BYTES};
    enum err err = turn_scan(t, &range, &cursor);
    if (err == ERR_OK) {
        struct buf events = {0};
        struct buf body = {0};
        struct scan_item item;
        uint32_t count = 0;
        bool full = false;
        while (!full && scan_next(&cursor, &item)) {
            value_put_array(&events, 3);
            value_put_uint(&events, get_be64(item.key.data));
            value_put_uint(&events, get_be32(item.key.data + 8));
            value_put_raw(&events, bytes_slice(item.value));
            count++;
            full = count == TIMERS_PAGE_ROWS || events.len >= TIMERS_PAGE_BYTES;
        }
        value_put_map(&body, 2);
        value_put_text(&body, "events");
        value_put_array(&body, count);
        buf_append_slice(&body, buf_slice(&events));
        value_put_text(&body, "more");
        value_put_bool(&body, full || cursor.ended_early);
        buf_done(&events);
        reply_body(&r->reply, 200, &body);
    }
    buf_done(&low);
    return err;
}
