#include "actor/sandbox_ask.h"

#include "actor/sandbox_spec.h"
#include "rpc/value.h"

enum { ITEMS = 7 };

void sandbox_what_encode(const struct sandbox_what *w, struct buf *out)
{
    value_put_array(out, ITEMS);
    value_put_uint(out, w->verb);
    value_put_str(out, w->method);
    value_put_str(out, w->name);
    value_put_bin(out, w->argument); /* of a file's path any byte */
    value_put_str(out, w->query);
    value_put_bool(out, w->wants_stream);
    if (w->body.len > 0) {
        value_put_raw(out, w->body);
    } else {
        value_put_nil(out);
    }
}

enum err sandbox_what_decode(struct slice doc, struct sandbox_what *ret)
{
    struct slice item;
    uint64_t verb = 0;
    struct value_iter it = value_items(doc);
    bool is_good = value_count(doc) == ITEMS && value_next(&it, &item) &&
                   value_get_uint(item, &verb) && verb >= 1 && verb < SANDBOX_VERB_END &&
                   value_next(&it, &item) && value_get_str(item, &ret->method) &&
                   value_next(&it, &item) && value_get_str(item, &ret->name) &&
                   value_next(&it, &item) && value_get_bin(item, &ret->argument) &&
                   value_next(&it, &item) && value_get_str(item, &ret->query) &&
                   value_next(&it, &item) && value_get_bool(item, &ret->wants_stream) &&
                   value_next(&it, &ret->body) && sandbox_name_is_valid(ret->name);
    if (!is_good) {
        return ERR_BAD_REQUEST;
    }
    ret->verb = (enum sandbox_verb)verb;
    if (value_type(ret->body) == VALUE_NIL) {
        ret->body = (struct slice){0};
    }
    return ERR_OK;
}
