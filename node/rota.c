#include "node/rota.h"

void rota_init(struct rota *r)
{
    list_init(&r->parties);
}

void rota_party_init(struct rota_party *p)
{
    list_init(&p->link);
    list_init(&p->members);
}

void rota_member_init(struct rota_member *m)
{
    list_init(&m->link);
}

void rota_add(struct rota *r, struct rota_party *p, struct rota_member *m)
{
    if (!list_is_empty(&m->link)) {
        return;
    }
    if (list_is_empty(&p->members)) {
        list_append(&r->parties, &p->link);
    }
    list_append(&p->members, &m->link);
}

void rota_remove(struct rota_party *p, struct rota_member *m)
{
    list_remove(&m->link);
    if (list_is_empty(&p->members)) {
        list_remove(&p->link);
    }
}

struct rota_member *rota_next(struct rota *r)
{
    struct rota_party *p = LIST_FIRST(&r->parties, struct rota_party, link);
    if (p == NULL) {
        return NULL;
    }
    struct rota_member *m = LIST_FIRST(&p->members, struct rota_member, link);
    INVARIANT(m != NULL); /* parties without members are not in the list */
    list_remove(&p->link);
    list_remove(&m->link);
    if (!list_is_empty(&p->members)) {
        list_append(&r->parties, &p->link);
    }
    return m;
}
