/* What the process manager that started the node is told, in the words of sd_notify(3): a message a
 * datagram, to the socket in NOTIFY_SOCKET. Where there is no manager, or it does not take a message,
 * nothing happens: a node runs the same without. For the main thread; sending may block, so no lock is
 * held meanwhile. */
#ifndef NODE_NOTIFY_H
#define NODE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

bool notify_is_heard(void);
uint64_t
notify_watchdog_ms(void); /* WATCHDOG_USEC: how long the node may be silent; 0: without end */

void notify_starting(void);
void notify_more_time(uint64_t ms); /* to start, from now */
void notify_ready(const char *url);
void notify_alive(void);
void notify_stopping(void);

#endif
