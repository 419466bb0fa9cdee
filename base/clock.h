/* Clocks of this machine. Logic never calls these: it is given `now_ms` by the edge that does. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_mono_ms(void);
uint64_t clock_wall_ms(void); /* since the epoch */

/* CPU time, in user and system, of a process; 0 where it is gone or not ours to look at. */
uint64_t clock_process_us(int32_t pid);

#endif
