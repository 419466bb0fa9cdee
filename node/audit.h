/* The audit log as clients see it, of all nodes:
 *
 *     GET /admin/v1/audit?since=MS&namespace=&limit=&cursor=
 *     200 {"records":[{"time","node","namespace","class","actor","sandbox","method","host","port","path","status",
 *          "bytes","sent","received","ms","secrets":[names],"code"}],"next":null|"<cursor>","missing":[nodes]}
 *
 * oldest first, from `since` on. Each node is asked for its page, and they are merged; those that cannot be asked are
 * told as `missing`: their records stay with them. A token of one namespace sees that one's alone.
 *
 *     audit_open, any worker --> audits of worker 0 --AUDIT_ASK id--> each other member's audits --> its log
 *                                              <--AUDIT_ANSWER id--
 *
 *     ASK   id u64 | query, a map         ANSWER   id u64 | [records, more]                                  */
#ifndef NODE_AUDIT_H
#define NODE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/egress_frame.h"
#include "base/list.h"
#include "node/audit_log.h"
#include "node/token.h"
#include "rpc/http.h"
#include "storage/job_thread.h"

struct worker;

enum {
    AUDIT_LIMIT_DEFAULT = 100,
    AUDIT_LIMIT_MAX = 1000,
    AUDIT_READS_MAX = 64, /* under way on this node, of all nodes */
    AUDIT_WAIT_MS = 3000, /* for other nodes */
};

/* Of worker 0. */
struct audits {
    struct worker *worker;
    struct job_thread *thread; /* NULL before the first read */
    struct list runs;
    size_t read_count;
    uint64_t last_id;
    bool is_stopping;
};

void audits_init(struct audits *a, struct worker *w);
void audits_stop(struct audits *a); /* what waits for other nodes ends without them */
bool audits_are_idle(const struct audits *a);
void audits_poll(struct audits *a); /* the thread has something */
void audits_tick(struct audits *a, uint64_t now_ms);
uint64_t audits_next_ms(const struct audits *a);
void audits_done(struct audits *a);

/* From the node `from`. */
enum err audits_take_ask(struct audits *a, uint32_t from, struct slice payload) MUST_CHECK;
enum err audits_take_answer(struct audits *a, uint32_t from, struct slice payload) MUST_CHECK;
void audits_on_lost(struct audits *a, uint32_t node);

/* Of any worker. */
void audit_open(struct worker *w, struct http_exchange *x, struct slice query,
                const struct token *token);
void audit_record(struct worker *w, const struct egress_record *r);

#endif
