/* Answers: from the reply of an actor to what the client reads. */
#ifndef NODE_ANSWER_H
#define NODE_ANSWER_H

#include "actor/request.h"
#include "node/client_body.h"
#include "node/client_socket.h"
#include "node/decode.h"
#include "rpc/http.h"

/* Answers the exchange with the request's reply, in the form that the client accepts. */
void answer_reply(struct http_exchange *x, const struct request *r, enum body_form form);

/* The exchange goes on as the socket that the actor has accepted. */
void answer_with_socket(struct client_socket *c, const struct request *r);
/* It is answered with a body that comes in pieces. */
void answer_with_body(struct client_body *c, const struct request *r);
/* An answer for which its address has no room becomes an error that says so. */
void answer_limit(const struct http_exchange *x, struct request *r);

/* The same in two steps, where showing the reply takes long: the first may run on any thread. */
struct shown {
    struct bytes *body; /* the caller's reference; NULL: there is none */
    size_t at;          /* where in it the body begins */
    struct slice type;  /* static */
};
bool answer_is_dear(const struct request *r, enum body_form form);
void answer_show(const struct request *r, enum body_form form, struct shown *ret_shown);
void answer_shown(struct http_exchange *x, const struct request *r, const struct shown *shown);

void answer_error(struct http_exchange *x, const struct decode_error *e);

/* An error with nothing more to say; an overload is that of the tasks between workers. */
void answer_err(struct http_exchange *x, enum err err);

/* 401, with WWW-Authenticate (RFC 6750). */
void answer_unauthenticated(struct http_exchange *x, const char *detail);

/* 405, with Allow. */
void answer_not_allowed(struct http_exchange *x, const char *methods);

/* A msgpack document as JSON or msgpack. */
void answer_document(struct http_exchange *x, int status, struct slice document,
                     enum body_form form);

#endif
