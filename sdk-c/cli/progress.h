/* A line on standard error about what takes longer than a second; only where that is a terminal.
 *
 * Shown by a thread of its own, because calls of the SDK block: what it says is under the mutex.
 * Without progress_begin, or without a terminal, the other functions do nothing. */
#ifndef SDK_C_CLI_PROGRESS_H
#define SDK_C_CLI_PROGRESS_H

#include <stdint.h>

/* "waiting for ..."; starts counting the seconds. A second one replaces the text. */
void progress_begin(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What has been done so far, behind the text; counting goes on. */
void progress_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Clears the line before something else is printed; it comes back with the next second. */
void progress_hide(void);
/* Clears the line and ends the thread. */
void progress_end(void);

#endif
