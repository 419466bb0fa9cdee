/* What the files of socket sets share; for nobody else. */
#ifndef ACTOR_SOCKET_OWN_H
#define ACTOR_SOCKET_OWN_H

#include "actor/socket_set.h"

/* socket_set.c */
void socket_move(struct actor_socket *s, enum socket_state to);
void socket_free_if_over(struct actor_socket *s); /* its set may be gone then too */
/* The set of an actor, made where there is none; whoever adds nothing to it calls the second. */
struct socket_set *socket_set_of(struct socket_sets *s, const struct identity *identity,
                                 const struct address *address, uint32_t shard);
void socket_set_free_if_empty(struct socket_set *set);
/* ERR_OVERLOADED: there are too many, or one of this id. */
enum err socket_add(struct socket_set *set, struct socket_ref ref,
                    struct actor_socket **ret_socket) MUST_CHECK;
enum err socket_set_tags(struct actor_socket *s, const struct slice *tags, size_t count) MUST_CHECK;
enum err socket_check_auto(struct slice request, struct slice response) MUST_CHECK;
/* Ours to say, in whatever state: an answer, or the first word. */
void socket_close_now(struct actor_socket *s, uint16_t code, struct slice reason);

/* socket_event.c */
void socket_event_free(struct socket_event *e);
/* What waits is not heard, since what was before it is missing: messages, or all of it. */
void socket_drop_waiting(struct actor_socket *s);
bool socket_event_is_waiting(const struct socket_event *e);

static inline struct bytes *bytes_or_null(struct slice s)
{
    return s.len > 0 ? bytes_new(s) : NULL;
}

#endif
