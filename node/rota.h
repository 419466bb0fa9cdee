/* A rota: whose turn it is. Members wait in line within their party, and parties take turns, one
 * member each: a party with a thousand members waiting delays another's only one by one of them.
 *
 *     party A: a1 a2 a3 ...
 *     party B: b1                 rota_next: a1, b1, a2, a3 ... */
#ifndef NODE_ROTA_H
#define NODE_ROTA_H

#include "base/list.h"

struct rota {
    struct list parties; /* those with members waiting, the next one first */
};

struct rota_party {
    struct list link;
    struct list members;
};

struct rota_member {
    struct list link;
};

void rota_init(struct rota *r);
void rota_party_init(struct rota_party *p);
void rota_member_init(struct rota_member *m);

static inline bool rota_is_empty(const struct rota *r)
{
    return list_is_empty(&r->parties);
}

void rota_add(struct rota *r, struct rota_party *p,
              struct rota_member *m);                          /* once in line is enough */
void rota_remove(struct rota_party *p, struct rota_member *m); /* not in line: no effect */
struct rota_member *rota_next(struct rota *r);                 /* taken out; NULL: none waits */

#endif
