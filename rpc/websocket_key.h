/* The key of a WebSocket's handshake on HTTP/1.1 (RFC 6455, 4.2.2): what the client sends, and what proves
 * that the server has read it. */
#ifndef RPC_WEBSOCKET_KEY_H
#define RPC_WEBSOCKET_KEY_H

#include <stdbool.h>

#include "base/slice.h"

enum { WEBSOCKET_ACCEPT_BYTES = 28 };

bool websocket_key_is_valid(struct slice key); /* base64 of 16 bytes */
void websocket_key_accept(struct slice key, char ret_accept[WEBSOCKET_ACCEPT_BYTES]);

#endif
