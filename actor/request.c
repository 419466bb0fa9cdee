#include "actor/request.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"

struct request *request_new(enum request_kind kind)
{
    struct request *r = MEM_NEW(struct request);
    r->magic = REQUEST_MAGIC;
    r->kind = kind;
    r->list.limit = LIST_LIMIT_DEFAULT;
    r->list.values = true;
    list_init(&r->link);
    reply_init(&r->reply);
    return r;
}

void request_free(struct request *r)
{
    if (r == NULL) {
        return;
    }
    PRE(r->magic == REQUEST_MAGIC);
    PRE(r->stage == REQUEST_NEW || r->stage == REQUEST_DONE);
    PRE(!heap_has(&r->deadline));

    bytes_unref(r->address_text);
    bytes_unref(r->name);
    bytes_unref(r->body);
    bytes_unref(r->outcome);
    bytes_unref(r->list.prefix);
    bytes_unref(r->list.start);
    bytes_unref(r->list.start_after);
    bytes_unref(r->list.end);
    bytes_unref(r->list.cursor);
    bytes_unref(r->idempotency_key);
    reply_clear(&r->reply);
    r->magic = 0;
    mem_free(r);
}

void request_set_address(struct request *r, const struct address *a)
{
    PRE(r->address_text == NULL);

    struct bytes *text = bytes_new_uninit(a->ns.len + a->class.len + a->id.len);
    uint8_t *at = text->data;
    const struct slice *parts[] = {&a->ns, &a->class, &a->id};
    struct slice *copies[] = {&r->address.ns, &r->address.class, &r->address.id};
    for (int i = 0; i < 3; i++) {
        memcpy(at, parts[i]->data, parts[i]->len);
        *copies[i] = slice_of(at, parts[i]->len);
        at += parts[i]->len;
    }
    r->address_text = text;
}

bool request_is_of_workflow(enum request_kind kind)
{
    return kind == REQUEST_WORKFLOW_START || kind == REQUEST_WORKFLOW_GET ||
           kind == REQUEST_WORKFLOW_EVENT || kind == REQUEST_WORKFLOW_CONTROL;
}

bool request_writes(const struct request *r)
{
    enum { READS, WRITES };
    static const uint8_t does[REQUEST_KIND_COUNT] = {
#define X(name, operation, what) what,
#include "actor/request.def"
#undef X
    };
    return does[r->kind] == WRITES;
}
