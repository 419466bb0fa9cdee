/* A callee: whoever will answer an exchange later. It is the exchange's user until then. */
#ifndef NODE_CALLEE_H
#define NODE_CALLEE_H

#include "rpc/http.h"

struct callee {
    void (*cancel)(struct callee *c);   /* the exchange is gone when this returns */
    void (*writable)(struct callee *c); /* a stream has room again; NULL: it streams nothing */
    /* Bytes for a socket; NULL: it accepts none. */
    void (*data)(struct callee *c, struct slice in, bool is_end);
};

#endif
