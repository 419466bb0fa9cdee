/* How many workers a node has where nobody says: those that its data has; of new data, one for each
 * processor but one, which is left to the helper threads. */
#ifndef NODE_WORKER_COUNT_H
#define NODE_WORKER_COUNT_H

#include <stdint.h>

/* For new data: at least 1, and no more than `max_disk` (0: no limit) has room for. */
uint32_t worker_count_default(uint32_t processor_count, uint64_t max_disk);

uint32_t worker_count_processors(void); /* that this process may run on */

#endif
