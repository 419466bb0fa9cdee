/* /agents/{class in kebab case}/{name}: the addresses of the npm package `agents`, whose clients know no namespace.
 * Pure.
 *
 *     /agents/chat-room/lobby/x?ns=app  is  /v1/app/ChatRoom/lobby/fetch/agents/chat-room/lobby/x?ns=app
 *
 * and …/ws/… for a WebSocket. The namespace is that of the parameter `ns`, or the only one that has such a class. */
#ifndef NODE_AGENT_PATH_H
#define NODE_AGENT_PATH_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "node/cluster_view.h"

bool agent_path_is_one(struct slice path);

/* Appends the target that it stands for. ERR_BAD_REQUEST, ERR_NO_SUCH_CLASS, ERR_NOT_FOUND: static text says why. */
enum err agent_path_resolve(const struct cluster_view *v, struct slice path, struct slice query,
                            bool wants_socket, struct buf *out, const char **ret_detail) MUST_CHECK;

/* Whether the class's name is that in kebab case, as clients make it. */
bool agent_path_is_kebab_of(struct slice kebab, struct slice class);

#endif
