#include "actor/actor.h"
#include "actor/ops.h"
#include "rpc/value.h"

static bool has_one_of(const struct row *row, const struct request *r)
{
    for (uint32_t i = 0; i < r->match_count; i++) {
        if (row->version == r->match_versions[i]) {
            return true;
        }
    }
    return false;
}

static bool match_holds(const struct request *r, const struct row *row)
{
    switch (r->match) {
    case MATCH_ANY:
        return true;
    case MATCH_VERSION:
        return row != NULL && has_one_of(row, r);
    case MATCH_NOT_VERSION:
        return row == NULL || !has_one_of(row, r);
    case MATCH_PRESENT:
        return row != NULL;
    case MATCH_ABSENT:
        return row == NULL;
    }
    return false;
}

static enum err version_mismatch(struct request *r, const struct row *row)
{
    if (row == NULL) {
        return reply_fail(&r->reply, ERR_VERSION_MISMATCH, "There is no such key.");
    }
    (void)reply_fail(&r->reply, ERR_VERSION_MISMATCH, "The version of the key is %llu.",
                     (unsigned long long)row->version);
    r->reply.etag = row->version;
    return ERR_VERSION_MISMATCH;
}

enum err kv_answer(struct request *r, const struct row *row)
{
    if (row == NULL) {
        return reply_fail(&r->reply, ERR_NO_SUCH_KEY, NULL);
    }
    if (r->match == MATCH_VERSION && !match_holds(r, row)) {
        return version_mismatch(r, row);
    }
    r->reply.etag = row->version;
    if (r->match == MATCH_ABSENT || (r->match == MATCH_NOT_VERSION && !match_holds(r, row))) {
        r->reply.status = 304; /* RFC 9110, 13.1.2 */
        return ERR_OK;
    }
    r->reply.is_value = true;
    r->reply.body = bytes_ref(row->value);
    return ERR_OK;
}

enum err op_kv_get(struct turn *t, struct request *r)
{
    const struct row *row;
    enum err err = turn_get(t, ROW_KV, bytes_slice(r->name), &row);
    return err == ERR_OK ? kv_answer(r, row) : err;
}

enum err op_kv_put(struct turn *t, struct request *r)
{
    struct slice key = bytes_slice(r->name);
    const struct row *row;
    enum err err = turn_get(t, ROW_KV, key, &row);
    if (err != ERR_OK) {
        return err;
    }
    if (!match_holds(r, row)) {
        return version_mismatch(r, row);
    }
    err = turn_put_key(t, key, row, r->body);
    if (err != ERR_OK) {
        return err;
    }
    r->reply.status = 204;
    r->reply.etag = turn_version(t);
    return ERR_OK;
}

enum err op_kv_delete(struct turn *t, struct request *r)
{
    struct slice key = bytes_slice(r->name);
    const struct row *row;
    enum err err = turn_get(t, ROW_KV, key, &row);
    if (err != ERR_OK) {
        return err;
    }
    if (!match_holds(r, row)) {
        return version_mismatch(r, row);
    }
    if (row != NULL) {
        turn_delete_key(t, key, row);
    }
    r->reply.status = 204;
    r->reply.existed = row != NULL ? EXISTED_YES : EXISTED_NO;
    return ERR_OK;
}
