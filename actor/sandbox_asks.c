/* One request to a sandbox: its answer, given once, and its end. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "actor/sandbox_own.h"
#include "base/invariant.h"
#include "base/mem.h"

enum { DETAIL_BYTES = 256 };

static void ask_free_if_over(struct sandbox_ask *a)
{
    if (a->request != NULL || a->pending > 0) {
        return;
    }
    if (a->is_in_box) {
        box_leave(a);
    }
    list_remove(&a->link);
    bytes_unref(a->body);
    if (a->free_own != NULL) {
        a->free_own(a->own);
    }
    a->magic = 0;
    mem_free(a);
}

void ask_begin(struct sandbox_ask *a)
{
    a->pending++;
}

void ask_end(struct sandbox_ask *a)
{
    PRE(a->pending > 0);
    a->pending--;
    ask_free_if_over(a);
}

void ask_reply(struct sandbox_ask *a)
{
    struct request *r = a->request;
    PRE(r != NULL);
    heap_remove(&a->host->deadlines, &a->deadline);
    a->request = NULL;
    r->sandbox_ask = NULL;
    r->stage = REQUEST_DONE;
    ask_begin(a);
    if (a->box != NULL && a->pending == 1) {
        box_leave(a);
    }
    r->answer(r);
    ask_end(a);
}

void ask_fail(struct sandbox_ask *a, enum err err, const char *format, ...)
{
    if (a->request == NULL) {
        return;
    }
    if (format == NULL) {
        (void)reply_fail(&a->request->reply, err, NULL);
    } else {
        char detail[DETAIL_BYTES];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(detail, sizeof detail, format, args);
        va_end(args);
        (void)reply_fail(&a->request->reply, err, "%s", detail);
    }
    ask_reply(a);
}

void ask_document(struct sandbox_ask *a, int status, struct buf *document)
{
    reply_body(&a->request->reply, status, document);
    ask_reply(a);
}

/* What the kernel said of a file, as the contract says it. */
void ask_errno(struct sandbox_ask *a, int error, const char *what)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        ask_fail(a, ERR_NO_SUCH_FILE, "%s: %s", what, strerror(error));
        return;
    case ENOSPC:
    case EDQUOT:
        if (a->request != NULL) {
            (void)reply_limited(&a->request->reply, ERR_STORAGE_FULL, "disk_mb",
                                a->box != NULL ? a->box->spec.disk_mb : 0);
            ask_reply(a);
        }
        return;
    case ESHUTDOWN:
        ask_fail(a, ERR_OUTCOME_UNKNOWN, "The sandbox ended.");
        return;
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case ENOMEM:
        ask_fail(a, ERR_UNAVAILABLE, "%s: %s", what, strerror(error));
        return;
    default:
        ask_fail(a, ERR_BAD_REQUEST, "%s: %s", what, strerror(error));
        return;
    }
}

/* Stops what is under way; it may be freed then. */
void ask_give_up(struct sandbox_ask *a, enum err err)
{
    ask_begin(a);
    if (a->request != NULL) {
        (void)reply_fail(&a->request->reply, err, NULL);
        ask_reply(a);
    }
    if (a->stop != NULL) {
        a->stop(a);
    }
    if (a->box != NULL) {
        box_leave(a);
    }
    ask_end(a);
}
