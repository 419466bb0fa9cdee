/* What the files of the code host share; for nobody else. */
#ifndef ACTOR_CODE_OWN_H
#define ACTOR_CODE_OWN_H

#include "actor/code_host.h"
#include "rpc/value.h"

enum { CODE_SESSION_MAGIC = 0x636f6401, CODE_TURN_MAGIC = 0x636f6402 };

enum code_state { CODE_STARTING, CODE_READY, CODE_ENDED, CODE_STATE_COUNT };

struct code_session {
    uint32_t magic;
    enum code_state state;
    struct code_host *host;
    struct shard *shard;
    struct map_node by_identity; /* host.sessions; not of a run */
    struct list by_use;          /* host.by_use or host.ended */
    struct identity identity;
    struct address address; /* slices of address_text */
    struct bytes *address_text;
    uint64_t version;        /* of the deployment */
    struct isolate *isolate; /* NULL: ENDED */
    struct list events;
    uint32_t event_count;
    uint32_t client_count;  /* of these, those that somebody waits for */
    uint32_t waiting_count; /* WAITS */
    uint32_t turn_count;    /* turns and calls under way */
    struct list incoming;   /* asked of the outside, and bodies from there */
    uint32_t incoming_count;
    bool is_paused;
    bool is_busy;   /* the isolate waits for something that only it knows of */
    bool is_ending; /* further up the stack */
    bool is_run;    /* of execute: one event, then it ends */
    struct code_limits limits;
    uint64_t began_ms;
    uint64_t used_ms;
    uint64_t last_event_id;
    uint64_t last_stream_id;
    struct bytes *fetch_grant;    /* of a run; NULL: none */
    struct code_usage last_usage; /* once its isolate is gone */
    uint64_t cpu_since_us;   /* its CPU time when it got an event it had time for, or 1 ms before */
    bool has_spoken;         /* since the newest one */
    bool has_started;        /* STARTED came */
    uint64_t cpu_since_ms;   /* when that was looked at; 0: never */
    uint64_t cpu_counted_us; /* of it: what the statistics have */
    uint64_t calls;          /* events that it was given */
    struct code_class_stats *of_class;
    struct heap_node check;
    struct buf logs; /* of a run: documents */
    uint32_t log_count;
    uint32_t socket_event_count;
    struct code_turn *tells; /* the newest turn, where it is a TELL: more may go with it */
    size_t tell_bytes;       /* of all of its TELLs */
    struct list streams;     /* bodies that leave in pieces */
    bool has_auto;           /* what it has set before it had a socket */
    struct bytes *auto_request;
    struct bytes *auto_response;
};

enum code_event_stage {
    CODE_EVENT_WAITS,  /* for the session to start, or for another with its key */
    CODE_EVENT_KEYED,  /* a turn looks for its key's record */
    CODE_EVENT_SENT,   /* the isolate has it */
    CODE_EVENT_ENDING, /* its last writes are on their way */
};

struct code_event {
    enum code_event_stage stage;
    struct list link; /* session.events */
    struct code_session *session;
    struct request *request; /* NULL: nobody waits any more */
    enum request_kind kind;  /* its */
    uint64_t id;
    bool is_new;        /* nothing is recorded under its key */
    uint64_t stream;    /* of a fetch that is DONE, whose body comes in pieces; 0: none */
    struct bytes *head; /* its result so far */
    struct buf body;
    struct heap_node deadline;
    struct socket_event *socket_event; /* it is one of a socket; NULL: of a request */
    struct socket_ref socket;          /* which its client asks for; id 0: none */
    bool is_forwarded;                 /* another actor was asked to take it */
};

enum code_turn_kind {
    CODE_TURN_BEGIN, /* of an event: its idempotency record */
    CODE_TURN_DONE,  /* of an event: its last writes */
    CODE_TURN_ASK,   /* the reply is the answer */
    CODE_TURN_CALL,  /* then another actor is called */
    CODE_TURN_FETCH, /* then the outside is */
    CODE_TURN_WRITE, /* nobody waits for it */
    CODE_TURN_TELL,  /* then its letters leave */
};

/* What the code says to a client: once what it wrote before is durable. */
struct code_letter {
    struct list link;
    uint64_t socket;
    bool is_close;
    bool is_text;
    uint16_t close_code; /* 0: none */
    struct bytes *data;
};

/* A request to the registry on behalf of a session. */
struct code_turn {
    uint32_t magic;
    enum code_turn_kind kind;
    struct code_session *session;
    struct code_event *event; /* BEGIN, DONE */
    uint64_t ask;
    bool is_exception;              /* DONE: the event threw */
    bool is_last;                   /* DONE: of a workflow's run that needs no isolate for long */
    struct bytes *args;             /* CALL, FETCH; DONE: the exception */
    bool is_fetch;                  /* CALL: of the other's fetch() */
    bool is_of_run;                 /* CALL: of a workflow's run */
    struct code_incoming *incoming; /* FETCH; NULL once it has gone out */
    struct socket_ref socket;       /* CALL: which goes along; id 0: none */
    struct list letters;            /* TELL */
};

/* A body that leaves in pieces. */
struct code_stream {
    struct list link; /* session.streams */
    struct code_session *session;
    uint64_t number; /* the isolate's */
    uint64_t event;
    uint64_t socket; /* the line that it takes */
};
enum code_chunk_end { CODE_CHUNK_GOES_ON, CODE_CHUNK_IS_LAST, CODE_CHUNK_BREAKS_OFF };

struct code_who {
    const struct identity *identity;
    const struct address *address; /* of address_text */
    struct bytes *address_text;
};

/* code_host.c */
/* The session of an actor or a module, unless it is idle and of an older version: then that ends. NULL: there
 * is none. */
struct code_session *code_session_current(struct code_host *h, const struct identity *identity);
/* For one more session; false: all are in use. */
bool code_host_make_room(struct code_host *h);

/* code_session.c; `run`: the request of execute, or NULL. */
struct code_session *code_session_new(struct code_host *h, struct shard *shard,
                                      const struct code_who *who, const struct request *run);
void code_session_end(struct code_session *s, enum code_ending how, enum err err);
/* Logs an exception that nobody caught, and returns it as it is shown: the caller's. */
struct bytes *code_session_thrown(struct code_session *s, struct slice exception);
/* Those that the isolate has get the exception, in doubt; those that it has not may be tried again. */
void code_session_cut(struct code_session *s, enum code_ending how, struct slice exception);
void code_session_fail_start(struct code_session *s, enum code_ending how, struct slice exception);
void code_session_stop_run(struct code_session *s, enum code_ending how);
/* The statistics have all of the CPU time that its process took so far. */
void code_session_charge(struct code_session *s, const struct code_usage *usage);
struct code_session *code_session_find(const struct code_host *h, const struct identity *identity);
void code_session_free_if_over(struct code_session *s);
void code_session_start(struct code_session *s, struct slice run_body);
void code_session_started(struct code_session *s); /* STARTED came */
void code_session_deliver(struct code_session *s); /* events that wait, as far as they may go */
void code_session_touch(struct code_session *s);
void code_session_pace(struct code_session *s); /* its isolate is read as long as there is room */

/* It has come to the end of something: from here on its CPU time counts anew. */
void code_session_note_progress(struct code_session *s);

/* code_event.c */
struct code_event *code_event_new(struct code_session *s, struct request *r, uint32_t timeout_ms);
struct code_event *code_event_new_of_socket(struct code_session *s, struct socket_event *of);
void code_event_free(struct code_event *e);
void code_event_move(struct code_event *e, enum code_event_stage to);
struct code_event *code_event_find(const struct code_session *s, uint64_t id);
void code_event_answer(struct code_event *e); /* its request's reply is complete */
void code_event_fail(struct code_event *e, enum err err, struct slice exception);
void code_event_done(struct code_session *s, struct value_iter *frame);  /* DONE came */
void code_event_chunk(struct code_session *s, struct value_iter *frame); /* CHUNK came */
void code_give_credit(struct code_session *s, uint64_t stream, size_t bytes);
void code_event_time_out(struct code_event *e);
void code_event_cancel(struct code_event *e); /* its client is gone */

/* code_ask.c */
void code_ask(struct code_session *s, struct value_iter *frame);   /* ASK came */
void code_write(struct code_session *s, struct value_iter *frame); /* WRITE came */
void code_write_first(struct code_session *s, struct slice writes);

void code_call_actor(struct code_call *call, const struct code_turn *t);

/* code_stream.c */
/* The event's answer has a body with that number; false: it is to be collected. */
bool code_stream_open(struct code_event *e, uint64_t number);
/* False: there is none of that number. */
bool code_stream_chunk(struct code_session *s, uint64_t number, struct slice bytes,
                       enum code_chunk_end end);
void code_stream_drained(struct code_session *s, uint64_t socket, size_t bytes);
void code_stream_cancel(struct code_session *s, uint64_t socket);
void code_stream_drop_all(struct code_session *s);

/* code_incoming.c */
struct code_incoming *code_incoming_new(struct code_session *s, uint64_t ask); /* NULL: too many */
void code_incoming_free(struct code_incoming *in);
void code_incoming_begin(struct code_incoming *in, struct slice args);       /* its turn is back */
void code_incoming_credit(struct code_session *s, struct value_iter *frame); /* CREDIT came */
/* TELL came; false: it is malformed. */
bool code_incoming_cancelled(struct code_session *s, struct slice args);
void code_incoming_session_over(struct code_session *s);

/* code_socket.c */
/* To a line, behind what was written before. `said` is copied, but for its link and data. */
void code_socket_post(struct code_session *s, const struct code_letter *said, struct slice data);
/* TELL came; false: it is malformed. */
bool code_socket_tell(struct code_session *s, struct slice type, struct slice args);
void code_socket_ask_time(struct code_session *s, uint64_t ask, struct slice args);
void code_socket_say(struct code_session *s, struct list *letters); /* and frees them */
void code_socket_drop_letters(struct code_session *s, struct list *letters);
enum err
code_socket_offer(struct code_event *e) MUST_CHECK; /* to the code that the event goes to */
/* The event is over: the code has answered with the socket, or has not. */
void code_socket_settle(struct code_event *e, bool is_accepted);
void code_socket_event_over(struct code_event *e, bool is_done);
void code_socket_session_over(struct code_session *s, enum err err, bool fails_all);
void code_socket_give_up(struct code_host *h, const struct shard *shard); /* NULL: all */
struct socket_set *code_socket_set_of(const struct code_session *s);      /* NULL: it has none */

/* code_run.c */
void code_run_outcome(const struct code_session *s, struct slice result, struct buf *out);
/* What ended a run: "cpu_exceeded", ... or an exception, which is a document. */
void code_run_error(const struct code_session *s, const char *code, struct slice exception,
                    struct buf *out);
void code_run_log(struct code_session *s, struct slice level, struct slice text);

/* code_turn.c */
struct request *code_turn_new(struct code_session *s, enum request_kind kind,
                              enum code_turn_kind what, struct code_turn **ret_turn);
void code_turn_submit(struct request *r);
void code_turn_is_back(struct code_session *s); /* a turn or a call: the session may be gone then */
void code_answer(struct code_session *s, uint64_t ask, bool is_ok, struct slice payload);
void code_answer_error(struct code_session *s, uint64_t ask, const struct reply *reply);
/* What the prelude itself has thrown has the code of an error of the contract. */
enum err code_exception_err(struct slice exception);

/* code_frame.c */
enum { CODE_FRAME_DEPTH = 8 }; /* of what the host reads; values of users are bytes in it */
void code_frame_begin(struct buf *out, uint8_t kind, uint64_t id, uint32_t items);
void code_frame_send(struct code_session *s, struct buf *frame); /* and frees it */
void code_frame_start(const struct code_session *s, const struct code_class *c, struct buf *out);
bool code_frame_start_run(const struct code_session *s, struct slice body, struct buf *out);
void code_frame_event(const struct code_event *e, struct buf *out);
void code_bad_frame(struct code_session *s); /* the isolate broke the protocol: it is killed */

#endif
