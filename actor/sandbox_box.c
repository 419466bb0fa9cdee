#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "actor/sandbox_layers.h"
#include "actor/sandbox_own.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/value.h"

enum { BUSY_US = 20 * 1000 /* of CPU time in SANDBOX_LOOK_MS: something works */ };

/* A state change has one door. */
static void box_move(struct box *b, enum box_state to)
{
    static const bool allowed[BOX_STATE_COUNT][BOX_STATE_COUNT] = {
        [BOX_ASLEEP] = {[BOX_FETCHING] = true, [BOX_STARTING] = true},
        [BOX_FETCHING] = {[BOX_STARTING] = true, [BOX_ASLEEP] = true},
        [BOX_STARTING] = {[BOX_RUNNING] = true, [BOX_ASLEEP] = true, [BOX_STOPPING] = true},
        [BOX_RUNNING] = {[BOX_FROZEN] = true, [BOX_STOPPING] = true, [BOX_ASLEEP] = true},
        [BOX_FROZEN] = {[BOX_RUNNING] = true, [BOX_STOPPING] = true, [BOX_ASLEEP] = true},
        [BOX_STOPPING] = {[BOX_ASLEEP] = true},
    };
    INVARIANT(allowed[b->state][to]);
    b->state = to;
}

/* Finding and making */

static uint64_t key_of(const struct identity *identity, struct slice name)
{
    uint8_t text[IDENTITY_BYTES + SANDBOX_NAME_MAX];
    memcpy(text, identity->bytes, IDENTITY_BYTES);
    memcpy(text + IDENTITY_BYTES, name.data, name.len);
    return hash_of(slice_of(text, IDENTITY_BYTES + name.len));
}

struct box *box_find(const struct sandbox_host *h, const struct identity *identity,
                     struct slice name)
{
    struct map_node *n = map_find(&h->boxes, key_of(identity, name));
    for (; n != NULL; n = map_next_same(n)) {
        struct box *b = CONTAINER_OF(n, struct box, by_key);
        if (memcmp(&b->identity, identity, sizeof *identity) == 0 &&
            slice_equal_str(name, b->name)) {
            return b;
        }
    }
    return NULL;
}

void box_set_row(struct box *b, struct slice row)
{
    if (b->row != NULL && slice_equal(bytes_slice(b->row), row)) {
        return;
    }
    bytes_unref(b->row);
    b->row = bytes_new(row);
    enum err err = sandbox_spec_decode(bytes_slice(b->row), &b->spec);
    INVARIANT(err == ERR_OK); /* whoever calls has looked */
}

static struct box *box_new(struct sandbox_ask *a, struct slice row)
{
    struct sandbox_host *h = a->host;
    struct box *b = MEM_NEW(struct box);
    b->magic = BOX_MAGIC;
    b->host = h;
    b->shard = a->shard;
    b->identity = a->request->identity;
    b->used_ms = h->now_ms;
    b->busy_ms = h->now_ms;
    (void)snprintf(b->name, sizeof b->name, "%.*s", (int)a->what.name.len,
                   (const char *)a->what.name.data);
    box_set_row(b, row);
    disk_name(&b->identity, b->spec.id, b->disk);
    b->address = a->request->address;
    b->address_text = bytes_ref(a->request->address_text);
    list_init(&b->jobs);
    list_init(&b->waiting);
    list_init(&b->asks);
    list_init(&b->processes);
    list_init(&b->terminals);
    list_init(&b->contexts);
    list_init(&b->changes);
    list_init(&b->link);
    list_append(&h->all, &b->link);
    map_add(&h->boxes, &b->by_key, key_of(&b->identity, a->what.name));
    h->box_count++;
    return b;
}

struct box *box_of(struct sandbox_ask *a, struct slice row)
{
    struct sandbox_spec spec;
    if (sandbox_spec_decode(row, &spec) != ERR_OK) {
        return NULL;
    }
    struct box *b = box_find(a->host, &a->request->identity, a->what.name);
    if (b != NULL && memcmp(b->spec.id, spec.id, sizeof spec.id) != 0) {
        box_go(b, true, ERR_NO_SUCH_SANDBOX); /* another had its name */
        b = NULL;
    }
    if (b == NULL) {
        return box_new(a, row);
    }
    box_set_row(b, row);
    return b;
}

void box_free_if_over(struct box *b)
{
    if (!b->is_going || b->state != BOX_ASLEEP || b->ask_count > 0) {
        return;
    }
    struct sandbox_ask *deleter = b->deleter;
    processes_free(b);
    terminals_free(b);
    contexts_free(b);
    if (b->loses_disk) {
        disk_remove(b->host->disks, b->disk);
        layers_release(b, NULL);
    }
    bytes_unref(b->address_text);
    list_remove(&b->link);
    b->host->box_count--;
    bytes_unref(b->row);
    b->magic = 0;
    mem_free(b);
    if (deleter != NULL) {
        if (deleter->request != NULL) {
            ask_reply(deleter);
        }
        ask_end(deleter);
    }
}

void box_drop(struct box *b)
{
    b->machine = NULL;
    outside_close(b);
    b->fetching = NULL;
    if (b->state != BOX_ASLEEP) {
        box_move(b, BOX_ASLEEP);
    }
    box_free_if_over(b);
}

/* Images and layers */

static int open_image(const struct sandbox_host *h, struct slice image)
{
    char path[SANDBOX_PATH_BYTES + SANDBOX_NAME_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/%.*s.erofs", h->images, (int)image.len,
                   (const char *)image.data);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool box_has_image(const struct sandbox_host *h, struct slice image)
{
    int fd = open_image(h, image);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

/* The newest first. What is missing here is to be fetched by whoever replicates layers. */
static bool open_layers(const struct box *b, struct machine_spec *spec)
{
    struct slice item;
    struct slice hash;
    if (b->spec.layers.len == 0) {
        return true;
    }
    for (struct value_iter it = value_items(b->spec.layers); value_next(&it, &item);) {
        int fd = spec->layer_count < LAUNCH_LAYERS_MAX - 1 && value_get_str(item, &hash)
                     ? layer_open(b->host->disks, hash)
                     : -1;
        if (fd < 0) {
            return false;
        }
        spec->layers[spec->layer_count++] = fd;
    }
    return true;
}

static void close_layers(const struct machine_spec *spec)
{
    for (size_t i = 0; i < spec->layer_count; i++) {
        (void)close(spec->layers[i]);
    }
}

bool layers_use(struct sandbox_host *h, const struct identity *actor, const struct sandbox_spec *s)
{
    char disk[SANDBOX_NAME_BYTES];
    struct slice item;
    struct slice hash;
    disk_name(actor, s->id, disk);
    if (s->layers.len == 0) {
        return true;
    }
    for (struct value_iter it = value_items(s->layers); value_next(&it, &item);) {
        if (!value_get_str(item, &hash) || layer_use(h->disks, hash, disk) != ERR_OK) {
            return false;
        }
    }
    return true;
}

/* Its life */

static void fail_waiting(struct box *b, enum err err, const char *why)
{
    struct sandbox_ask *a;
    b->ask_count++; /* it stays */
    while ((a = LIST_FIRST(&b->waiting, struct sandbox_ask, in_box)) != NULL) {
        ask_begin(a);
        box_leave(a);
        ask_fail(a, err, *why != '\0' ? "The sandbox does not start: %s." : NULL, why);
        ask_end(a);
    }
    b->ask_count--;
}

static void run_waiting(struct box *b)
{
    struct list waiting;
    struct sandbox_ask *a;
    list_init(&waiting);
    list_move_all(&waiting, &b->waiting);
    while ((a = LIST_FIRST(&waiting, struct sandbox_ask, in_box)) != NULL) {
        list_remove(&a->in_box);
        if (b->state != BOX_RUNNING) { /* one of them has ended it */
            list_append(&b->waiting, &a->in_box);
            continue;
        }
        list_append(&b->asks, &a->in_box);
        a->has_begun = true;
        a->run(a);
    }
}

void box_is_ready(struct box *b)
{
    box_move(b, BOX_RUNNING);
    b->host->stats.started++;
    run_waiting(b);
    box_jobs_go_on(b);
    disk_warm_up(b->host->disks);
}

static void on_ready(void *ctx)
{
    OBJ_CAST(box, ctx, BOX_MAGIC);
    outside_begin(box);
}

static void on_listeners(void *ctx, const int fds[4])
{
    OBJ_CAST(box, ctx, BOX_MAGIC);
    outside_take(box, fds);
}

static void on_ended(void *ctx, const char *why)
{
    OBJ_CAST(box, ctx, BOX_MAGIC);
    struct box *b = box;
    bool was_starting = b->state == BOX_STARTING;
    b->ask_count++; /* it stays until this is done */
    b->machine = NULL;
    outside_close(b);
    box_move(b, BOX_ASLEEP);
    processes_ended(b);
    if (was_starting) {
        b->host->stats.failed++;
        fail_waiting(b, ERR_SANDBOX_FAILED, *why != '\0' ? why : "it was stopped");
    }
    box_job_on_ended(b);
    if (!list_is_empty(&b->waiting) && !b->is_going) {
        box_wake(b);
    }
    box_jobs_go_on(b);
    b->ask_count--;
    box_free_if_over(b);
}

static const struct machine_hooks machine_hooks = {
    .ready = on_ready, .ended = on_ended, .listeners = on_listeners};

static void box_start(struct box *b, int disk)
{
    const char *why = "";
    struct machine_spec spec = {.memory_bytes = (uint64_t)b->spec.memory_mb << 20,
                                .cpu_milli = b->spec.cpu_milli,
                                .pids_max = b->spec.pids + 1, /* its first process is ours */
                                .disk = disk};
    int image = open_image(b->host, b->spec.image);
    if (image < 0) {
        (void)close(disk);
        box_move(b, BOX_STARTING);
        box_move(b, BOX_ASLEEP);
        fail_waiting(b, ERR_SANDBOX_FAILED, "its image is not on this node");
        return;
    }
    bool has_all = open_layers(b, &spec);
    spec.layers[spec.layer_count++] = image;
    if (!has_all) {
        close_layers(&spec);
        (void)close(disk);
        box_move(b, BOX_STARTING);
        box_move(b, BOX_ASLEEP);
        fail_waiting(b, ERR_SANDBOX_FAILED, "a layer of its disk is not on this node");
        return;
    }
    box_move(b, BOX_STARTING);
    enum err err = machine_start(b->host->machines, &spec, &machine_hooks, b, &b->machine, &why);
    close_layers(&spec);
    if (err != ERR_OK) {
        box_move(b, BOX_ASLEEP);
        fail_waiting(b, ERR_SANDBOX_FAILED, why);
        box_free_if_over(b);
    }
}

static void on_disk(void *ctx, enum err err, int mount, const char *why)
{
    OBJ_CAST(box, ctx, BOX_MAGIC);
    struct box *b = box;
    b->fetching = NULL;
    if (err == ERR_OK) {
        box_start(b, mount);
        return;
    }
    box_move(b, BOX_ASLEEP);
    fail_waiting(b, err, why);
    box_free_if_over(b);
}

void box_wake(struct box *b)
{
    b->used_ms = b->host->now_ms;
    b->busy_ms = b->host->now_ms;
    if (b->job != NULL) {
        return; /* its end wakes it */
    }
    if (b->state == BOX_FROZEN) {
        box_freeze(b, false);
        run_waiting(b);
        return;
    }
    if (b->state != BOX_ASLEEP) {
        return;
    }
    int mount = disk_take_warm(b->host->disks, b->disk, b->spec.disk_mb);
    if (mount >= 0) {
        box_start(b, mount);
        return;
    }
    box_move(b, BOX_FETCHING);
    b->fetching = disk_take(b->host->disks, b->disk, b->spec.disk_mb, on_disk, b);
}

void box_use(struct box *b, struct sandbox_ask *a)
{
    PRE(a->box == b && a->run != NULL);
    list_append(&b->waiting, &a->in_box);
    b->ask_count++;
    a->is_in_box = true;
    if (b->state == BOX_RUNNING) {
        b->used_ms = b->host->now_ms;
        run_waiting(b);
    } else {
        box_wake(b);
    }
}

void box_keep(struct sandbox_ask *a)
{
    if (a->box != NULL && !a->is_in_box) {
        list_append(&a->box->asks, &a->in_box);
        a->box->ask_count++;
        a->is_in_box = true;
        if (a->box->state == BOX_FROZEN) {
            box_wake(a->box);
        }
        a->host->next_poll_ms = 0;
    }
}

void box_touch(struct box *b)
{
    b->used_ms = b->host->now_ms;
    if (b->state == BOX_FROZEN) {
        box_wake(b);
    }
}

void box_leave(struct sandbox_ask *a)
{
    struct box *b = a->box;
    if (!a->is_in_box) {
        return;
    }
    a->is_in_box = false;
    list_remove(&a->in_box);
    b->ask_count--;
    b->used_ms = b->host->now_ms;
    a->box = NULL;
    box_free_if_over(b);
}

void box_freeze(struct box *b, bool is_frozen)
{
    machine_freeze(b->machine, is_frozen);
    box_move(b, is_frozen ? BOX_FROZEN : BOX_RUNNING);
}

void box_stop(struct box *b)
{
    if (b->state == BOX_FETCHING) {
        disk_forget(b->fetching);
        b->fetching = NULL;
        box_move(b, BOX_ASLEEP);
    } else if (b->machine != NULL && b->state != BOX_STOPPING) {
        box_move(b, BOX_STOPPING);
        machine_kill(b->machine);
    }
}

void box_go(struct box *b, bool loses_disk, enum err err)
{
    PRE(!b->is_going);
    b->is_going = true;
    b->loses_disk = loses_disk;
    map_remove(&b->host->boxes, &b->by_key);
    if (b->deleter != NULL) {
        ask_begin(b->deleter);
    }
    b->ask_count++;
    fail_waiting(b, err, "");
    box_jobs_drop(b, err);
    box_stop(b);
    b->ask_count--;
    box_free_if_over(b);
}

/* Now and then: whether it works, and whether it may rest. */
void box_look(struct box *b)
{
    struct machine_usage usage;
    uint64_t now_ms = b->host->now_ms;
    if ((b->state != BOX_RUNNING && b->state != BOX_FROZEN) || b->is_going || b->job != NULL) {
        return;
    }
    machine_usage(b->machine, &usage);
    if (usage.cpu_us > b->cpu_seen_us + BUSY_US) {
        b->busy_ms = now_ms;
    }
    b->cpu_seen_us = usage.cpu_us;
    uint64_t idle_since_ms = b->used_ms > b->busy_ms ? b->used_ms : b->busy_ms;
    if (b->ask_count > 0) {
        return;
    }
    if (idle_since_ms + b->spec.sleep_after_ms <= now_ms) {
        box_sleep_by_itself(b);
    } else if (b->state == BOX_RUNNING && idle_since_ms + SANDBOX_FREEZE_MS <= now_ms) {
        box_freeze(b, true);
    }
}

void box_usage(struct box *b, struct machine_usage *ret)
{
    *ret = (struct machine_usage){0};
    if (b->state == BOX_RUNNING || b->state == BOX_FROZEN) {
        machine_usage(b->machine, ret);
    }
    ret->cpu_us += b->cpu_before_us;
}

static void woken(struct sandbox_ask *a)
{
    struct buf doc = {0};
    value_put_map(&doc, 1);
    value_put_text(&doc, "state");
    value_put_text(&doc, "running");
    ask_document(a, 200, &doc);
}

void box_begin_wake(struct sandbox_ask *a)
{
    a->run = woken;
    box_use(a->box, a);
}
