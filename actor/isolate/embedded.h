/* Scripts that are part of the program, as bytes. */
#ifndef ACTOR_ISOLATE_EMBEDDED_H
#define ACTOR_ISOLATE_EMBEDDED_H

#include "base/slice.h"

struct slice embedded_prelude(void); /* the bundle of prelude/ */
struct slice embedded_random(void);  /* random.js */

#endif
