/* The frames between a worker and its egress process, on a channel (actor/channel.h): each is one msgpack
 * array.
 *
 *     worker                                egress
 *                                  <------  HELLO  [8, 0, layers]       first: it is locked down
 *     FETCH  [1, id, {...}]        ------>
 *                                  <------  RECORD [7, id, {...}]   one for each hop that was asked or denied
 *                                  <------  HEAD   [2, id, status, text, fields, url, redirected]
 *                                  <------  CHUNK  [3, id, bin, end]   ... the last one says end
 *     CREDIT [4, id, bytes]        ------>
 *     CANCEL [6, id]               ------>                             nothing more comes for the id
 *     CA     [12, 0, cert, key]    ------>                             before the first box; PEM
 *     OPEN   [9, id, {...}]        ------>                             a sandbox: with its sockets, below
 *     RULES  [10, id, {...}]       ------>                             in place of those that it had
 *     CLOSE  [11, id]              ------>                             all its connections end
 *                                  <------  FAIL   [5, id, {...}]      in place of all that would follow
 *
 * The first byte of OPEN carries EGRESS_BOX_SOCKETS descriptors (SCM_RIGHTS), in the order of enum
 * egress_box_socket: sockets of the sandbox's network, bound and listening. Records of a sandbox have its id.
 *
 * An id is the worker's choice, never used twice on a channel. A response begins with EGRESS_CREDIT bytes that
 * may be sent. Neither side trusts the other: what does not read as below is ERR_CORRUPT, and the channel is
 * closed. Fields are arrays [name, value]; characters of a value are its bytes, as fetch has it. Pure. */
#ifndef ACTOR_EGRESS_FRAME_H
#define ACTOR_EGRESS_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum egress_kind {
    EGRESS_FETCH = 1,
    EGRESS_HEAD = 2,
    EGRESS_CHUNK = 3,
    EGRESS_CREDIT = 4,
    EGRESS_FAIL = 5,
    EGRESS_CANCEL = 6,
    EGRESS_RECORD = 7,
    EGRESS_HELLO = 8,
    EGRESS_BOX_OPEN = 9,
    EGRESS_BOX_RULES = 10,
    EGRESS_BOX_CLOSE = 11,
    EGRESS_CA = 12,
};

/* What the egress process has given up: actor/egress/lockdown.h. */
enum egress_layer {
    EGRESS_SECCOMP = 1 << 0,
    EGRESS_LANDLOCK = 1 << 1,
    EGRESS_LANDLOCK_NET = 1 << 2,   /* kernels from 6.7 on */
    EGRESS_LANDLOCK_SCOPE = 1 << 3, /* from 6.12 on */
    EGRESS_RLIMIT = 1 << 4,
};

/* The sockets of a sandbox: an explicit proxy, what is transparent, and the name server. */
enum egress_box_socket {
    EGRESS_BOX_PROXY, /* tcp 127.0.0.1:3128 */
    EGRESS_BOX_HTTP,  /* tcp 198.18.0.1:80 */
    EGRESS_BOX_HTTPS, /* tcp 198.18.0.1:443 */
    EGRESS_BOX_DNS,   /* udp 127.0.0.1:53 */
    EGRESS_BOX_SOCKETS,
};

enum egress_redirect { EGRESS_FOLLOW, EGRESS_MANUAL, EGRESS_REFUSE };

enum {
    EGRESS_CREDIT_BYTES = 256 * 1024,
    EGRESS_CHUNK_BYTES_MAX = 64 * 1024,
    EGRESS_URL_BYTES_MAX = 8 * 1024,
    EGRESS_FIELDS_MAX = 256,
    EGRESS_FIELD_BYTES_MAX = 64 * 1024, /* of all of them, either way */
    EGRESS_REQUEST_BODY_BYTES_MAX = 16 << 20,
    EGRESS_BYTES_MAX = 1 << 30,            /* of a response's body, decoded */
    EGRESS_MS_MAX = 15 * 60 * 1000,        /* of ms_max */
    EGRESS_SECRETS_BYTES_MAX = 512 * 1024, /* of a document of secrets */
    EGRESS_PEM_BYTES_MAX = 16 * 1024,
};

/* Slices are borrowed: from the frame that was decoded, or from who encodes. */
struct egress_fetch {
    struct slice ns; /* whose connections these are; with class and actor: for records */
    struct slice class;
    struct slice actor;
    struct slice method;
    struct slice url;
    struct slice fields; /* a document */
    struct slice body;
    bool has_body;
    enum egress_redirect redirect;
    struct slice allow; /* a document: egress_list_check has passed */
    bool any_port;      /* what a pattern without a port means */
    bool allow_private;
    uint64_t bytes_max;
    uint64_t ms_max;      /* until its head; from then on without a byte that comes or is taken */
    struct slice inject;  /* a document: of egress_rules_inject; empty: nothing is injected */
    struct slice secrets; /* {name: bin}: of those that `inject` names; empty: none */
    uint32_t rate;        /* requests a minute of the namespace; 0: no rule says */
};

/* What a sandbox may ask, and with what. */
struct egress_box_rules {
    struct slice rules;   /* a document: egress_rules_check has passed; empty: nothing may leave */
    struct slice secrets; /* {name: bin}: of those that the rules name; empty: none */
    bool allow_private;
};

struct egress_box_open {
    struct slice ns;
    struct slice class;
    struct slice actor;
    struct slice sandbox;
    struct egress_box_rules rules;
};

struct egress_ca {
    struct slice cert;
    struct slice key;
};

struct egress_head {
    uint32_t status;
    struct slice text;
    struct slice fields; /* a document */
    struct slice url;
    bool redirected;
};

struct egress_chunk {
    struct slice bytes;
    bool is_end;
};

struct egress_fail {
    struct slice code; /* of base/err.def */
    struct slice message;
    bool retryable;
    bool maybe_applied; /* the request may have reached who it was for */
};

/* One request that left, or was not let out. */
struct egress_record {
    struct slice ns;
    struct slice class;
    struct slice actor;
    struct slice sandbox; /* empty: it was an isolate */
    struct slice method;
    struct slice host; /* with the port */
    struct slice path; /* without the query */
    uint32_t status;   /* 0: there was no response */
    uint64_t sent_bytes;
    uint64_t received_bytes; /* of bodies, on the wire */
    uint64_t ms;
    struct slice code;    /* of the error, empty without one */
    struct slice secrets; /* a document: the names of those that were put on; empty: none */
};

struct egress_frame {
    enum egress_kind kind;
    uint64_t id;
    union {
        struct egress_fetch fetch;
        struct egress_head head;
        struct egress_chunk chunk;
        uint64_t credit;
        struct egress_fail fail;
        struct egress_record record;
        uint32_t layers;
        struct egress_box_open open;
        struct egress_box_rules rules;
        struct egress_ca ca;
    };
};

/* `frame` is what a channel's inbox hands out. ERR_CORRUPT */
enum err egress_frame_decode(struct slice frame, struct egress_frame *ret) MUST_CHECK;

/* Each appends one frame with its head. What goes in has passed the bounds above. */
void egress_put_fetch(struct buf *out, uint64_t id, const struct egress_fetch *f);
void egress_put_head(struct buf *out, uint64_t id, const struct egress_head *h);
void egress_put_chunk(struct buf *out, uint64_t id, struct slice bytes, bool is_end);
void egress_put_credit(struct buf *out, uint64_t id, uint64_t bytes);
void egress_put_fail(struct buf *out, uint64_t id, const struct egress_fail *f);
void egress_put_cancel(struct buf *out, uint64_t id);
void egress_put_record(struct buf *out, uint64_t id, const struct egress_record *r);
void egress_put_box_open(struct buf *out, uint64_t id, const struct egress_box_open *b);
void egress_put_box_rules(struct buf *out, uint64_t id, const struct egress_box_rules *r);
void egress_put_box_close(struct buf *out, uint64_t id);
void egress_put_ca(struct buf *out, const struct egress_ca *ca);
void egress_put_hello(struct buf *out, uint32_t layers);

/* A failure in the one vocabulary. `message` NULL: the error's own text. */
struct egress_fail egress_fail_of(enum err err, const char *message);

/* "follow", "manual", "error" */
bool egress_redirect_parse(struct slice text, enum egress_redirect *ret) MUST_CHECK;

#endif
