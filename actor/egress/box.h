/* A box: a sandbox as the broker sees it: who it is, its rules, and the sockets through which alone it reaches
 * anything.
 *
 *     OPEN with its sockets --> box --accept--> guests (guest.h) --> relays (relay.h) --> network
 *                                |--- names are asked (dns.h)
 *     RULES --> the newest rules hold for each request that begins from now on; what is under way keeps those
 *               that it began with
 *     CLOSE --> its sockets and all its guests go
 *
 * Whose request it is is known by the socket that it came on, never by what a guest says. All is bounded: boxes,
 * guests of one and of all, requests a minute, certificates made for it. */
#ifndef ACTOR_EGRESS_BOX_H
#define ACTOR_EGRESS_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/egress/rate.h"
#include "actor/egress/scrubber.h"
#include "actor/egress/source.h"
#include "actor/egress_frame.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"

struct egress;
struct box;

enum {
    BOX_MAGIC = 0x65677210,
    BOXES_MAX = 256,
    BOX_GUESTS_MAX = 128,
    GUESTS_MAX =
        768, /* of all boxes: with all that waits in both directions less than RLIMIT_DATA */
    BOX_ACCEPTS_A_TURN = 16,
    BOX_NAMES_A_TURN = 32,
    BOX_MINTS_A_MINUTE = 300,
    BOX_REQUESTS_A_MINUTE = 6000, /* where no rule says */
};

/* Rules, shared by the box and by what began under them. */
struct box_rules {
    uint32_t refs;
    struct buf frame;              /* that they came in; wiped */
    struct egress_box_rules rules; /* borrowed from it */
    struct scrub_set scrub;
};
struct box_rules *box_rules_ref(struct box_rules *r);
void box_rules_unref(struct box_rules *r); /* NULL is fine */

struct box_socket {
    struct source source;
    struct box *box;
    int fd;
};

struct box {
    uint32_t magic;
    struct egress *egress;
    struct map_node node; /* of egress->boxes */
    struct list link;     /* of egress->closed_boxes, once it is */
    uint64_t id;
    struct buf frame;           /* of OPEN, for who it is; wiped */
    struct egress_box_open who; /* borrowed from it; not the rules */
    char pool[32];              /* the name of its connections */
    struct box_rules *rules;
    struct box_socket sockets[EGRESS_BOX_SOCKETS];
    struct list guests;
    size_t guest_count;
    struct rate requests;
    struct rate mints;
    bool is_closed;
};

/* Takes the descriptors, whatever comes of it. ERR_CORRUPT: not as many as there must be, or an id that is there.
 * Where it cannot be opened otherwise its sockets are closed, and nobody answers on them. */
enum err box_open(struct egress *e, uint64_t id, struct slice frame, int *fds,
                  size_t fd_count) MUST_CHECK;
struct box *box_find(const struct egress *e, uint64_t id);
void box_set_rules(struct box *b, struct slice frame);
void box_close(struct box *b);
void boxes_free_closed(struct egress *e); /* at the end of a turn */
void boxes_close(struct egress *e);

/* ERR_BAD_REQUEST: that is no certificate authority. */
enum err boxes_set_ca(struct egress *e, const struct egress_ca *ca) MUST_CHECK;

#endif
