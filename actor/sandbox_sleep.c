/* What becomes of a sandbox's disk: it is put away when it sleeps, or kept as a snapshot, restored, forked.
 *
 *     job --its machine stands still (frozen, or ended)--> PACKING --> RECORDING --> done, thawed or asleep
 *
 * One job of a box after the other. While one is under way nothing else runs in the box: what comes waits for it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actor/members.h"
#include "actor/sandbox_layers.h"
#include "actor/sandbox_own.h"
#include "actor/sandbox_row.h"
#include "base/hex.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "rpc/value.h"

enum {
    LAYERS_KEPT_MAX = LAUNCH_LAYERS_MAX - 2, /* the base is one as well */
    SNAPSHOTS_MAX = 64,
    SNAPSHOT_ID_BYTES = 8,
    ROW_TIMEOUT_MS = 30 * 1000,
};

enum job_kind { JOB_SLEEP, JOB_SNAPSHOT, JOB_FORK, JOB_RESTORE, JOB_FORGET };

struct box_job {
    enum job_kind kind;
    struct list link; /* box.jobs */
    struct box *box;
    struct sandbox_ask *ask; /* NULL: nobody waits */
    struct pack *pack;
    bool has_turn;    /* one is under way */
    bool is_given_up; /* its box goes */
    bool waits_for_end;
    bool is_recorded;            /* of a sleep: the row has it */
    struct bytes *row;           /* the new one */
    char hash[LAYER_NAME_BYTES]; /* of the layer that was packed; empty: none */
    char id[2 * SNAPSHOT_ID_BYTES + 1];
};

static void job_start(struct box_job *j);

/* Ends */

static void job_free(struct box_job *j)
{
    struct sandbox_ask *a = j->ask;
    list_remove(&j->link);
    bytes_unref(j->row);
    mem_free(j);
    if (a != NULL) {
        ask_end(a);
    }
}

/* `err` ERR_OK: the answer has been given, or nobody waits for one. */
static void job_end(struct box_job *j, enum err err, const char *why)
{
    struct box *b = j->box;
    PRE(b->job == j);
    if (err != ERR_OK && j->ask != NULL) {
        ask_fail(j->ask, err, *why != '\0' ? "%s" : NULL, why);
    }
    b->job = NULL;
    job_free(j);
    b->ask_count--;
    if (b->is_going) {
        box_free_if_over(b);
    } else if (!list_is_empty(&b->waiting)) {
        box_wake(b);
    } else {
        box_jobs_go_on(b);
    }
}

static void thaw(struct box *b)
{
    if (b->state == BOX_FROZEN) {
        box_freeze(b, false);
    }
}

/* A snapshot: [id, name, created, layers]. */
static void put_snapshot(struct buf *out, const struct box_job *j, struct slice name,
                         struct slice layers)
{
    value_put_array(out, 4);
    value_put_text(out, j->id);
    value_put_str(out, name);
    value_put_uint(out, j->box->host->wall_ms);
    value_put_raw(out, layers);
}

/* Recording */

static void on_recorded(struct request *r);

static void record(struct box_job *j, const struct sandbox_spec *s)
{
    struct box *b = j->box;
    struct buf row = {0};
    struct request *r = request_new(REQUEST_SANDBOX_SET);
    sandbox_spec_encode(s, &row);
    j->row = bytes_new(buf_slice(&row));
    buf_done(&row);
    request_set_address(r, &b->address);
    r->identity = b->identity;
    r->name = bytes_new(slice_of_str(b->name));
    r->body = bytes_ref(j->row);
    r->user = j;
    r->answer = on_recorded;
    j->has_turn = true;
    registry_submit(b->host->registry, b->shard, r, ROW_TIMEOUT_MS);
}

static void answer_state(struct box_job *j)
{
    if (j->ask != NULL && j->ask->request != NULL) {
        struct buf doc = {0};
        value_put_map(&doc, 1);
        value_put_text(&doc, "state");
        value_put_text(&doc, "asleep");
        ask_document(j->ask, 200, &doc);
    }
}

/* The row has the disk's contents: the machine goes, and the disk's file with it. */
static void fall_asleep(struct box_job *j)
{
    struct box *b = j->box;
    if (b->state != BOX_ASLEEP) {
        j->waits_for_end = true;
        box_stop(b);
        return;
    }
    if (!b->keeps_disk) {
        disk_remove(b->host->disks, b->disk);
    }
    b->keeps_disk = false;
    answer_state(j);
    job_end(j, ERR_OK, "");
}

/* Its machine is gone. */
void box_job_on_ended(struct box *b)
{
    struct box_job *j = b->job;
    if (j != NULL && j->waits_for_end) {
        j->waits_for_end = false;
        job_start(j);
    }
}

static void answer_id(struct box_job *j)
{
    if (j->ask != NULL && j->ask->request != NULL) {
        struct buf doc = {0};
        value_put_map(&doc, 1);
        value_put_text(&doc, "id");
        value_put_text(&doc, j->id);
        ask_document(j->ask, 200, &doc);
    }
}

static void on_recorded(struct request *r)
{
    struct box_job *j = r->user;
    struct box *b = j->box;
    enum err err = r->reply.err;
    j->has_turn = false;
    request_free(r);
    if (err == ERR_OK) {
        struct sandbox_spec kept;
        struct bytes *row = bytes_ref(j->row);
        if (sandbox_spec_decode(bytes_slice(row), &kept) == ERR_OK) {
            layers_release(b, &kept);
        }
        box_set_row(b, bytes_slice(row));
        bytes_unref(row);
    } else if (j->hash[0] != '\0' && !row_has(&b->spec, slice_of_str(j->hash)) &&
               err != ERR_OUTCOME_UNKNOWN && err != ERR_TIMEOUT_IN_DOUBT) {
        layer_release(b->host->disks, slice_of_str(j->hash), b->disk);
    }
    if (err != ERR_OK || j->is_given_up) {
        thaw(b);
        job_end(j, err != ERR_OK ? err : ERR_OUTCOME_UNKNOWN, "");
        return;
    }
    switch (j->kind) {
    case JOB_SLEEP:
        j->is_recorded = true;
        fall_asleep(j);
        return;
    case JOB_SNAPSHOT:
        answer_id(j);
        job_end(j, ERR_OK, "");
        return;
    case JOB_FORGET:
        if (j->ask->request != NULL) {
            j->ask->request->reply.status = 204;
            ask_reply(j->ask);
        }
        job_end(j, ERR_OK, "");
        return;
    case JOB_RESTORE:
        disk_remove(b->host->disks, b->disk);
        box_show(j->ask, b);
        job_end(j, ERR_OK, "");
        return;
    case JOB_FORK:
        break;
    }
    UNREACHABLE();
}

/* Forks */

static void on_adopted(struct request *r)
{
    struct box_job *j = r->user;
    struct sandbox_ask *a = j->ask;
    j->has_turn = false;
    if (a->request != NULL) {
        reply_clear(&a->request->reply);
        a->request->reply = r->reply;
        reply_init(&r->reply);
        ask_reply(a);
    }
    if (j->hash[0] != '\0' && !row_has(&j->box->spec, slice_of_str(j->hash))) {
        layer_release(j->box->host->disks, slice_of_str(j->hash), j->box->disk);
    }
    request_free(r);
    job_end(j, ERR_OK, "");
}

static void fork_now(struct box_job *j, struct slice layers)
{
    struct box *b = j->box;
    struct sandbox_host *h = b->host;
    struct sandbox_spec s = b->spec;
    struct buf row = {0};
    struct buf body = {0};
    struct buf doc = {0};
    struct slice id_doc;
    struct slice name_doc;
    struct slice id = {0};
    struct sandbox_what what = {.verb = SANDBOX_VERB_ADOPT, .method = SLICE("PUT")};
    struct address to = b->address;
    if (j->ask->request == NULL) {
        job_end(j, ERR_OK, "");
        return;
    }
    bool is_good = value_member(j->ask->what.body, "id", &id_doc) && value_get_str(id_doc, &id) &&
                   value_member(j->ask->what.body, "name", &name_doc) &&
                   value_get_str(name_doc, &what.name);
    INVARIANT(is_good); /* looked at when it came */
    random_bytes(s.id, sizeof s.id);
    s.created_ms = h->wall_ms;
    s.slept_ms = h->wall_ms;
    s.layers = layers;
    s.snapshots = (struct slice){0};
    sandbox_spec_encode(&s, &row);
    value_put_bin(&body, buf_slice(&row));
    what.body = buf_slice(&body);
    sandbox_what_encode(&what, &doc);
    struct request *r = request_new(REQUEST_SANDBOX);
    to.id = id;
    request_set_address(r, &to);
    r->body = bytes_new(buf_slice(&doc));
    r->user = j;
    r->answer = on_adopted;
    j->has_turn = true;
    buf_done(&row);
    buf_done(&body);
    buf_done(&doc);
    h->send(h->send_ctx, r, ROW_TIMEOUT_MS);
}

/* Packed */

static void on_packed(void *ctx, enum err err, const char *hash, const char *why)
{
    struct box_job *j = ctx;
    struct box *b = j->box;
    struct sandbox_spec s = b->spec;
    struct buf layers = {0};
    struct buf snapshots = {0};
    struct snapshot old;
    j->pack = NULL;
    if (err != ERR_OK && j->kind == JOB_SLEEP) {
        b->keeps_disk = true; /* what cannot be packed sleeps as the file that it is */
        j->is_recorded = true;
        fall_asleep(j);
        return;
    }
    if (err != ERR_OK) {
        thaw(b);
        job_end(j, err, why);
        return;
    }
    (void)snprintf(j->hash, sizeof j->hash, "%s", hash);
    row_put_layers(&layers, hash, b->spec.layers);
    if (j->kind != JOB_SLEEP) {
        thaw(b);
    }
    switch (j->kind) {
    case JOB_SLEEP:
        s.layers = buf_slice(&layers);
        s.slept_ms = b->host->wall_ms;
        record(j, &s);
        break;
    case JOB_SNAPSHOT: {
        struct slice name_doc;
        struct slice name = {0};
        if (j->ask->what.body.len > 0 && value_member(j->ask->what.body, "name", &name_doc)) {
            (void)!value_get_str(name_doc, &name);
        }
        value_put_array(&snapshots, (s.snapshots.len > 0 ? value_count(s.snapshots) : 0) + 1);
        for (struct value_iter it = row_snapshots_of(&s); row_next_snapshot(&it, &old);) {
            value_put_raw(&snapshots, old.doc);
        }
        put_snapshot(&snapshots, j, name, buf_slice(&layers));
        s.snapshots = buf_slice(&snapshots);
        record(j, &s);
        break;
    }
    case JOB_FORK:
        fork_now(j, buf_slice(&layers));
        break;
    case JOB_RESTORE:
    case JOB_FORGET:
        UNREACHABLE();
    }
    buf_done(&layers);
    buf_done(&snapshots);
}

/* Beginning */

static void pack(struct box_job *j)
{
    struct box *b = j->box;
    if (!disk_exists(b->host->disks, b->disk)) {
        on_packed(j, ERR_OK, "", "");
        return;
    }
    if (b->state == BOX_RUNNING) {
        box_freeze(b, true);
    }
    j->pack = layer_pack(b->host->disks, b->disk, on_packed, j);
}

static void restore(struct box_job *j)
{
    struct box *b = j->box;
    struct sandbox_spec s = b->spec;
    struct snapshot snapshot;
    struct slice doc;
    struct slice wanted = {0};
    if (b->state != BOX_ASLEEP) {
        j->waits_for_end = true;
        box_stop(b);
        return;
    }
    if (j->ask->request == NULL) {
        job_end(j, ERR_OK, "");
        return;
    }
    if (!value_member(j->ask->what.body, "snapshot", &doc) || !value_get_str(doc, &wanted) ||
        !row_find_snapshot(&s, wanted, &snapshot)) {
        job_end(j, ERR_NO_SUCH_SNAPSHOT, "");
        return;
    }
    s.layers = snapshot.layers;
    s.slept_ms = snapshot.created_ms;
    record(j, &s);
}

static void forget(struct box_job *j)
{
    struct sandbox_spec s = j->box->spec;
    struct snapshot gone;
    struct snapshot other;
    struct buf snapshots = {0};
    if (!row_find_snapshot(&s, j->ask->what.argument, &gone)) {
        job_end(j, ERR_NO_SUCH_SNAPSHOT, "");
        return;
    }
    value_put_array(&snapshots, value_count(s.snapshots) - 1);
    for (struct value_iter it = row_snapshots_of(&s); row_next_snapshot(&it, &other);) {
        if (!slice_equal(other.id, gone.id)) {
            value_put_raw(&snapshots, other.doc);
        }
    }
    s.snapshots = buf_slice(&snapshots);
    record(j, &s);
    buf_done(&snapshots);
}

/* The box is ASLEEP, RUNNING or FROZEN. */
static void job_start(struct box_job *j)
{
    struct box *b = j->box;
    uint32_t layers = b->spec.layers.len > 0 ? value_count(b->spec.layers) : 0;
    if (j->kind == JOB_RESTORE) {
        restore(j);
        return;
    }
    if (j->kind == JOB_FORGET) {
        forget(j);
        return;
    }
    if (j->is_recorded) {
        fall_asleep(j);
        return;
    }
    if (layers >= LAYERS_KEPT_MAX && j->kind == JOB_SLEEP) {
        b->keeps_disk = true; /* one layer more could not be mounted: its file stays as it is */
        j->is_recorded = true;
        fall_asleep(j);
        return;
    }
    if (layers >= LAYERS_KEPT_MAX) {
        job_end(j, ERR_OVERLOADED, "The disk has too many layers.");
        return;
    }
    pack(j);
}

void box_jobs_go_on(struct box *b)
{
    struct box_job *j = LIST_FIRST(&b->jobs, struct box_job, link);
    bool is_settled = b->state == BOX_ASLEEP || b->state == BOX_RUNNING || b->state == BOX_FROZEN;
    if (b->job == NULL && j != NULL && is_settled && !b->is_going) {
        list_remove(&j->link);
        b->job = j;
        job_start(j);
    }
}

static void job_add(struct box *b, enum job_kind kind, struct sandbox_ask *a)
{
    struct box_job *j = MEM_NEW(struct box_job);
    uint8_t id[SNAPSHOT_ID_BYTES];
    random_bytes(id, sizeof id);
    hex_encode(id, sizeof id, j->id);
    j->kind = kind;
    j->box = b;
    j->ask = a;
    list_init(&j->link);
    list_append(&b->jobs, &j->link);
    b->ask_count++;
    if (a != NULL) {
        a->has_begun = true;
        ask_begin(a);
    }
    box_jobs_go_on(b);
}

/* The box goes. */
void box_jobs_drop(struct box *b, enum err err)
{
    struct box_job *j;
    while ((j = LIST_FIRST(&b->jobs, struct box_job, link)) != NULL) {
        if (j->ask != NULL) {
            ask_fail(j->ask, err, NULL);
        }
        job_free(j);
        b->ask_count--;
    }
    j = b->job;
    if (j == NULL) {
        return;
    }
    j->is_given_up = true;
    if (!j->has_turn) {
        layer_pack_forget(j->pack);
        j->pack = NULL;
        job_end(j, err, "");
    }
}

void box_sleep_by_itself(struct box *b)
{
    if (b->job == NULL && list_is_empty(&b->jobs)) {
        job_add(b, JOB_SLEEP, NULL);
    }
}

/* Requests */

void sleep_begin(struct sandbox_ask *a)
{
    job_add(a->box, JOB_SLEEP, a);
}

static enum err read_text(struct sandbox_ask *a, const char *name, bool is_wanted,
                          struct slice *ret)
{
    struct slice doc;
    *ret = (struct slice){0};
    if (a->what.body.len > 0 && value_type(a->what.body) == VALUE_MAP &&
        value_member(a->what.body, name, &doc)) {
        if (value_get_str(doc, ret) && ret->len > 0 && ret->len <= 255) {
            return ERR_OK;
        }
    } else if (!is_wanted) {
        return ERR_OK;
    }
    return reply_fail(&a->request->reply, ERR_BAD_REQUEST, "%s is not a string of 1 to 255 bytes.",
                      name);
}

void snapshot_begin(struct sandbox_ask *a)
{
    struct slice name;
    struct snapshot old;
    uint32_t count = a->box->spec.snapshots.len > 0 ? value_count(a->box->spec.snapshots) : 0;
    if (read_text(a, "name", false, &name) != ERR_OK) {
        ask_reply(a);
    } else if (count >= SNAPSHOTS_MAX) {
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "snapshots", SNAPSHOTS_MAX);
        ask_reply(a);
    } else if (name.len > 0 && row_find_snapshot(&a->box->spec, name, &old)) {
        ask_fail(a, ERR_CONFLICT, "There is a snapshot of that name.");
    } else {
        job_add(a->box, JOB_SNAPSHOT, a);
    }
}

void snapshots_list(struct sandbox_ask *a)
{
    struct snapshot s;
    struct buf doc = {0};
    const struct sandbox_spec *spec = &a->box->spec;
    value_put_map(&doc, 1);
    value_put_text(&doc, "snapshots");
    value_put_array(&doc, spec->snapshots.len > 0 ? value_count(spec->snapshots) : 0);
    for (struct value_iter it = row_snapshots_of(spec); row_next_snapshot(&it, &s);) {
        value_put_map(&doc, 3);
        value_put_text(&doc, "id");
        value_put_str(&doc, s.id);
        value_put_text(&doc, "name");
        if (s.name.len > 0) {
            value_put_str(&doc, s.name);
        } else {
            value_put_nil(&doc);
        }
        value_put_text(&doc, "created");
        value_put_uint(&doc, s.created_ms);
    }
    ask_document(a, 200, &doc);
}

void snapshot_forget(struct sandbox_ask *a)
{
    job_add(a->box, JOB_FORGET, a);
}

void restore_begin(struct sandbox_ask *a)
{
    struct slice wanted;
    struct snapshot s;
    if (read_text(a, "snapshot", true, &wanted) != ERR_OK) {
        ask_reply(a);
    } else if (!row_find_snapshot(&a->box->spec, wanted, &s)) {
        ask_fail(a, ERR_NO_SUCH_SNAPSHOT, NULL);
    } else {
        job_add(a->box, JOB_RESTORE, a);
    }
}

void fork_begin(struct sandbox_ask *a)
{
    struct slice id;
    struct slice name;
    const struct address *own = &a->box->address;
    if (read_text(a, "id", true, &id) != ERR_OK || read_text(a, "name", true, &name) != ERR_OK) {
        ask_reply(a);
        return;
    }
    const struct address to = {.ns = own->ns, .class = own->class, .id = id};
    if (address_check(&to) != ERR_OK) {
        ask_fail(a, ERR_INVALID_ID, NULL);
    } else if (!sandbox_name_is_valid(name)) {
        ask_fail(a, ERR_BAD_REQUEST, "name is not one that a sandbox can have.");
    } else {
        job_add(a->box, JOB_FORK, a);
    }
}
