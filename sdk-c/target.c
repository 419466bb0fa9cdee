#include "sdk-c/target.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/address.h"
#include "rpc/uri.h"

void target_segment(struct buf *target, struct slice segment)
{
    buf_append_byte(target, '/');
    percent_encode(segment, target);
}

void target_query(struct buf *target, const char *name, const char *value)
{
    if (value == NULL) {
        return;
    }
    bool is_first = target->len == 0 || memchr(target->data, '?', target->len) == NULL;
    buf_append_byte(target, is_first ? '?' : '&');
    buf_append_str(target, name);
    buf_append_byte(target, '=');
    percent_encode(slice_of_str(value), target);
}

void target_query_u64(struct buf *target, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, value);
    target_query(target, name, text);
}

enum err target_actor(struct buf *target, const struct dormouse_actor *actor)
{
    if (actor->ns == NULL || actor->class_name == NULL || actor->id == NULL) {
        return ERR_INVALID_ID;
    }
    const struct address address = {.ns = slice_of_str(actor->ns),
                                    .class = slice_of_str(actor->class_name),
                                    .id = slice_of_str(actor->id)};
    enum err err = address_check(&address);
    if (err != ERR_OK) {
        return err;
    }
    buf_append_str(target, "/v1");
    target_segment(target, address.ns);
    target_segment(target, address.class);
    target_segment(target, address.id);
    return ERR_OK;
}
