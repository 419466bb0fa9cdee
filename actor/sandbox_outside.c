/* The way out of a sandbox: its listeners go to the broker, whose certificate authority it trusts before anything that
 * may leave runs in it.
 *
 * The authority's certificate is written inside by a shell, to a file of its own and onto the end of the system's
 * list, once for a disk. A sandbox that may ask nothing does not wait for it: it would only see more of a refusal. */
#include <unistd.h>

#include "actor/egress_rules.h"
#include "actor/sandbox_own.h"
#include "base/invariant.h"

enum { CA_WAIT_MS = 5000 /* of the first sandbox of a cluster, which has it made */ };

static const char script[] =
    "own=/etc/ssl/certs/dormouse-egress.pem; all=/etc/ssl/certs/ca-certificates.crt; pem=$(cat); "
    "[ \"$(cat $own 2>/dev/null)\" = \"$pem\" ] && exit 0; mkdir -p /etc/ssl/certs && "
    "printf '\\n%s\\n' \"$pem\" >>$all && printf '%s\\n' \"$pem\" >$own";

static const struct sandbox_outside *outside_of(const struct box *b)
{
    return b->host->outside;
}

static bool may_ask(const struct box *b)
{
    return b->spec.egress.len > 0 && egress_rules_allow(b->spec.egress).len > 0;
}

void outside_take(struct box *b, const int fds[4])
{
    PRE(b->outside == NULL);
    if (outside_of(b) != NULL) {
        b->outside =
            outside_of(b)->open(outside_of(b)->ctx, &b->address, b->name, b->spec.egress, fds);
        return;
    }
    for (int i = 0; i < 4; i++) {
        (void)close(fds[i]);
    }
}

void outside_close(struct box *b)
{
    if (b->outside != NULL) {
        outside_of(b)->close(b->outside);
        b->outside = NULL;
    }
    b->waits_for_ca = false;
}

static void go_on(struct box *b)
{
    b->waits_for_ca = false;
    if (b->state == BOX_STARTING) {
        box_is_ready(b);
    }
}

static void on_started(struct machine_spawn *s)
{
    (void)s;
}

static void on_output(struct machine_spawn *s, int stream, struct slice bytes)
{
    (void)s;
    (void)stream;
    (void)bytes;
}

/* Where it could not be written what is asked over TLS fails there, and says why. */
static void on_closed(struct machine_spawn *s, int error, bool of_folder)
{
    struct box *b = CONTAINER_OF(s, struct box, trust);
    (void)error;
    (void)of_folder;
    b->is_trusting = false;
    go_on(b);
}

static bool begin_trust(struct box *b, struct slice pem)
{
    const struct slice cmd[] = {SLICE("/bin/sh"), SLICE("-c"), slice_of_str(script)};
    struct process_texts texts;
    b->trust =
        (struct machine_spawn){.started = on_started, .output = on_output, .closed = on_closed};
    if (process_texts_make(b, "/", cmd, 3, SLICE(""), &texts) != ERR_OK) {
        return false;
    }
    enum err err = machine_spawn(b->machine, &b->trust, SANDBOX_SPAWN_PROGRAM,
                                 buf_slice(&texts.bytes), texts.count, true);
    process_texts_done(&texts);
    if (err != ERR_OK) {
        return false;
    }
    b->is_trusting = true;
    machine_spawn_write(&b->trust, pem);
    machine_spawn_end_input(&b->trust);
    return true;
}

void outside_begin(struct box *b)
{
    if (b->outside == NULL) {
        box_is_ready(b);
        return;
    }
    b->waits_for_ca = true;
    b->ca_until_ms = b->host->now_ms + CA_WAIT_MS;
    b->host->next_poll_ms = b->host->now_ms;
    (void)outside_look(b);
    if (!may_ask(b) && b->state == BOX_STARTING) {
        box_is_ready(b);
    }
}

bool outside_look(struct box *b)
{
    if (!b->waits_for_ca || b->is_trusting) {
        return false;
    }
    if (b->state != BOX_STARTING && b->state != BOX_RUNNING) {
        return true; /* frozen: once it goes on; stopping: its end is near */
    }
    struct slice pem = outside_of(b)->authority(outside_of(b)->ctx);
    bool is_late = b->host->now_ms >= b->ca_until_ms;
    if ((pem.len > 0 && !begin_trust(b, pem)) || (pem.len == 0 && is_late)) {
        go_on(b);
    }
    return b->waits_for_ca && !b->is_trusting;
}
