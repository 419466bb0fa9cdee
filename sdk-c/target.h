/* The target of a request: a path of percent-encoded segments, then a query. */
#ifndef SDK_C_TARGET_H
#define SDK_C_TARGET_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "sdk-c/dormouse.h"

/* "/" and the segment, with everything but unreserved characters encoded, slashes too. */
void target_segment(struct buf *target, struct slice segment);

/* "?" or "&", then name=value; a NULL value adds nothing. */
void target_query(struct buf *target, const char *name, const char *value);
void target_query_u64(struct buf *target, const char *name, uint64_t value);

/* "/v1/NS/CLASS/ID". ERR_INVALID_ID as base/address.h says. */
enum err target_actor(struct buf *target, const struct dormouse_actor *actor) MUST_CHECK;

#endif
