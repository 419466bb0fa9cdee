/* The world of the peers' tests: nodes on one loop, each with one or more workers, that talk over sockets
 * of this machine, some of them through a proxy. */
#ifndef TESTS_UNIT_PEERS_WORLD_H
#define TESTS_UNIT_PEERS_WORLD_H

#include "node/peers.h"
#include "node/peers_own.h"
#include "tests/lib/peer_certs.h"
#include "tests/lib/tcp_proxy.h"

enum {
    PEERS_MAX = 6,
    MESSAGES_MAX = 4096,
    MIB = 1 << 20,
    CLUSTER = 0xc1,
    GROUPS = 16,
};

struct got {
    uint32_t from;
    uint8_t kind;
    uint32_t group;
    uint32_t number; /* in the payload's first bytes */
    size_t bytes;
};

/* One worker of a node. */
struct world {
    struct peers *peers;
    struct peers_shared *shared;
    struct peers_options options;
    uint16_t port;
    struct got got[MESSAGES_MAX];
    size_t got_count;
    size_t lost_count;
    uint32_t lost_node;
    size_t up_count;
    struct peer_hello hello; /* of the last that it dialled */
    bool refuses;
    bool is_closed;
};

/* Tasks between workers, which run with the loop unless a test holds them. */
struct posted {
    struct task *task;
    size_t worker;
};

extern uv_loop_t loop;
extern struct peer_limits limits;
extern struct world worlds[PEERS_MAX];
extern struct peers_shared shared[PEERS_MAX]; /* by node */
extern struct tcp_proxy proxy;
extern bool has_proxy;
extern struct tls_cert ca;
extern struct tls_context *contexts[PEERS_MAX + 1]; /* by node, from 1 on */
extern struct tls_context *stranger;                /* node 2 by another CA */
extern struct posted posted[MESSAGES_MAX];
extern size_t posted_count;
extern bool holds_posts;

/* Before and after all tests, and each of them. */
int peers_make_contexts(void **state);
int peers_free_contexts(void **state);
int peers_setup(void **state);
int peers_teardown(void **state);

void be_patient(void);
void be_done_with_patience(void);
#define RUN_UNTIL(condition)                  \
    do {                                      \
        be_patient();                         \
        while (!(condition)) {                \
            (void)uv_run(&loop, UV_RUN_ONCE); \
        }                                     \
        be_done_with_patience();              \
    } while (0)
void run_posts(void);

struct world *new_worker(uint32_t node, uint32_t worker, uint32_t workers); /* to be started */
struct world *new_node(uint32_t node);                                      /* with one worker */
void start(struct world *w);
void stop(struct world *w);
void set_member(struct world *w, uint32_t node, uint16_t port);
bool is_up(const struct world *w, uint32_t node); /* both channels are */

/* Nodes 1 and 2 that know each other; or node 1 knows 2, through the proxy. */
void open_pair(struct world **ret_a, struct world **ret_b);
void open_proxied(struct world **ret_a, struct world **ret_b);

enum err try_send(struct world *w, uint32_t node, enum peer_channel channel, uint32_t group,
                  uint32_t number, size_t bytes);
void send_to(struct world *w, uint32_t node, uint32_t group, uint32_t number, size_t bytes);
struct peer_stats stats_of(const struct world *w); /* of the only member */
/* Why the connection for messages to the only member went. */
const char *reason_of(const struct world *w);

#endif
