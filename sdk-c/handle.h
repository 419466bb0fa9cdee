/* What a handle holds. Everything is set once in dormouse_new; libcurl's connections change below. */
#ifndef SDK_C_HANDLE_H
#define SDK_C_HANDLE_H

#include "rpc/client.h"
#include "sdk-c/dormouse.h"

struct dormouse {
    struct client *client;
    char *authorization; /* "Bearer ..." or NULL */
    uint32_t deadline_ms;
    bool no_retries;
};

#endif
