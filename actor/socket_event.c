/* What comes from clients, on its way to the code of their actor. */
#include "actor/socket_own.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/websocket.h"

bool socket_event_is_waiting(const struct socket_event *e)
{
    return !list_is_empty(&e->waiting);
}

static void stop_waiting(struct socket_event *e)
{
    if (socket_event_is_waiting(e)) {
        list_remove(&e->waiting);
        e->socket->set->waiting_count--;
    }
}

void socket_event_free(struct socket_event *e)
{
    stop_waiting(e);
    list_remove(&e->link);
    bytes_unref(e->data);
    mem_free(e);
}

/* Those at the head that are done are told to the client's end. */
static void sweep(struct actor_socket *s)
{
    struct socket_event *e;
    while ((e = LIST_FIRST(&s->events, struct socket_event, link)) != NULL && e->is_done) {
        socket_event_free(e);
        s->set->owner->hooks->taken(s->set->owner->ctx, s);
    }
}

static struct socket_event *event_new(struct actor_socket *s, enum socket_event_kind kind,
                                      struct bytes *data)
{
    struct socket_event *e = MEM_NEW(struct socket_event);
    e->socket = s;
    e->kind = kind;
    e->data = bytes_ref(data);
    list_init(&e->waiting);
    list_init(&e->link);
    list_append(&s->events, &e->link);
    return e;
}

static void wait(struct socket_event *e)
{
    struct socket_set *set = e->socket->set;
    list_append(&set->waiting, &e->waiting);
    set->waiting_count++;
    if (set->owner->ready != NULL) {
        set->owner->ready(set->owner->host_ctx, set);
    }
}

/* Nobody need see it; it counts behind those that came before it. */
static void pass_over(struct actor_socket *s)
{
    event_new(s, SOCKET_MESSAGE, NULL)->is_done = true;
    sweep(s);
}

void socket_drop_waiting(struct actor_socket *s)
{
    LIST_FOREACH (link, &s->events) {
        struct socket_event *e = LIST_ENTRY(link, struct socket_event, link);
        if ((e->kind == SOCKET_MESSAGE || s->is_deaf) && socket_event_is_waiting(e)) {
            stop_waiting(e);
            e->is_done = true;
        }
    }
    sweep(s);
    socket_free_if_over(s);
}

/* The code host's side */

struct socket_event *socket_set_next(struct socket_set *set)
{
    struct socket_event *e = LIST_FIRST(&set->waiting, struct socket_event, waiting);
    if (e != NULL) {
        stop_waiting(e);
    }
    return e;
}

void socket_event_back(struct socket_event *e)
{
    PRE(!socket_event_is_waiting(e) && !e->is_done);
    struct socket_set *set = e->socket->set;
    list_prepend(&set->waiting, &e->waiting);
    set->waiting_count++;
}

void socket_event_done(struct socket_event *e)
{
    PRE(!socket_event_is_waiting(e) && !e->is_done);
    struct actor_socket *s = e->socket;
    if (e->kind == SOCKET_CLOSED && s->state == SOCKET_ASKED) {
        socket_close_now(s, s->close_code, (struct slice){0}); /* the code has not answered it */
    }
    e->is_done = true;
    sweep(s);
    socket_free_if_over(s);
}

void socket_event_lost(struct socket_event *e)
{
    e->socket->is_in_doubt = e->socket->is_in_doubt || e->kind == SOCKET_MESSAGE;
    socket_event_done(e);
}

/* The client's side */

/* Without the actor: it sleeps on, or does what it does. */
static bool answer_by_itself(struct actor_socket *s, bool is_text, struct bytes *data,
                             uint64_t wall_ms)
{
    struct socket_set *set = s->set;
    if (!is_text || set->auto_request == NULL ||
        !slice_equal(bytes_slice(data), bytes_slice(set->auto_request))) {
        return false;
    }
    s->auto_ms = wall_ms;
    set->owner->hooks->send(set->owner->ctx, s, true, set->auto_response);
    return true;
}

void socket_arrive(struct actor_socket *s, bool is_text, struct bytes *data, uint64_t wall_ms)
{
    if (s->state == SOCKET_OPEN && s->body_hooks != NULL && s->body_hooks->message != NULL) {
        event_new(s, SOCKET_MESSAGE, NULL);
        s->body_hooks->message(s->body_ctx, s, is_text, data);
        return;
    }
    if (s->state != SOCKET_OPEN || answer_by_itself(s, is_text, data, wall_ms)) {
        pass_over(s); /* what crosses our close is not heard */
        return;
    }
    struct socket_event *e = event_new(s, SOCKET_MESSAGE, data);
    e->is_text = is_text;
    wait(e);
}

void socket_message_taken(struct actor_socket *s)
{
    PRE(s->is_body);
    LIST_FOREACH (link, &s->events) {
        struct socket_event *e = LIST_ENTRY(link, struct socket_event, link);
        if (!e->is_done) {
            e->is_done = true;
            break;
        }
    }
    sweep(s);
}

/* Whoever had them wants no more of it. */
static void end_direct(struct actor_socket *s)
{
    if (s->state == SOCKET_ASKED) {
        socket_close_now(s, s->close_code, (struct slice){0});
    }
    LIST_FOREACH (link, &s->events) {
        LIST_ENTRY(link, struct socket_event, link)->is_done = true;
    }
    pass_over(s);
    socket_free_if_over(s);
}

static void arrive_last(struct actor_socket *s, enum socket_event_kind kind, uint16_t code,
                        struct slice text, bool was_clean)
{
    if (s->is_body && s->body_hooks != NULL) {
        s->body_hooks->gone(s->body_ctx, s);
    } else if (s->is_body && s->set->owner->body_gone != NULL) {
        s->set->owner->body_gone(s->set->owner->host_ctx, s);
    }
    if (s->is_body) {
        end_direct(s);
        return;
    }
    if (s->is_deaf) {
        pass_over(s);
        socket_free_if_over(s);
        return;
    }
    struct bytes *data = bytes_or_null(text);
    struct socket_event *e = event_new(s, kind, data);
    bytes_unref(data);
    e->code = code;
    e->was_clean = was_clean;
    wait(e);
}

static bool has_ended(const struct actor_socket *s)
{
    return s->state == SOCKET_ASKED || s->state == SOCKET_GONE;
}

void socket_arrive_close(struct actor_socket *s, uint16_t code, struct slice reason, bool was_clean,
                         bool is_owed)
{
    if (has_ended(s)) {
        pass_over(s);
        return;
    }
    bool is_asked = is_owed && s->state == SOCKET_OPEN;
    s->close_code = websocket_code_may_be_sent(code) ? code : 0;
    socket_move(s, is_asked ? SOCKET_ASKED : SOCKET_GONE);
    arrive_last(s, SOCKET_CLOSED, code, reason, was_clean);
}

void socket_arrive_failure(struct actor_socket *s, struct slice text)
{
    if (has_ended(s)) {
        pass_over(s);
        return;
    }
    socket_move(s, SOCKET_GONE);
    arrive_last(s, SOCKET_FAILED, 0, text, false);
}

void socket_lose(struct actor_socket *s, const char *why)
{
    if (s->state == SOCKET_OFFERED) {
        socket_withdraw(s);
    } else if (s->state == SOCKET_ASKED) {
        socket_move(s, SOCKET_GONE); /* its close has been heard */
        socket_free_if_over(s);
    } else if (s->state != SOCKET_GONE) {
        socket_move(s, SOCKET_GONE);
        arrive_last(s, SOCKET_CLOSED, WEBSOCKET_ABNORMAL, slice_of_str(why), false);
    }
}
