/* The kinds of messages between nodes (rpc/peer_frame.h). Numbers travel: they never change and are never
 * used twice. Each names the group that it is about, so it gets to the worker of that group's shard; what
 * is of the whole node goes to the worker of the meta group. Where it is not a message of Raft, `from` and
 * `to` are the nodes alone: their replicas' halves are 0. */
#ifndef NODE_PEER_KIND_H
#define NODE_PEER_KIND_H

enum peer_kind {
    PEER_KIND_RAFT = 1,    /* storage/group_wire.h */
    PEER_KIND_REQUEST = 2, /* node/forward.h */
    PEER_KIND_REPLY = 3,
    PEER_KIND_CANCEL = 4,
    PEER_KIND_STATUS = 5, /* node/status.h */
    PEER_KIND_ORDER = 6,  /* node/orders.h */
    PEER_KIND_OUTCOME = 7,
    PEER_KIND_SNAPSHOT_BEGIN = 8, /* node/snapshot_wire.h; the first two on the bulk connection */
    PEER_KIND_SNAPSHOT_PART = 9,
    PEER_KIND_SNAPSHOT_WANT = 10,
    PEER_KIND_SNAPSHOT_END = 11,
    PEER_KIND_WATCH_OPEN = 12, /* node/watch_wire.h */
    PEER_KIND_WATCH_TEXT = 13,
    PEER_KIND_WATCH_TAKEN = 14,
    PEER_KIND_WATCH_END = 15,
    PEER_KIND_WATCH_CANCEL = 16,
    PEER_KIND_LISTING_ASK = 17, /* node/listings.h */
    PEER_KIND_LISTING_ANSWER = 18,
    PEER_KIND_FRESH_ASK = 19, /* node/freshness.h */
    PEER_KIND_FRESH_ANSWER = 20,
    PEER_KIND_PULSE = 21,     /* node/neighbours_pulse.c */
    PEER_KIND_SOCKET_UP = 22, /* node/socket_mail.h */
    PEER_KIND_SOCKET_DOWN = 23,
    PEER_KIND_LOG_WANT = 24, /* node/log_wire.h; the second on the bulk connection */
    PEER_KIND_LOG_LINES = 25,
    PEER_KIND_AUDIT_ASK = 40, /* node/audit.h; 26 to 39 are taken by others */
    PEER_KIND_AUDIT_ANSWER = 41,
};

#endif
