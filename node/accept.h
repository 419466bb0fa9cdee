/* What Accept asks for (RFC 9110, 12.5.1). Pure. */
#ifndef NODE_ACCEPT_H
#define NODE_ACCEPT_H

#include "rpc/http.h"

/* How bodies are written to this client. */
enum body_form { FORM_UNSAID, FORM_JSON, FORM_MSGPACK };

/* The better of JSON and msgpack, JSON where they are alike; FORM_UNSAID where it names neither. */
enum body_form accepted_form(const struct http_request *h);

#endif
