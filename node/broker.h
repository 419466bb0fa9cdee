/* The broker of a worker's sandboxes: what they may ask of the outside, with which secrets, through the worker's
 * egress process (actor/egress_client.h).
 *
 *     broker_open (who, rules, the launcher's sockets) --> WAITING --CA is there, process runs--> OPEN
 *                                                            ^                                     |
 *                                                            +------- the process has ended -------+
 *     broker_set_rules: for requests that begin from then on          broker_close: all its connections end
 *
 * The broker keeps the sockets, so a sandbox's addresses stay its own while the process is started anew. Rules are
 * told again when the secrets that they name change. The first sandbox of a cluster has its certificate authority
 * made: a record of the cluster ("egress-ca"), its key sealed as secrets are.
 *
 * What a sandbox needs to trust it: broker_ca_pem goes to a file in a layer of its own, at BROKER_CA_FILE and onto the
 * end of the system's list, and broker_environment has the variables for what does not look there. */
#ifndef NODE_BROKER_H
#define NODE_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/egress_frame.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "node/gather.h"
#include "node/order.h"
#include "node/orders.h"

struct worker;
struct broker_box;

#define BROKER_CA_FILE     "/etc/ssl/certs/dormouse-egress.pem"
#define BROKER_SYSTEM_FILE "/etc/ssl/certs/ca-certificates.crt"

struct broker {
    struct worker *worker;
    struct list boxes;
    uint64_t view_number; /* as of which rules were told */
    bool asks_for_ca;     /* an order is under way */
    uint64_t retry_ms;
    struct gather gather;
    struct gather_part part; /* to worker 0 */
    struct order order;
    struct order_run run;
    bool is_stopping;
};

/* Copied. */
struct broker_who {
    struct slice ns;
    struct slice class;
    struct slice actor;
    struct slice sandbox;
};

void broker_init(struct broker *b, struct worker *w);
void broker_stop(
    struct broker *b); /* no more are opened; those that are stay their owners' to close */
void broker_done(struct broker *b); /* after their owners, and after code_close */
bool broker_is_idle(const struct broker *b);
void broker_tick(struct broker *b, uint64_t now_ms);
uint64_t broker_next_ms(const struct broker *b); /* UINT64_MAX: nothing waits */

/* Takes the sockets, in the order of enum egress_box_socket, also where it fails. `rules` is a document as API
 * section 5 has it, or empty: nothing may leave. ERR_BAD_REQUEST and one clause; ERR_OVERLOADED. */
enum err broker_open(struct broker *b, const struct broker_who *who, struct slice rules,
                     const int fds[EGRESS_BOX_SOCKETS], struct broker_box **ret_box,
                     const char **ret_detail) MUST_CHECK;
enum err broker_set_rules(struct broker_box *box, struct slice rules,
                          const char **ret_detail) MUST_CHECK;
void broker_close(struct broker_box *box);

/* The certificate as PEM, borrowed from the newest view; empty: there is none yet, and broker_need_ca has it
 * made. */
struct slice broker_ca_pem(const struct broker *b);
void broker_need_ca(struct broker *b);

/* "NAME=value", each; NULL at the end. */
extern const char *const broker_environment[];

#endif
