/* The name server of a sandbox: every name is the broker's transparent address. Nothing is asked of anybody, so
 * no query leaves; what a name stands for, and whether it may be asked, is the broker's to find out when it is
 * asked for.
 *
 *     A      the address           AAAA, HTTPS and any other   no data (NOERROR, no answer)
 *     more or fewer than one question, a malformed name, another class or opcode: an error, or silence
 *
 * Pure. */
#ifndef ACTOR_EGRESS_DNS_H
#define ACTOR_EGRESS_DNS_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { DNS_QUERY_BYTES_MAX = 4096, DNS_ANSWER_BYTES_MAX = 512, DNS_TTL_SECONDS = 60 };

#define DNS_TRANSPARENT_ADDRESS "198.18.0.1"

/* How many bytes the answer has; 0: none is due. */
size_t dns_answer(struct slice query, uint8_t ret_answer[DNS_ANSWER_BYTES_MAX]);

#endif
