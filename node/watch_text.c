#include "node/watch_text.h"

#include "rpc/json.h"
#include "rpc/value.h"

void watch_text_id(struct buf *text, uint64_t version, uint32_t n)
{
    buf_printf(text, "id: %llu.%u\n", (unsigned long long)version, n);
}

void watch_text_data(struct buf *text, struct slice document)
{
    buf_append_str(text, "data: ");
    value_to_json(document, text); /* without newlines */
    buf_append_byte(text, '\n');
}

void watch_text_key(struct buf *text, struct slice key, struct slice value, uint64_t version)
{
    struct buf doc = {0};
    value_put_map(&doc, value.len > 0 ? 3 : 2);
    value_put_text(&doc, "key");
    value_put_str(&doc, key);
    if (value.len > 0) {
        value_put_text(&doc, "value");
        value_put_raw(&doc, value);
    }
    value_put_text(&doc, "version");
    value_put_uint(&doc, version);
    watch_text_data(text, buf_slice(&doc));
    buf_done(&doc);
}

void watch_text_event(struct buf *text, const struct watch_event *e, bool with_id)
{
    static const char *const names[] = {"put", "delete", "clear", "timer"};
    buf_printf(text, "event: %s\n", names[e->type]);
    if (with_id) {
        watch_text_id(text, e->version, e->n);
    }
    switch (e->type) {
    case WATCH_PUT:
    case WATCH_DELETE:
        watch_text_key(text, bytes_slice(e->key), bytes_slice(e->value), e->version);
        break;
    case WATCH_CLEAR:
        buf_printf(text, "data: {\"version\":%llu}\n", (unsigned long long)e->version);
        break;
    case WATCH_TIMER:
        watch_text_data(text, bytes_slice(e->value));
        break;
    }
    buf_append_byte(text, '\n');
}
