#include "actor/actor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actor/registry.h"
#include "base/mem.h"
#include "storage/store.h"
#include "tests/lib/engine_fixture.h"

static int setup(void **state)
{
    struct engine_fixture *f = mem_alloc(sizeof *f);
    engine_fixture_init(f);
    engine_fixture_start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    engine_fixture_done(*state);
    mem_free(*state);
    return 0;
}

static void on_proposed(struct proposal *p, enum err err)
{
    expect_err(err, ERR_OK);
    buf_done(&p->batch);
}

/* Loading */

/* As many cold reads as may be under way. */
static struct asked *ask_for_others(struct engine_fixture *f)
{
    struct asked *others = mem_zalloc(ENGINE_READS_MAX * sizeof *others);
    for (int i = 0; i < ENGINE_READS_MAX; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "other %d", i);
        ask(f, &others[i], get_request(id, "k"));
    }
    return others;
}

static void free_others(struct asked *others)
{
    for (int i = 0; i < ENGINE_READS_MAX; i++) {
        expect_answer(&others[i], ERR_NO_SUCH_KEY);
        asked_done(&others[i]);
    }
    mem_free(others);
}

static void an_actor_that_cannot_be_loaded_now_is_not_taken_for_empty(void **state)
{
    struct engine_fixture *f = *state;
    struct asked a = {0};
    put_text(f, "a", "k", "one");
    make_cold(f);
    struct asked *others = ask_for_others(f);

    ask(f, &a, get_request("a", "k"));
    expect_limited(&a, ERR_OVERLOADED, "cold_reads", ENGINE_READS_MAX);
    asked_done(&a);
    ask(f, &a, put_request("a", "l", "two"));
    expect_limited(&a, ERR_OVERLOADED, "cold_reads", ENGINE_READS_MAX);
    asked_done(&a);

    engine_fixture_settle(f);
    expect_text(f, "a", "k", "one");
    expect_no_key(f, "a", "l");
    free_others(others);
}

static void a_turn_that_cannot_read_its_rows_now_is_overloaded(void **state)
{
    struct engine_fixture *f = *state;
    struct asked a = {0};
    put_text(f, "a", "k", "one");
    for (int i = 0; i < 100; i++) { /* more than an actor is woken with */
        char key[32];
        (void)snprintf(key, sizeof key, "key %d", i);
        put_text(f, "a", key, "x");
    }
    make_cold(f);
    expect_text(f, "a", "k", "one");
    struct asked *others = ask_for_others(f);
    ask(f, &a, json_request(REQUEST_TXN, "a", "{\"do\":[{\"list\":{}}]}"));
    expect_limited(&a, ERR_OVERLOADED, "cold_reads", ENGINE_READS_MAX);
    asked_done(&a);
    engine_fixture_settle(f);
    expect_text(f, "a", "k", "one");
    free_others(others);
}

/* Queues */

static void a_full_mailbox_is_overloaded_and_those_in_it_get_their_turn(void **state)
{
    struct engine_fixture *f = *state;
    enum { COUNT = MAILBOX_REQUESTS_MAX };
    struct asked *all = mem_zalloc(COUNT * sizeof *all);
    struct asked one_more = {0};
    put_text(f, "a", "k", "one");
    make_cold(f);
    for (int i = 0; i < COUNT; i++) {
        ask(f, &all[i], put_request("a", "k", "two")); /* they wait for the actor to be loaded */
    }
    ask(f, &one_more, put_request("a", "k", "three"));
    expect_limited(&one_more, ERR_OVERLOADED, "mailbox_requests", MAILBOX_REQUESTS_MAX);
    asked_done(&one_more);
    engine_fixture_settle(f);
    for (int i = 0; i < COUNT; i++) {
        expect_answer(&all[i], ERR_OK);
        asked_done(&all[i]);
    }
    mem_free(all);
    expect_text(f, "a", "k", "two");
}

static void more_requests_than_a_worker_takes_are_overloaded(void **state)
{
    struct engine_fixture *f = *state;
    struct asked first = {0};
    struct asked second = {0};
    f->registry.request_max = 1;
    ask(f, &first, put_request("a", "k", "one"));
    ask(f, &second, put_request("b", "k", "two"));
    expect_limited(&second, ERR_OVERLOADED, "worker_requests", 1);
    asked_done(&second);
    engine_fixture_settle(f);
    expect_answer(&first, ERR_OK);
    asked_done(&first);
    expect_no_key(f, "b", "k");
}

/* Changes one byte of the text where the store has it. */
static void damage_text(struct engine_fixture *f, uint32_t shard, const char *text)
{
    struct buf path = {0};
    struct stat st;
    buf_printf(&path, "%s/shards/g%u.1.mdb", f->dir, shard + 1);
    buf_append_byte(&path, 0);
    int fd = open((char *)path.data, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    size_t len = (size_t)st.st_size;
    uint8_t *file = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(file != MAP_FAILED);
    uint8_t *at = memmem(file, len, text, strlen(text));
    assert_non_null(at);
    at[0]++;
    (void)munmap(file, len);
    (void)close(fd);
    buf_done(&path);
}

static void a_damaged_row_is_an_error_however_often_one_asks(void **state)
{
    struct engine_fixture *f = *state;
    put_text(f, "a", "k", "a text to be found");
    make_cold(f);
    struct request *r = get_request("a", "k");
    uint32_t shard = shard_id(engine_fixture_shard_of(f, r));
    engine_fixture_stop(f);
    damage_text(f, shard, "a text to be found");
    engine_fixture_start(f);

    expect_err(answer_of(f, r), ERR_CORRUPT);
    expect_err(answer_of(f, get_request("a", "k")), ERR_CORRUPT);
    expect_err(answer_of(f, put_request("a", "k", "new")), ERR_CORRUPT);
    expect_err(answer_of(f, request_of(REQUEST_ACTOR_INFO, "a")), ERR_CORRUPT);
    assert_int_equal(f->registry.actors.count, 0);
}

/* The gates */

static void requests_beyond_what_may_be_gated_get_their_turn_when_there_is_room(void **state)
{
    struct engine_fixture *f = *state;
    enum { COUNT = GATED_REQUESTS_MAX + 10 };
    struct asked *all = mem_zalloc(COUNT * sizeof *all);
    put_text(f, "a", "k", "one");
    for (int i = 0; i < COUNT; i++) {
        ask(f, &all[i], put_request("a", "k", "two"));
    }
    for (int i = 0; i < COUNT; i++) {
        assert_false(all[i].is_answered);
    }
    engine_fixture_settle(f);
    for (int i = 0; i < COUNT; i++) {
        expect_answer(&all[i], ERR_OK);
        asked_done(&all[i]);
    }
    mem_free(all);
}

static int count_answered(const struct asked *all, int count)
{
    int answered = 0;
    for (int i = 0; i < count; i++) {
        answered += all[i].is_answered;
    }
    return answered;
}

static void expect_all(struct engine_fixture *f, struct asked *all, int count)
{
    engine_fixture_settle(f);
    for (int i = 0; i < count; i++) {
        expect_answer(&all[i], ERR_OK);
        asked_done(&all[i]);
    }
    mem_free(all);
}

static void requests_that_waited_for_the_same_rows_run_a_slice_at_a_time(void **state)
{
    struct engine_fixture *f = *state;
    enum { COUNT = MAILBOX_REQUESTS_MAX };
    struct asked *all = mem_zalloc(COUNT * sizeof *all);
    put_text(f, "a", "k", "one");
    make_cold(f);
    for (int i = 0; i < COUNT; i++) {
        ask(f, &all[i], get_request("a", "k"));
    }
    while (count_answered(all, COUNT) == 0) {
        (void)engine_fixture_turn(f, ENGINE_ALL);
    }
    assert_int_equal(count_answered(all, COUNT), ACTOR_SLICE);
    assert_int_equal(registry_next_ms(&f->registry), f->mono_ms);
    registry_tick(&f->registry, f->mono_ms);
    assert_int_equal(count_answered(all, COUNT), 2 * ACTOR_SLICE);
    expect_all(f, all, COUNT);
}

static void replies_that_waited_for_the_same_batch_leave_a_slice_at_a_time(void **state)
{
    struct engine_fixture *f = *state;
    enum { COUNT = 3 * ACTOR_SLICE };
    struct asked *all = mem_zalloc(COUNT * sizeof *all);
    struct asked late = {0};
    put_text(f, "a", "k", "one");
    ask(f, &all[0], put_request("a", "k", "two"));
    for (int i = 1; i < COUNT; i++) {
        ask(f, &all[i], get_request("a", "k"));
    }
    while (count_answered(all, COUNT) == 0) {
        (void)engine_fixture_turn(f, ENGINE_ALL);
    }
    assert_int_equal(count_answered(all, COUNT), ACTOR_SLICE);
    ask(f, &late, get_request("a", "k"));
    assert_false(late.is_answered); /* it does not overtake them */
    expect_all(f, all, COUNT);
    expect_answer(&late, ERR_OK);
    asked_done(&late);
}

static void replies_that_wait_are_bounded_in_bytes(void **state)
{
    struct engine_fixture *f = *state;
    enum { COUNT = 400, BYTES = 128 * 1024 };
    struct asked *all = mem_zalloc(COUNT * sizeof *all);
    expect_err(answer_of(f, bytes_request("a", "large", BYTES)), ERR_OK);
    ask(f, &all[0], put_request("a", "k", "two"));
    for (int i = 1; i < COUNT; i++) {
        ask(f, &all[i], get_request("a", "large"));
    }
    assert_in_range(f->registry.gated_bytes, REGISTRY_GATED_BYTES_MAX,
                    REGISTRY_GATED_BYTES_MAX + 2 * BYTES);
    expect_all(f, all, COUNT);
    assert_int_equal(f->registry.gated_bytes, 0);
}

struct chain {
    struct engine_fixture *fixture;
    struct asked asked;
    int left;
};

/* From inside an answer the next request: what a pipelining client does. */
static void ask_next(struct asked *a)
{
    struct chain *c = a->user;
    expect_answer(a, ERR_OK);
    if (c->left-- > 0) {
        reply_clear(&a->reply);
        a->is_answered = false;
        ask(c->fixture, a,
            c->left % 2 == 0 ? request_of(REQUEST_HIBERNATE, "a") : put_request("a", "k", "again"));
    }
}

static void an_answer_may_bring_the_next_request(void **state)
{
    struct engine_fixture *f = *state;
    struct chain c = {.fixture = f, .left = 100};
    c.asked = (struct asked){.then = ask_next, .user = &c};
    ask(f, &c.asked, put_request("a", "k", "one"));
    engine_fixture_settle(f);
    assert_int_equal(c.left, -1);
    asked_done(&c.asked);
    expect_text(f, "a", "k", "again");
}

/* Deadlines */

static void pass(struct engine_fixture *f, uint64_t ms)
{
    f->mono_ms += ms;
    registry_tick(&f->registry, f->mono_ms);
}

static void a_turn_that_waits_for_rows_ends_at_its_deadline(void **state)
{
    struct engine_fixture *f = *state;
    struct asked late = {0};
    struct asked next = {0};
    put_text(f, "a", "k", "one");
    for (int i = 0; i < 100; i++) { /* more than is read ahead */
        char key[32];
        (void)snprintf(key, sizeof key, "key %d", i);
        put_text(f, "a", key, "x");
    }
    make_cold(f);
    expect_text(f, "a", "k", "one");
    ask_within(
        f, &late,
        json_request(REQUEST_TXN, "a", "{\"do\":[{\"list\":{}},{\"put\":\"k\",\"value\":2}]}"),
        100);
    ask(f, &next, get_request("a", "k"));
    pass(f, 99);
    assert_false(late.is_answered);
    pass(f, 1);
    expect_answer(&late, ERR_TIMEOUT);
    expect_answer(&next, ERR_OK);
    engine_fixture_settle(f);
    expect_text(f, "a", "k", "one");
    asked_done(&late);
    asked_done(&next);
}

static void a_load_that_takes_too_long_times_out(void **state)
{
    struct engine_fixture *f = *state;
    struct asked a = {0};
    put_text(f, "a", "k", "one");
    make_cold(f);
    ask_within(f, &a, get_request("a", "k"), 100);
    pass(f, 100);
    expect_answer(&a, ERR_TIMEOUT);
    asked_done(&a);
    expect_text(f, "a", "k", "one");
}

static void a_write_past_its_deadline_is_in_doubt_and_what_only_read_is_not(void **state)
{
    struct engine_fixture *f = *state;
    struct asked put = {0};
    struct asked get = {0};
    struct asked txn = {0};
    put_text(f, "a", "k", "one");
    ask_within(f, &put, put_request("a", "k", "two"), 100);
    ask_within(f, &get, get_request("a", "k"), 100);
    ask_within(f, &txn, json_request(REQUEST_TXN, "a", "{\"do\":[{\"get\":\"k\"}]}"), 100);
    pass(f, 100);
    expect_answer(&put, ERR_TIMEOUT_IN_DOUBT);
    expect_answer(&get, ERR_TIMEOUT);
    expect_answer(&txn, ERR_TIMEOUT);
    asked_done(&put);
    asked_done(&get);
    asked_done(&txn);
    expect_text(f, "a", "k", "two");
}

static void a_request_whose_client_went_away_is_not_begun(void **state)
{
    struct engine_fixture *f = *state;
    struct asked first = {0};
    struct asked second = {0};
    ask(f, &first, put_request("a", "k", "one")); /* loads */
    ask(f, &second, put_request("a", "k", "two"));
    registry_cancel(&f->registry, second.request);
    expect_answer(&second, ERR_CLOSED);
    registry_cancel(&f->registry, first.request);
    expect_answer(&first, ERR_CLOSED);
    engine_fixture_settle(f);
    asked_done(&first);
    asked_done(&second);
    expect_no_key(f, "a", "k");
}

static void a_write_whose_client_went_away_is_written_once_it_has_begun(void **state)
{
    struct engine_fixture *f = *state;
    struct asked a = {0};
    expect_no_key(f, "a", "k");
    ask(f, &a, put_request("a", "k", "one"));
    registry_cancel(&f->registry, a.request);
    assert_false(a.is_answered);
    engine_fixture_settle(f);
    expect_answer(&a, ERR_OK);
    asked_done(&a);
}

/* Hibernation */

static void on_news(struct watcher *w)
{
    (void)w;
}

static void watched_actors_keep_no_others_awake(void **state)
{
    struct engine_fixture *f = *state;
    enum { WATCHED = 2 * REGISTRY_SLICE };
    struct watcher *watchers = mem_zalloc(WATCHED * sizeof *watchers);
    for (int i = 0; i < WATCHED + 1; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "actor %d", i);
        put_text(f, id, "k", "x");
        struct request *r = get_request(id, "k");
        struct actor *a = registry_find(&f->registry, &r->identity);
        request_free(r);
        if (i < WATCHED) {
            watchers[i] = (struct watcher){.on_news = on_news, .on_end = on_news};
            list_init(&watchers[i].link);
            assert_true(watch_add(&a->watch, &watchers[i]));
        }
    }
    engine_fixture_wait(f, ACTOR_IDLE_MS + 1000);
    assert_int_equal(f->registry.actors.count, WATCHED);
    engine_fixture_stop(f);
    mem_free(watchers);
    engine_fixture_start(f);
}

/* A thousand events each: to free all of them at once would keep others waiting. */
static void actors_with_many_events_go_to_sleep_a_few_at_a_time(void **state)
{
    struct engine_fixture *f = *state;
    enum { ACTORS = 2 * REGISTRY_SLICE_PARTS / WATCH_EVENTS_MAX };
    for (int i = 0; i < ACTORS; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "actor %d", i);
        put_text(f, id, "k", "x");
        struct request *r = get_request(id, "k");
        struct actor *a = registry_find(&f->registry, &r->identity);
        request_free(r);
        for (uint64_t n = 0; n < WATCH_EVENTS_MAX; n++) {
            watch_append(&a->watch, &(struct watch_event){.version = a->last_version + n});
        }
    }
    uint64_t now_ms = f->registry.now_ms + ACTOR_IDLE_MS + 1;
    registry_tick(&f->registry, now_ms);
    assert_in_range(f->registry.actors.count, 1, ACTORS - 1);
    assert_int_equal(registry_next_ms(&f->registry), now_ms + REGISTRY_PAUSE_MS);
    engine_fixture_wait(f, ACTOR_IDLE_MS + 1000);
    assert_int_equal(f->registry.actors.count, 0);
}

static void an_actor_that_was_told_to_sleep_does_once_its_writes_are_durable(void **state)
{
    struct engine_fixture *f = *state;
    struct asked put = {0};
    struct asked sleep = {0};
    put_text(f, "a", "k", "one");
    ask(f, &put, put_request("a", "k", "two"));
    ask(f, &sleep, request_of(REQUEST_HIBERNATE, "a"));
    assert_int_equal(f->registry.actors.count, 1);
    engine_fixture_settle(f);
    expect_answer(&put, ERR_OK);
    expect_answer(&sleep, ERR_OK);
    assert_int_equal(f->registry.actors.count, 0);
    asked_done(&put);
    asked_done(&sleep);
    expect_text(f, "a", "k", "two");
}

static void a_busy_actor_forgets_what_storage_has_when_memory_is_short(void **state)
{
    struct engine_fixture *f = *state;
    enum { KEYS = 100, VALUE_BYTES = 32 * 1024, MEMORY = 1 << 20 };
    struct asked puts[KEYS] = {0};
    struct asked list = {0};
    f->registry.memory_max = MEMORY;
    put_text(f, "a", "k", "one");
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key %03d", i);
        ask(f, &puts[i], bytes_request("a", key, VALUE_BYTES));
        if (i % 3 == 0) { /* some are always on their way */
            (void)engine_fixture_turn(f, ENGINE_ALL);
        }
        assert_true(f->registry.memory_bytes < 2 * MEMORY);
    }
    expect_text(f, "a", "k", "one");
    ask(f, &list,
        json_request(REQUEST_TXN, "a", "{\"do\":[{\"list\":{\"values\":false,\"limit\":1000}}]}"));
    engine_fixture_settle(f);
    expect_answer(&list, ERR_OK);
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key %03d", i);
        struct slice body = bytes_slice(list.reply.body);
        assert_non_null(memmem(body.data, body.len, key, strlen(key)));
        expect_answer(&puts[i], ERR_OK);
        asked_done(&puts[i]);
    }
    asked_done(&list);
}

static void rows_on_their_way_are_not_forgotten(void **state)
{
    struct engine_fixture *f = *state;
    struct asked put = {0};
    struct asked get = {0};
    put_text(f, "a", "k", "one");
    f->registry.memory_max = 0;
    ask(f, &put, bytes_request("a", "k", 2 * ACTOR_TRIM_BYTES));
    ask(f, &get, get_request("a", "k"));
    engine_fixture_settle(f);
    expect_answer(&get, ERR_OK);
    assert_true(get.reply.body->len > ACTOR_TRIM_BYTES);
    asked_done(&put);
    asked_done(&get);
}

static void an_actor_sleeps_after_10_s_without_use(void **state)
{
    struct engine_fixture *f = *state;
    put_text(f, "a", "k", "one");
    engine_fixture_wait(f, 9950);
    assert_int_equal(f->registry.actors.count, 1);
    expect_text(f, "a", "k", "one"); /* a use */
    engine_fixture_wait(f, 9950);
    assert_int_equal(f->registry.actors.count, 1);
    expect_err(answer_of(f, request_of(REQUEST_ACTOR_INFO, "a")), ERR_OK); /* none */
    engine_fixture_wait(f, 100);
    assert_int_equal(f->registry.actors.count, 0);
    expect_text(f, "a", "k", "one");
}

/* Leadership */

static void where_nobody_leads_nothing_is_done(void **state)
{
    struct engine_fixture *f = *state;
    struct asked put = {0};
    struct asked get = {0};
    engine_fixture_stop(f);
    expect_err(engine_fixture_try_start(f), ERR_OK); /* and no election has come to its end */
    ask(f, &put, put_request("a", "k", "one"));
    ask(f, &get, get_request("a", "k"));
    expect_answer(&put, ERR_UNAVAILABLE);
    expect_answer(&get, ERR_UNAVAILABLE);
    asked_done(&put);
    asked_done(&get);
    engine_fixture_settle(f);
    expect_no_key(f, "a", "k");
}

static void a_shard_that_is_lost_leaves_its_writes_in_doubt_and_nothing_else(void **state)
{
    struct engine_fixture *f = *state;
    struct asked put = {0};
    struct asked queued = {0};
    struct asked get = {0};
    struct asked waiting = {0};
    put_text(f, "a", "k", "one");
    ask(f, &put, put_request("a", "k", "two"));
    engine_flush(f->engine);
    ask(f, &queued, put_request("a", "k", "four")); /* it is in no entry */
    ask(f, &get, get_request("a", "k"));
    ask(f, &waiting, put_request("b", "k", "three")); /* b is still being loaded */
    registry_depose(&f->registry, NULL);
    expect_answer(&put, ERR_OUTCOME_UNKNOWN);
    expect_answer(&queued, ERR_UNAVAILABLE);
    expect_answer(&get, ERR_UNAVAILABLE);
    expect_answer(&waiting, ERR_UNAVAILABLE);
    asked_done(&put);
    asked_done(&queued);
    asked_done(&get);
    asked_done(&waiting);
    engine_fixture_settle(f);
    expect_no_key(f, "b", "k");
}

/* Sizes */

/* As if all its other keys had so many bytes. */
static void set_bytes(struct engine_fixture *f, const char *id, uint64_t bytes)
{
    struct request *r = get_request(id, "k");
    struct shard *s = engine_fixture_shard_of(f, r);
    struct actor *a = registry_find(&f->registry, &r->identity);
    struct meta meta = a->meta;
    struct row_key key;
    uint8_t payload[META_BYTES];
    struct batch_builder builder;
    static struct proposal proposal;
    meta.bytes = bytes;
    meta_encode(&meta, payload);
    row_key_meta(&key, a->number);
    proposal = (struct proposal){.done = on_proposed};
    batch_begin(&builder, &proposal.batch);
    batch_put(&builder, row_key_slice(&key), BATCH_OWN_VERSION, slice_of(payload, sizeof payload));
    const struct batch_header header = {.version = shard_take_version(s),
                                        .log_time_ms = shard_log_time_ms(s)};
    expect_err(batch_end(&builder, &header), ERR_OK);
    shard_propose(s, &proposal);
    engine_fixture_settle(f);
    request_free(r);
    make_cold(f);
}

static void an_actor_holds_at_most_10_gib(void **state)
{
    struct engine_fixture *f = *state;
    struct asked a = {0};
    put_text(f, "a", "k", "1234");
    set_bytes(f, "a", ACTOR_BYTES_MAX - 10);
    ask(f, &a, put_request("a", "l", "123456789")); /* a key of 1 and a value of 10 bytes */
    engine_fixture_settle(f);
    expect_limited(&a, ERR_STORAGE_FULL, "actor_bytes", UINT64_C(10737418240));
    asked_done(&a);
    expect_no_key(f, "a", "l");
    put_text(f, "a", "l", "12345678"); /* it fits to the byte */
    expect_err(answer_of(f, put_request("a", "k", "12345")), ERR_STORAGE_FULL);
    expect_text(f, "a", "k", "1234");
    put_text(f, "a", "k", "12");
    put_text(f, "a", "m", ""); /* two bytes, which are free again */
}

static int setup_large(void **state)
{
    struct engine_fixture *f = mem_alloc(sizeof *f);
    engine_fixture_init(f);
    f->options.wal_segment_bytes = 64 << 20;
    f->options.wal_budget_bytes = 256 << 20;
    f->options.memory_bytes = 256 << 20;
    engine_fixture_start(f);
    *state = f;
    return 0;
}

static void a_turn_that_writes_too_much_is_too_large(void **state)
{
    struct engine_fixture *f = *state;
    enum { KEYS = 10 };
    char *text = mem_zalloc(2000 * 1000);
    memset(text, 'x', 1900 * 1000);
    struct buf put = {0};
    struct buf append = {0};
    buf_append_str(&append, "{\"do\":[");
    for (int i = 0; i < KEYS; i++) {
        buf_clear(&put);
        buf_printf(&put, "{\"do\":[{\"put\":\"%d\",\"value\":[\"%s\"]}]}%c", i, text, 0);
        expect_err(answer_of(f, json_request(REQUEST_TXN, "a", (char *)put.data)), ERR_OK);
        buf_printf(&append, "%s{\"append\":\"%d\",\"items\":[1]}", i > 0 ? "," : "", i);
    }
    buf_append(&append, "]}", 3);
    struct asked a = {0};
    ask(f, &a, json_request(REQUEST_TXN, "a", (char *)append.data));
    engine_fixture_settle(f);
    expect_answer(&a, ERR_TOO_LARGE);
    assert_string_equal(a.reply.limit_name, "turn_bytes");
    asked_done(&a);
    buf_done(&put);
    buf_done(&append);
    mem_free(text);
}

static void a_malformed_transaction_is_refused_before_its_checks(void **state)
{
    struct engine_fixture *f = *state;
    static const char *const malformed[] = {
        "{\"put\":\"k\"}",
        "{\"append\":\"k\"}",
        "{\"append\":\"k\",\"items\":1}",
        "{\"list\":{\"limit\":0}}",
        "{\"list\":{\"prefix\":1}}",
        "{\"list\":1}",
        "{\"get\":\"\"}",
        "{\"get\":\"k\",\"delete\":\"k\"}",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        char json[256];
        (void)snprintf(json, sizeof json, "{\"if\":[{\"key\":\"k\",\"exists\":true}],\"do\":[%s]}",
                       malformed[i]);
        expect_err(answer_of(f, json_request(REQUEST_TXN, "a", json)), ERR_BAD_REQUEST);
    }
}

/* Listings */

static void put_large_values(struct engine_fixture *f, int count)
{
    for (int i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key %d", i);
        expect_err(answer_of(f, bytes_request("a", key, 2000 * 1000)), ERR_OK);
    }
    make_cold(f);
}

static void a_transaction_lists_what_lies_behind_all_that_it_deleted(void **state)
{
    struct engine_fixture *f = *state;
    struct asked a = {0};
    put_large_values(f, 7);
    put_text(f, "a", "last", "x");
    make_cold(f);
    ask(f, &a,
        json_request(REQUEST_TXN, "a",
                     "{\"do\":[{\"delete\":\"key 0\"},{\"delete\":\"key 1\"},"
                     "{\"delete\":\"key 2\"},{\"delete\":\"key 3\"},{\"delete\":\"key 4\"},"
                     "{\"delete\":\"key 5\"},{\"delete\":\"key 6\"},"
                     "{\"list\":{\"values\":false}}]}"));
    engine_fixture_settle(f);
    expect_answer(&a, ERR_OK);
    struct slice body = bytes_slice(a.reply.body);
    assert_non_null(memmem(body.data, body.len, "last", 4));
    asked_done(&a);
}

static void a_listing_in_a_transaction_is_never_a_part(void **state)
{
    struct engine_fixture *f = *state;
    put_large_values(f, 5);
    struct request *all = json_request(REQUEST_TXN, "a", "{\"do\":[{\"list\":{}}]}");
    expect_err(answer_of(f, all), ERR_TOO_LARGE);
    struct request *two = json_request(REQUEST_TXN, "a", "{\"do\":[{\"list\":{\"limit\":2}}]}");
    expect_err(answer_of(f, two), ERR_OK);
    struct asked keys = {0};
    ask(f, &keys, json_request(REQUEST_TXN, "a", "{\"do\":[{\"list\":{\"values\":false}}]}"));
    engine_fixture_settle(f);
    expect_answer(&keys, ERR_OK);
    struct slice body = bytes_slice(keys.reply.body);
    assert_non_null(memmem(body.data, body.len, "key 4", 5));
    asked_done(&keys);
}

#define LARGE(name) cmocka_unit_test_setup_teardown(name, setup_large, teardown)
#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(an_actor_that_cannot_be_loaded_now_is_not_taken_for_empty),
          TEST(a_turn_that_cannot_read_its_rows_now_is_overloaded),
          TEST(a_damaged_row_is_an_error_however_often_one_asks),
          TEST(a_full_mailbox_is_overloaded_and_those_in_it_get_their_turn),
          TEST(more_requests_than_a_worker_takes_are_overloaded),
          TEST(requests_beyond_what_may_be_gated_get_their_turn_when_there_is_room),
          TEST(requests_that_waited_for_the_same_rows_run_a_slice_at_a_time),
          TEST(replies_that_waited_for_the_same_batch_leave_a_slice_at_a_time),
          TEST(replies_that_wait_are_bounded_in_bytes), TEST(an_answer_may_bring_the_next_request),
          TEST(a_busy_actor_forgets_what_storage_has_when_memory_is_short),
          TEST(rows_on_their_way_are_not_forgotten), TEST(watched_actors_keep_no_others_awake),
          TEST(actors_with_many_events_go_to_sleep_a_few_at_a_time),
          TEST(an_actor_that_was_told_to_sleep_does_once_its_writes_are_durable),

          TEST(an_actor_sleeps_after_10_s_without_use),

          TEST(where_nobody_leads_nothing_is_done),
          TEST(a_shard_that_is_lost_leaves_its_writes_in_doubt_and_nothing_else),
          TEST(a_turn_that_waits_for_rows_ends_at_its_deadline),
          TEST(a_load_that_takes_too_long_times_out),
          TEST(a_write_past_its_deadline_is_in_doubt_and_what_only_read_is_not),
          TEST(a_request_whose_client_went_away_is_not_begun),
          TEST(a_write_whose_client_went_away_is_written_once_it_has_begun),

          TEST(a_malformed_transaction_is_refused_before_its_checks),
          TEST(an_actor_holds_at_most_10_gib), LARGE(a_turn_that_writes_too_much_is_too_large),
          LARGE(a_transaction_lists_what_lies_behind_all_that_it_deleted),
          LARGE(a_listing_in_a_transaction_is_never_a_part))
