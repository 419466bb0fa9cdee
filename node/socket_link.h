/* A socket's link: letters in both directions between a client's end (node/socket_line.h) and the owner of the
 * actor (node/socket_owner.h), each letter once and in order, over connections that may break and drop what was
 * sent. Pure.
 *
 *     put --> | 7 | 6 | 5 | 4 | 3 |            letters that the other side has not taken
 *               ^next   ^cursor  ^acknowledged  (how far they were sent, and how far received)
 *
 * Letters are numbered from 1. They are kept until the other side has *taken* them: an actor has done what
 * they ask, or the client's socket has them. A large one goes in pieces. Each side tells the other how
 * far it has received and taken (a sync): now and then of itself, and as an answer where the other side wants
 * to know, for want of news or because a connection broke. Then what was not received goes again, from there.
 *
 * Invariants
 *   - taken <= received of what came; acknowledged <= cursor <= next of what goes.
 *   - what is on its way, sent and not acknowledged, is at most SOCKET_FLIGHT_BYTES and one piece. */
#ifndef NODE_SOCKET_LINK_H
#define NODE_SOCKET_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"

enum {
    SOCKET_PIECE_BYTES = 64 * 1024, /* so that nothing urgent waits long behind it */
    SOCKET_FLIGHT_BYTES = 256 * 1024,
    SOCKET_LETTER_BYTES_MAX = 33 * 1024 * 1024, /* a message of 32 MiB */
    SOCKET_LETTER_OVERHEAD = 256,               /* what a letter costs beyond its bytes */
    SOCKET_PROBE_MS = 2000, /* without news of what was sent we ask; doubling, up to ... */
    SOCKET_PROBE_MS_MAX = 16 * 1000,
};

enum socket_letter_kind {
    SOCKET_LETTER_TEXT = 1, /* numbers travel */
    SOCKET_LETTER_BYTES = 2,
    SOCKET_LETTER_CLOSE = 3,
    SOCKET_LETTER_FAILURE = 4, /* to the owner: the client broke the rules */
    SOCKET_LETTER_MEMO = 5,    /* from it: what the next owner must know; the first letter is one */
    SOCKET_LETTER_KIND_END,
};

struct socket_letter_head {
    enum socket_letter_kind kind;
    uint16_t code;  /* CLOSE; 0: none */
    bool was_clean; /* CLOSE, to the owner */
    bool is_owed;   /* likewise: the client waits for our close frame */
};

struct socket_letter {
    struct list link;
    uint64_t number;
    struct socket_letter_head head;
    struct bytes *data; /* the message, the reason or the text; NULL where it is empty */
};

/* A part of a letter, on its way. */
struct socket_piece {
    uint64_t number;
    struct socket_letter_head head;
    size_t whole_bytes;
    size_t at;
    struct slice bytes;
    struct bytes *data; /* borrowed: the letter's, which `bytes` are in; NULL: from the wire */
};

struct socket_sync {
    uint64_t received; /* whole letters ... */
    uint64_t part;     /* ... and so many bytes of the next */
    uint64_t taken;
    bool is_question; /* the other side is to tell at once */
    bool is_answer;   /* ... which this does */
};

struct socket_link {
    /* out */
    struct list letters;
    uint64_t next;  /* number of the next letter to be put */
    uint64_t taken; /* by the other side */
    uint64_t acknowledged;
    size_t acknowledged_at; /* bytes of the letter after it */
    uint64_t cursor;        /* letter to be sent next ... */
    size_t cursor_at;       /* ... from here on */
    size_t flight_bytes;
    uint64_t drained_bytes;        /* of letters that were taken */
    size_t kept_bytes;             /* of the letters, with their overhead */
    struct socket_letter *sending; /* that of the cursor; NULL: to be looked for */

    /* in */
    uint64_t received;
    uint64_t in_taken;
    struct socket_letter *part; /* the next one, not whole yet; NULL: nothing of it */
    size_t part_bytes;
    uint64_t told_taken; /* the other side has heard of so many */
    size_t untold_bytes; /* received since it heard */
    bool has_gap;        /* it has been told that something is missing */

    /* how we stand */
    bool is_stopped; /* nothing is sent until the question is answered */
    bool owes_answer;
    bool has_question; /* to be sent */
    uint64_t probe_ms; /* when we ask for want of news; 0: there is nothing to hear of */
    uint64_t pause_ms; /* between two questions */
};

/* The next letters have these numbers: what was taken before, by an owner before, has lower ones. */
void socket_link_init(struct socket_link *l, uint64_t out_taken, uint64_t in_taken);
/* The other side is another one from now on, to which all goes that the one before has not taken: once it has
 * answered. */
void socket_link_restart(struct socket_link *l, uint64_t out_taken);
void socket_link_done(struct socket_link *l);

/* Out. Takes a reference on `data`, which may be NULL. */
void socket_link_put(struct socket_link *l, const struct socket_letter_head *head,
                     struct bytes *data);
/* The next piece to be sent, of at most so many bytes; SIZE_MAX: a letter whole. False: there is none, or
 * enough is on its way. */
bool socket_link_next(struct socket_link *l, size_t piece_bytes, struct socket_piece *ret);
void socket_link_sent(struct socket_link *l, const struct socket_piece *piece, uint64_t now_ms);
bool socket_link_is_empty(const struct socket_link *l); /* all that was put is taken */
bool socket_link_is_sent(const struct socket_link *l);  /* ... is sent, at least once */

/* In. ERR_OK: taken in; `*ret_letter` is a letter that is whole now, the caller's, or NULL. ERR_MORE: what was
 * before it is missing, and the other side will be told. ERR_CORRUPT, ERR_NO_MEMORY. */
enum err socket_link_receive(struct socket_link *l, const struct socket_piece *piece,
                             struct socket_letter **ret_letter) MUST_CHECK;
void socket_letter_free(struct socket_letter *letter);
/* This side has taken the oldest letter that it had not. */
void socket_link_take(struct socket_link *l);

/* Syncs. `ret->is_question`, `is_answer` and the rest are as they are to be sent; false: none is due. */
bool socket_link_sync(const struct socket_link *l, struct socket_sync *ret);
void socket_link_synced(struct socket_link *l, const struct socket_sync *sent, uint64_t now_ms);
/* ERR_CORRUPT: it tells of letters that were never put. */
enum err socket_link_hear(struct socket_link *l, const struct socket_sync *s,
                          uint64_t now_ms) MUST_CHECK;

/* A connection broke: we ask what has arrived, and stop until we know. */
void socket_link_break(struct socket_link *l);
void socket_link_tick(struct socket_link *l, uint64_t now_ms);

#endif
