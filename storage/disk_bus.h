/* Pages of mapped files that cannot be read.
 *
 * LMDB reads its files through a map, where an error of the disk is no error code but SIGBUS. It is the end
 * like any other error of the disk: one line that names file and offset, and exit code 74. A SIGBUS of
 * another kind is a mistake of ours and ends the process as it would without this. */
#ifndef STORAGE_DISK_BUS_H
#define STORAGE_DISK_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For the whole process, once, before there are maps. */
void disk_bus_catch(void);

/* Where an address lies, by a line of /proc/self/maps. False: not in that line's map, or it is of no file. The
 * path is borrowed from the line and goes up to its end. */
struct disk_bus_place {
    const char *path;
    uint64_t offset;
};
bool disk_bus_find(const char *line, uint64_t address, struct disk_bus_place *ret_place);

#endif
