#include "actor/idempotency.h"

#include "base/mem.h"
#include "tests/lib/engine_fixture.h"

#define HOUR_MS UINT64_C(3600000)

enum { RECORDS = 3 }; /* of an actor, in these tests */

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

static struct request *keyed(struct request *r, const char *key)
{
    r->idempotency_key = bytes_new(slice_of_str(key));
    return r;
}

static struct request *add_request(const char *id, const char *key)
{
    return keyed(json_request(REQUEST_TXN, id, "{\"do\":[{\"add\":\"n\"}]}"), key);
}

static void expect_added(struct engine_fixture *f, const char *id, const char *key, bool replayed)
{
    struct asked a = {0};
    ask(f, &a, add_request(id, key));
    engine_fixture_settle(f);
    expect_answer(&a, ERR_OK);
    assert_int_equal(a.reply.replayed, replayed);
    asked_done(&a);
}

static void expect_full(struct engine_fixture *f, const char *id, const char *key)
{
    struct asked a = {0};
    ask(f, &a, add_request(id, key));
    engine_fixture_settle(f);
    expect_limited(&a, ERR_RATE_LIMITED, "idempotency_records", f->registry.idempotency_max);
    asked_done(&a);
}

static void expect_sum(struct engine_fixture *f, const char *id, const char *json)
{
    struct asked a = {0};
    ask(f, &a, get_request(id, "n"));
    engine_fixture_settle(f);
    expect_json(&a, json);
    asked_done(&a);
}

/* Both clocks, in one go; only writes move the log on disk. */
static void pass(struct engine_fixture *f, uint64_t ms)
{
    f->mono_ms += ms;
    f->wall_ms += ms;
    engine_set_time(f->engine, f->mono_ms, f->wall_ms);
    registry_tick(&f->registry, f->mono_ms);
    engine_tick(f->engine);
    engine_fixture_settle(f);
}

static void restart(struct engine_fixture *f, bool kill)
{
    if (kill) {
        engine_fixture_kill(f);
    } else {
        engine_fixture_stop(f);
    }
    engine_fixture_start(f);
    f->registry.idempotency_max = RECORDS;
}

/* Expiry */

static void a_record_is_kept_for_24_hours_and_no_longer(void **state)
{
    struct engine_fixture *f = *state;
    expect_added(f, "a", "key", false);
    pass(f, 24 * HOUR_MS - 1000);
    expect_added(f, "a", "key", true);
    pass(f, 1000);
    expect_added(f, "a", "key", false); /* whatever rows are still there */
    expect_added(f, "a", "key", true);
    expect_sum(f, "a", "2");
}

static void a_record_of_a_sleeping_actor_is_kept_as_long(void **state)
{
    struct engine_fixture *f = *state;
    expect_added(f, "a", "key", false);
    make_cold(f);
    pass(f, 23 * HOUR_MS);
    expect_added(f, "a", "key", true);
    make_cold(f);
    pass(f, HOUR_MS);
    expect_added(f, "a", "key", false);
    expect_sum(f, "a", "2");
}

/* The limit */

static void an_actor_has_a_limited_number_of_records(void **state)
{
    struct engine_fixture *f = *state;
    assert_int_equal(f->registry.idempotency_max, 1000 * 1000);
    f->registry.idempotency_max = RECORDS;
    expect_added(f, "a", "one", false);
    expect_added(f, "a", "two", false);
    expect_added(f, "a", "three", false);
    expect_full(f, "a", "four");
    expect_full(f, "a", "four"); /* no other error is kept */
    expect_sum(f, "a", "3");
}

static void what_needs_no_record_goes_on_beyond_the_limit(void **state)
{
    struct engine_fixture *f = *state;
    f->registry.idempotency_max = 1;
    expect_added(f, "a", "one", false);
    expect_added(f, "a", "one", true);
    struct request *other = add_request("a", "one");
    other->hash[0]++;
    expect_err(answer_of(f, other), ERR_IDEMPOTENCY_MISMATCH);
    put_text(f, "a", "k", "without a key");
    expect_text(f, "a", "k", "without a key");
    expect_added(f, "b", "two", false); /* another actor has its own */
    expect_full(f, "a", "two");
}

static void only_what_is_kept_counts(void **state)
{
    struct engine_fixture *f = *state;
    f->registry.idempotency_max = RECORDS;
    for (int i = 0; i < 2 * RECORDS; i++) {
        expect_err(answer_of(f, keyed(json_request(REQUEST_TXN, "a", "{\"do\":1}"), "bad")),
                   ERR_BAD_REQUEST);
    }
    expect_err(answer_of(f, keyed(json_request(REQUEST_TXN, "a",
                                               "{\"if\":[{\"key\":\"k\",\"exists\":true}]}"),
                                  "conflict")),
               ERR_CONFLICT);
    expect_err(answer_of(f, keyed(request_of(REQUEST_HIBERNATE, "a"), "hibernate")), ERR_OK);
    expect_added(f, "a", "one", false);
    expect_full(f, "a", "two");
}

static void the_count_outlasts_sleep_kills_and_the_actor_itself(void **state)
{
    struct engine_fixture *f = *state;
    f->registry.idempotency_max = RECORDS;
    expect_added(f, "a", "one", false);
    make_cold(f);
    expect_added(f, "a", "two", false);
    restart(f, true);
    expect_err(answer_of(f, keyed(request_of(REQUEST_ACTOR_DELETE, "a"), "three")), ERR_OK);
    expect_full(f, "a", "four");
    make_cold(f);
    expect_full(f, "a", "four");
    restart(f, false);
    expect_full(f, "a", "four");
    expect_added(f, "a", "one", true);
    expect_err(answer_of(f, get_request("a", "n")), ERR_NO_SUCH_KEY);
}

static void turns_that_run_ahead_of_the_disk_are_counted(void **state)
{
    struct engine_fixture *f = *state;
    struct asked all[RECORDS + 2] = {{0}};
    f->registry.idempotency_max = RECORDS;
    for (int i = 0; i < RECORDS + 2; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key %d", i);
        ask(f, &all[i], add_request("a", key));
    }
    engine_fixture_settle(f);
    for (int i = 0; i < RECORDS + 2; i++) {
        expect_answer(&all[i], i < RECORDS ? ERR_OK : ERR_RATE_LIMITED);
        asked_done(&all[i]);
    }
    expect_sum(f, "a", "3");
}

static void there_is_room_again_when_the_hour_of_a_record_has_expired(void **state)
{
    struct engine_fixture *f = *state;
    f->wall_ms += HOUR_MS - f->wall_ms % HOUR_MS; /* an hour begins */
    f->registry.idempotency_max = RECORDS;
    expect_added(f, "a", "one", false);
    pass(f, HOUR_MS);
    expect_added(f, "a", "two", false);
    expect_added(f, "a", "three", false);
    pass(f, 24 * HOUR_MS - 60 * 1000);
    expect_full(f, "a", "four"); /* the first has expired, its hour has not */
    make_cold(f);
    pass(f, 60 * 1000);
    expect_added(f, "a", "four", false);
    expect_full(f, "a", "five");
    pass(f, 2 * HOUR_MS);
    make_cold(f);
    expect_added(f, "a", "five", false);
    expect_added(f, "a", "six", false);
    expect_full(f, "a", "seven");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(a_record_is_kept_for_24_hours_and_no_longer),
          TEST(a_record_of_a_sleeping_actor_is_kept_as_long),
          TEST(an_actor_has_a_limited_number_of_records),
          TEST(what_needs_no_record_goes_on_beyond_the_limit), TEST(only_what_is_kept_counts),
          TEST(the_count_outlasts_sleep_kills_and_the_actor_itself),
          TEST(turns_that_run_ahead_of_the_disk_are_counted),
          TEST(there_is_room_again_when_the_hour_of_a_record_has_expired))
