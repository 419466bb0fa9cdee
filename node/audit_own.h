/* Between node/audit.c and node/audits.c: one page of the audit log of all nodes, as it is put together. */
#ifndef NODE_AUDIT_OWN_H
#define NODE_AUDIT_OWN_H

#include "base/bytes.h"
#include "node/audit.h"
#include "node/board.h"
#include "node/gather.h"

struct audit_item {
    struct audit_place place;
    struct slice document; /* of one of the pages */
};

struct audit_run {
    struct audit_query query;
    void (*done)(struct audit_run *r, enum err err); /* once; perhaps from inside audits_begin */

    /* outcome */
    struct audit_item *items; /* in their order */
    size_t item_count;
    bool has_more;
    bool has_bound; /* a page ended there, and what is behind is not known of its node */
    struct audit_place bound;
    uint32_t missing[BOARD_NODES_MAX];
    uint32_t missing_count;

    /* the audits' own */
    struct audits *audits;
    struct list link;
    uint64_t id;
    uint64_t deadline_ms;
    uint32_t asked[BOARD_NODES_MAX]; /* that have not answered */
    uint32_t asked_count;
    bool is_asking;
    bool waits_here; /* for the own log */
    struct bytes *pages[BOARD_NODES_MAX];
    size_t page_count;
};

void audits_begin(struct audits *a, struct audit_run *r);
void audit_run_done(struct audit_run *r);

#endif
