/* A callee of rpc/http.h for tests: keeps the exchanges it was given and counts what else it is
 * told, so that a test answers when it wants to. */
#ifndef TESTS_LIB_HTTP_CALLEE_H
#define TESTS_LIB_HTTP_CALLEE_H

#include "base/buf.h"
#include "rpc/http.h"

enum { HTTP_CALLEE_EXCHANGES_MAX = 1024 };

struct http_callee {
    struct http_conn *conn;
    struct http_exchange *open[HTTP_CALLEE_EXCHANGES_MAX]; /* in the order of their arrival */
    size_t open_count;
    size_t request_count; /* ever */
    size_t cancel_count;
    size_t writable_count;
    size_t output_count;
    bool answers_at_once; /* 200 "ok" inside on_request */
    bool rests;           /* after each request, until output is asked for */
    struct buf sent;      /* all output so far */
    struct buf data;      /* what sockets have said ... */
    size_t ended_count;   /* ... and how many of them have said the last */
    bool keeps_data;      /* it does not consume what comes, nor end what has ended */
    uint64_t now_ms;
};

void http_callee_init(struct http_callee *callee, const struct http_limits *limits);
void http_callee_done(struct http_callee *callee);

void http_callee_recv(struct http_callee *callee, struct slice in);
void http_callee_flush(struct http_callee *callee); /* all output goes to `sent` */

/* The i-th open one; fails the test where there is none. */
struct http_exchange *http_callee_open(struct http_callee *callee, size_t i);
/* Answers the oldest open exchange. */
void http_callee_respond(struct http_callee *callee, int status, const char *body);
/* The callee's books: the exchange is no longer its own. */
void http_callee_forget(struct http_callee *callee, struct http_exchange *x);

#endif
