/* The job of steps_worker.py in C: drafted, approved, sent, each once, whoever dies meanwhile.
 *
 *     cc examples/steps_worker.c -ldormouse -o steps_worker        (needs the library's header: sdk-c/dormouse.h)
 *     ./steps_worker [URL of the node] [id of the job] [ms until it reminds]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

#include "sdk-c/dormouse.h"

enum { LEASE_MS = 30000 };

struct job {
    struct dormouse *node;
    struct dormouse_actor actor;
    char by[128]; /* who approved it */
};

static void check(enum dormouse_code code, const struct dormouse_error *error)
{
    if (code != DORMOUSE_OK) {
        (void)fprintf(stderr, "%s: %s\n", error->code, error->detail);
        exit(1);
    }
}

static void pause_ms(int64_t ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)thrd_sleep(&t, NULL);
}

/* The step's output, whoever has run it: the caller's. */
static char *step(struct job *j, const char *name, char *(*work)(struct job *j, const char *arg),
                  const char *arg)
{
    struct dormouse_error error;
    for (;;) {
        struct dormouse_step told;
        check(dormouse_step_begin(j->node, &j->actor, name, LEASE_MS, NULL, NULL, &told, &error),
              &error);
        char *output = NULL;
        if (told.state == DORMOUSE_STEP_RUN) {
            output = work(j, arg);
            check(dormouse_step_finish(j->node, &j->actor, name, told.lease, output, NULL, &error),
                  &error);
        } else if (told.state == DORMOUSE_STEP_DONE) {
            output = strdup(told.result);
        } else if (told.state == DORMOUSE_STEP_FAILED) {
            (void)fprintf(stderr, "%s has failed: %s\n", name, told.result);
            exit(1);
        } else {
            pause_ms(told.retry_after_ms < 1000 ? told.retry_after_ms : 1000);
        }
        dormouse_step_done(&told);
        if (output != NULL) {
            return output;
        }
    }
}

static bool on_event(void *data, const struct dormouse_event *event)
{
    struct job *j = data;
    if (strcmp(event->type, "timer") == 0) {
        (void)puts("reminder");
        (void)fflush(stdout);
        return true;
    }
    if (strcmp(event->type, "put") != 0 || strcmp(event->key, "approval") != 0) {
        return true;
    }
    size_t bytes = 0;
    struct dormouse_node value = dormouse_node_member(event->data, "value");
    const char *by = dormouse_node_text(dormouse_node_member(value, "by"), &bytes);
    (void)snprintf(j->by, sizeof j->by, "%.*s", (int)bytes, by != NULL ? by : "");
    return false;
}

/* The timer fires once for all workers; one that begins anew sets it anew. */
static void await_approval(struct job *j, const char *remind_ms)
{
    struct dormouse_error error;
    const struct dormouse_watch watch = {.since = "0", .data = j};
    char timer[64];
    int bytes = snprintf(timer, sizeof timer, "{\"in\":%s}", remind_ms);
    check(dormouse_timer_put(j->node, &j->actor, "reminder", timer, (size_t)bytes, NULL, NULL,
                             &error),
          &error);
    check(dormouse_watch(j->node, &j->actor, &watch, on_event, NULL, &error), &error);
    check(dormouse_timer_delete(j->node, &j->actor, "reminder", NULL, &error), &error);
}

static char *draft(struct job *j, const char *arg)
{
    (void)j;
    (void)arg;
    return strdup("\"Dear reader\"");
}

static char *send_letter(struct job *j, const char *text)
{
    size_t bytes = strlen(text) + sizeof j->by + 32;
    char *sent = malloc(bytes);
    (void)snprintf(sent, bytes, "[%s,\"%s\"]", text, j->by);
    return sent;
}

int main(int argc, char **argv)
{
    const struct dormouse_options options = {.url = argc > 1 ? argv[1] : NULL};
    struct job j = {.actor = {"examples", "Store", argc > 2 ? argv[2] : "job-1"}};
    struct dormouse_error error;
    check(dormouse_new(&options, &j.node, &error), &error);
    char *text = step(&j, "draft", draft, NULL);
    await_approval(&j, argc > 3 ? argv[3] : "3600000");
    char *sent = step(&j, "send", send_letter, text);
    (void)printf("sent: %s\n", sent);
    free(text);
    free(sent);
    dormouse_free(j.node);
    return 0;
}
