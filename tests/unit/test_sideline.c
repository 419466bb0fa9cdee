/* Work beside the loop: one piece at a time, addresses in turn, and what becomes of work that nobody
 * wants any more. */
#include "node/sideline.h"

#include "tests/lib/test.h"

enum { WORKS = 4 };

struct piece {
    struct sidework work;
    char name;
    bool is_done;
};

static struct sideline sideline;
static struct rota_party here;
static struct rota_party there;
static struct piece pieces[WORKS];
static char ran[WORKS + 1]; /* names, in the order in which they ran */
static size_t ran_count;
static int wakes;

static void on_wake(void *ctx)
{
    (void)ctx;
    wakes++;
}

static void run_piece(struct sidework *w)
{
    ran[ran_count++] = CONTAINER_OF(w, struct piece, work)->name;
}

static void piece_done(struct sidework *w)
{
    struct piece *p = CONTAINER_OF(w, struct piece, work);
    assert_false(p->is_done);
    p->is_done = true;
}

static int open_sideline(void **state)
{
    (void)state;
    expect_err(sideline_open(&sideline, NULL, on_wake, NULL), ERR_OK); /* we are the thread */
    rota_party_init(&here);
    rota_party_init(&there);
    memset(ran, 0, sizeof ran);
    ran_count = 0;
    wakes = 0;
    for (int i = 0; i < WORKS; i++) {
        pieces[i] = (struct piece){.work = {.run_on_thread = run_piece, .done = piece_done},
                                   .name = (char)('a' + i)};
    }
    return 0;
}

static int close_sideline(void **state)
{
    (void)state;
    sideline_close(&sideline);
    return 0;
}

static void run_all(void)
{
    while (job_thread_work(sideline.thread)) {
        sideline_poll(&sideline);
    }
}

static void addresses_take_turns_one_piece_at_a_time(void **state)
{
    (void)state;
    sideline_submit(&sideline, &pieces[0].work, &here);
    sideline_submit(&sideline, &pieces[1].work, &here);
    sideline_submit(&sideline, &pieces[2].work, &here);
    sideline_submit(&sideline, &pieces[3].work, &there);
    assert_true(job_thread_work(sideline.thread));
    assert_false(job_thread_work(sideline.thread)); /* the next one waits for the worker's word */
    assert_int_equal(wakes, 1);
    sideline_poll(&sideline);
    assert_true(pieces[0].is_done);
    run_all();
    assert_string_equal(ran, "abdc");
    for (int i = 0; i < WORKS; i++) {
        assert_true(pieces[i].is_done);
    }
}

static void what_waits_can_be_taken_back_and_never_runs(void **state)
{
    (void)state;
    sideline_submit(&sideline, &pieces[0].work, &here);
    sideline_submit(&sideline, &pieces[1].work, &here);
    sideline_submit(&sideline, &pieces[2].work, &there);
    assert_true(sideline_withdraw(&pieces[1].work));
    assert_true(list_is_empty(&here.members));
    run_all();
    assert_string_equal(ran, "ac");
    assert_false(pieces[1].is_done);
}

static void what_has_begun_cannot_be_taken_back_and_tells_its_end(void **state)
{
    (void)state;
    sideline_submit(&sideline, &pieces[0].work, &here);
    assert_false(sideline_withdraw(&pieces[0].work));
    run_all();
    assert_string_equal(ran, "a");
    assert_true(pieces[0].is_done);
}

static void closing_ends_what_has_begun(void **state)
{
    (void)state;
    sideline_submit(&sideline, &pieces[0].work, &here);
    sideline_close(&sideline);
    assert_true(pieces[0].is_done);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_sideline, close_sideline)

TEST_MAIN(T(addresses_take_turns_one_piece_at_a_time),
          T(what_waits_can_be_taken_back_and_never_runs),
          T(what_has_begun_cannot_be_taken_back_and_tells_its_end), T(closing_ends_what_has_begun))
