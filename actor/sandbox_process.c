/* Processes in the background. */
#include "actor/sandbox_own.h"
#include "rpc/value.h"

void process_begin(struct sandbox_ask *a)
{
    ask_fail(a, ERR_NOT_IMPLEMENTED, NULL);
}

void process_list(struct sandbox_ask *a)
{
    ask_fail(a, ERR_NOT_IMPLEMENTED, NULL);
}

void process_show(struct sandbox_ask *a)
{
    ask_fail(a, ERR_NOT_IMPLEMENTED, NULL);
}

void process_signal(struct sandbox_ask *a)
{
    ask_fail(a, ERR_NOT_IMPLEMENTED, NULL);
}

void process_logs(struct sandbox_ask *a)
{
    ask_fail(a, ERR_NOT_IMPLEMENTED, NULL);
}

void process_wait(struct sandbox_ask *a)
{
    ask_fail(a, ERR_NOT_IMPLEMENTED, NULL);
}

void processes_put(const struct box *b, struct buf *out)
{
    (void)b;
    value_put_array(out, 0);
}

void processes_ended(struct box *b)
{
    (void)b;
}

void processes_free(struct box *b)
{
    (void)b;
}
