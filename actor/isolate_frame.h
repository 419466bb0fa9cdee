/* The frames between the node and an isolate, on a stream socket: a length (32 bits, little-endian), then
 * one msgpack array [kind, id, ...]. What users' code gave or gets (arguments, results, stored values)
 * travels as bytes that hold one document of rpc/value.h, so that neither side reads it twice.
 *
 * The same numbers are in isolate/prelude/frames.js. */
#ifndef ACTOR_ISOLATE_FRAME_H
#define ACTOR_ISOLATE_FRAME_H

enum {
    FRAME_HEAD_BYTES = 4,
    FRAME_BYTES_MAX = 24 << 20,       /* without its head */
    FRAME_STREAM_CREDIT = 256 * 1024, /* bytes of a body that may be sent before CREDIT comes */
};

/* To the isolate */
enum frame_to_isolate {
    FRAME_START = 1,
    FRAME_EVENT = 2,
    FRAME_ANSWER = 3,
    FRAME_CHUNK_IN = 4, /* [stream, bytes, end]: end is a boolean, or an error: it broke off */
    FRAME_CANCEL = 5,
    FRAME_CREDIT_IN = 6,
    FRAME_SOCKETS = 8, /* which have come while it is awake: [[id, tags, attachment], ...] */
};

/* From the isolate */
enum frame_from_isolate {
    FRAME_READY = 65,
    FRAME_STARTED = 66,
    FRAME_FAILED = 67,
    FRAME_DONE = 68,
    FRAME_ASK = 69,
    FRAME_TELL = 70,
    FRAME_CHUNK_OUT = 71,
    FRAME_CREDIT_OUT = 72,
    FRAME_WRITE = 73,
};

/* Types of EVENT */
enum frame_event {
    FRAME_EVENT_CALL = 1,
    FRAME_EVENT_FETCH = 2,
    FRAME_EVENT_ALARM = 3,
    FRAME_EVENT_TIMER = 4,
    FRAME_EVENT_MESSAGE = 5,
    FRAME_EVENT_CLOSE = 6,
    FRAME_EVENT_ERROR = 7,
    FRAME_EVENT_EXECUTE = 8,
    FRAME_EVENT_WORKFLOW = 9, /* [epoch, news, now, created, parameters, rows, more] */
};

#endif
