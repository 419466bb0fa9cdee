/* The public error, filled from an answer, from a failed transport, or by hand. */
#ifndef SDK_C_ERROR_H
#define SDK_C_ERROR_H

#include "base/err.h"
#include "rpc/client.h"
#include "sdk-c/dormouse.h"

/* Each returns the kind that it has set. `e` is written whole. */
enum dormouse_code error_set(struct dormouse_error *e, enum dormouse_code kind, const char *format,
                             ...) PRINTF_LIKE(3, 4);
enum dormouse_code error_from_transport(struct dormouse_error *e, enum err err, const char *detail,
                                        bool is_reading);
/* An answer of 400 or more; what is no problem+json is judged by its status. */
enum dormouse_code error_from_answer(struct dormouse_error *e, const struct client_response *r,
                                     bool is_reading);

void error_clear(struct dormouse_error *e);

#endif
