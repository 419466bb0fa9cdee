/* The rows of sandboxes, for their host (actor/sandbox_host.h): each is a turn of the actor, so what is done to a
 * sandbox comes after a proof of leadership, and a sandbox is there once its row is durable. */
#include "actor/actor.h"
#include "actor/ops.h"
#include "actor/sandbox_spec.h"
#include "base/invariant.h"
#include "base/random.h"

static enum err get_row(struct turn *t, struct request *r, const struct row **ret_row)
{
    return turn_get(t, ROW_SANDBOX, bytes_slice(r->name), ret_row);
}

static void answer_row(struct request *r, int status, struct slice row)
{
    struct buf body = {0};
    buf_append_slice(&body, row);
    reply_body(&r->reply, status, &body);
}

static void put_row(struct turn *t, struct request *r, const struct buf *row)
{
    struct bytes *value = bytes_new(buf_slice(row));
    (void)turn_version(t);
    turn_put(t, ROW_SANDBOX, bytes_slice(r->name), value);
    bytes_unref(value);
}

/* The body is that of the PUT, or nothing. 201 with the row; 200 where there is one already, as it is. */
enum err op_sandbox_put(struct turn *t, struct request *r)
{
    const struct row *old;
    struct sandbox_spec s;
    struct buf row = {0};
    enum err err = get_row(t, r, &old);
    if (err != ERR_OK) {
        return err;
    }
    err = sandbox_spec_read(bytes_slice(r->body), &s, &r->reply);
    if (err != ERR_OK) {
        return err;
    }
    if (old != NULL) {
        answer_row(r, 200, bytes_slice(old->value));
        return ERR_OK;
    }
    random_bytes(s.id, sizeof s.id);
    s.created_ms = t->log_time_ms;
    sandbox_spec_encode(&s, &row);
    put_row(t, r, &row);
    answer_row(r, 201, buf_slice(&row));
    buf_done(&row);
    return ERR_OK;
}

enum err op_sandbox_get(struct turn *t, struct request *r)
{
    const struct row *row;
    enum err err = get_row(t, r, &row);
    if (err != ERR_OK) {
        return err;
    }
    if (row == NULL) {
        return reply_fail(&r->reply, ERR_NO_SUCH_SANDBOX, NULL);
    }
    answer_row(r, 200, bytes_slice(row->value));
    return ERR_OK;
}

/* The body of the answer is the row that went; none: there was none. */
enum err op_sandbox_delete(struct turn *t, struct request *r)
{
    const struct row *row;
    enum err err = get_row(t, r, &row);
    if (err != ERR_OK) {
        return err;
    }
    if (row == NULL) {
        r->reply.status = 204;
        return ERR_OK;
    }
    answer_row(r, 200, bytes_slice(row->value));
    (void)turn_version(t);
    turn_delete(t, ROW_SANDBOX, bytes_slice(r->name));
    return ERR_OK;
}

/* The body is a row, which takes the place of the one with the same id. 404: there is none any more. Under MATCH_ABSENT
 * there is to be none of that name: 409. */
enum err op_sandbox_set(struct turn *t, struct request *r)
{
    const struct row *row;
    struct sandbox_spec old;
    struct sandbox_spec new;
    struct buf copy = {0};
    enum err err = get_row(t, r, &row);
    if (err != ERR_OK) {
        return err;
    }
    if (r->match == MATCH_ABSENT) {
        if (row != NULL) {
            return reply_fail(&r->reply, ERR_CONFLICT, "The actor has a sandbox of that name.");
        }
    } else if (row == NULL || sandbox_spec_decode(bytes_slice(row->value), &old) != ERR_OK ||
               sandbox_spec_decode(bytes_slice(r->body), &new) != ERR_OK ||
               memcmp(old.id, new.id, sizeof old.id) != 0) {
        return reply_fail(&r->reply, ERR_NO_SUCH_SANDBOX, NULL);
    }
    buf_append_slice(&copy, bytes_slice(r->body));
    put_row(t, r, &copy);
    buf_done(&copy);
    r->reply.status = 204;
    return ERR_OK;
}
