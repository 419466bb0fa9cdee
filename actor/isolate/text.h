/* Text between the engine's UTF-16 and UTF-8, by ICU, with the replacements that the Encoding standard
 * asks for: a lone surrogate, or each maximal part of malformed UTF-8, becomes U+FFFD. */
#ifndef ACTOR_ISOLATE_TEXT_H
#define ACTOR_ISOLATE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

bool text_is_ascii(struct slice s); /* no byte over 0x7f */

void text_append_utf8(struct buf *b, const uint16_t *units, size_t count);

/* *ret holds *ret_count units. False: it is fatal, and the text is malformed. */
bool text_to_utf16(struct slice utf8, bool is_fatal, struct buf *ret, size_t *ret_count);

#endif
