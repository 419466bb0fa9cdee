/* Requests and replies as nodes send them to each other: the node that has the client encodes the
 * request, the owner of the actor runs it and encodes the reply. Pure.
 *
 *     request   format u8 | kind u8 | fields
 *     reply     format u8 | fields
 *     field     tag u8 | length u32 | bytes        numbers big-endian; absent fields have no bytes at all
 *
 * A reader skips tags that it does not know, so a node one version behind understands what it needs;
 * a kind or an error that it does not know is ERR_FORMAT. Tags, kinds and the names of errors are part of
 * the format between nodes: they never change and are never used twice. What the scheduler and a watch
 * ask of their own node never travels. */
#ifndef ACTOR_REQUEST_WIRE_H
#define ACTOR_REQUEST_WIRE_H

#include "actor/request.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

void request_encode(const struct request *r, struct buf *out);

/* A request as decode_request makes it, the identity included. ERR_CORRUPT, ERR_FORMAT: nothing is made.
 * All that the actor layer relies on has been checked again. */
enum err request_decode(struct slice bytes, struct request **ret_request) MUST_CHECK;

void reply_to_wire(const struct reply *r, struct buf *out);

/* Fills in a reply that is as after reply_init; on an error it still is. */
enum err reply_from_wire(struct slice bytes, struct reply *ret_reply) MUST_CHECK;

#endif
