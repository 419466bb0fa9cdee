/* Tasks between two threads. To be run under a thread sanitizer too. */
#include "node/mailring.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/test.h"

enum { LETTERS = 200 * 1000, WINDOW = 5000 /* more than a ring holds */, PATIENCE_SECONDS = 60 };

static struct task tasks[MAILRING_TASKS_MAX + 4];

static void fill(struct mailring *r)
{
    for (int i = 0; i < MAILRING_TASKS_MAX; i++) {
        bool wake;
        expect_err(mailring_try_post(r, &tasks[i], &wake), ERR_OK);
        assert_int_equal(wake, i == 0);
    }
}

static void take_all(struct mailring *r, int from, int to)
{
    for (int i = from; i < to; i++) {
        assert_ptr_equal(mailring_take(r), &tasks[i]);
    }
    assert_null(mailring_take(r));
}

static void tasks_come_in_the_order_of_their_posts(void **state)
{
    (void)state;
    struct mailring *r = mailring_new();
    fill(r);
    take_all(r, 0, MAILRING_TASKS_MAX);
    mailring_free(r);
}

static void only_a_post_into_an_empty_ring_wakes(void **state)
{
    (void)state;
    struct mailring *r = mailring_new();
    assert_true(mailring_post(r, &tasks[0]));
    assert_false(mailring_post(r, &tasks[1]));
    assert_ptr_equal(mailring_take(r), &tasks[0]);
    assert_false(mailring_post(r, &tasks[2]));
    take_all(r, 1, 3);
    assert_true(mailring_post(r, &tasks[3]));
    take_all(r, 3, 4);
    mailring_free(r);
}

static void a_full_ring_refuses_what_is_new(void **state)
{
    (void)state;
    struct mailring *r = mailring_new();
    bool wake;
    fill(r);
    expect_err(mailring_try_post(r, &tasks[MAILRING_TASKS_MAX], &wake), ERR_OVERLOADED);
    take_all(r, 0, MAILRING_TASKS_MAX);
    mailring_free(r);
}

static void what_must_arrive_waits_for_room_and_keeps_its_place(void **state)
{
    (void)state;
    struct mailring *r = mailring_new();
    bool wake;
    fill(r);
    assert_false(mailring_post(r, &tasks[MAILRING_TASKS_MAX]));
    assert_false(mailring_post(r, &tasks[MAILRING_TASKS_MAX + 1]));
    assert_true(mailring_has_overflow(r));
    assert_false(mailring_retry(r)); /* there is no room yet */
    assert_ptr_equal(mailring_take(r), &tasks[0]);
    expect_err(mailring_try_post(r, &tasks[0], &wake), ERR_OVERLOADED); /* it would overtake */
    assert_false(mailring_retry(r));
    assert_true(mailring_has_overflow(r));
    take_all(r, 1, MAILRING_TASKS_MAX + 1);
    assert_true(mailring_retry(r)); /* it was empty: the destination may rest */
    assert_false(mailring_has_overflow(r));
    take_all(r, MAILRING_TASKS_MAX + 1, MAILRING_TASKS_MAX + 2);
    mailring_free(r);
}

/* Two threads: letters go to an echo and come back, in order, each answered. */
struct letter {
    struct task task;
    int question;
    int answer;
};

struct side {
    struct mailring *in;
    struct mailring *out;
    sem_t wake;
    sem_t *wake_other;
    int taken;
};

static void post(struct side *s, struct letter *l)
{
    if (mailring_post(s->out, &l->task)) {
        (void)sem_post(s->wake_other);
    }
}

/* Rests only where nothing is left to take, as a loop does. */
static struct letter *await(struct side *s)
{
    struct task *t;
    while ((t = mailring_take(s->in)) == NULL) {
        if (mailring_retry(s->out)) {
            (void)sem_post(s->wake_other);
        }
        if (mailring_has_overflow(s->out)) {
            continue; /* as a loop that comes again soon */
        }
        const struct timespec until = {.tv_sec = clock_wall_ms() / 1000 + PATIENCE_SECONDS};
        int rc = sem_timedwait(&s->wake, &until);
        assert_true(rc == 0 || errno == EINTR); /* else a wake was lost */
    }
    return CONTAINER_OF(t, struct letter, task);
}

static void *echo(void *arg)
{
    struct side *s = arg;
    for (int i = 0; i < LETTERS; i++) {
        struct letter *l = await(s);
        l->answer = l->question + 1;
        post(s, l);
    }
    while (mailring_has_overflow(s->out)) {
        if (mailring_retry(s->out)) {
            (void)sem_post(s->wake_other);
        }
    }
    return NULL;
}

static void letters_between_threads_all_come_back_in_order(void **state)
{
    (void)state;
    struct mailring *there = mailring_new();
    struct mailring *back = mailring_new();
    struct side here = {.in = back, .out = there};
    struct side other = {.in = there, .out = back, .wake_other = &here.wake};
    struct letter *letters = mem_zalloc(LETTERS * sizeof *letters);
    pthread_t thread;
    here.wake_other = &other.wake;
    (void)sem_init(&here.wake, 0, 0);
    (void)sem_init(&other.wake, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, echo, &other), 0);
    int sent = 0;
    for (int received = 0; received < LETTERS; received++) {
        /* now and then in bursts, so that both rings run full and empty */
        int until = received % (2 * WINDOW) == 0 ? received + WINDOW : received + 1;
        for (; sent < until && sent < LETTERS; sent++) {
            letters[sent].question = sent;
            post(&here, &letters[sent]);
        }
        struct letter *l = await(&here);
        assert_ptr_equal(l, &letters[received]);
        assert_int_equal(l->answer, received + 1);
    }
    (void)pthread_join(thread, NULL);
    (void)sem_destroy(&here.wake);
    (void)sem_destroy(&other.wake);
    mem_free(letters);
    mailring_free(there);
    mailring_free(back);
}

TEST_MAIN(cmocka_unit_test(tasks_come_in_the_order_of_their_posts),
          cmocka_unit_test(only_a_post_into_an_empty_ring_wakes),
          cmocka_unit_test(a_full_ring_refuses_what_is_new),
          cmocka_unit_test(what_must_arrive_waits_for_room_and_keeps_its_place),
          cmocka_unit_test(letters_between_threads_all_come_back_in_order))
