/* The files that names and certificates come from, and whether one was replaced since the process locked itself
 * down: it can no longer be read then, and the process has to give way to a new one. */
#ifndef ACTOR_EGRESS_FILES_H
#define ACTOR_EGRESS_FILES_H

#include <stdbool.h>

/* A descriptor that is readable once a file in their folders changes; -1: they cannot be watched. */
int files_watch(const char *ca_file);

/* Takes what the descriptor has; true where one of the files is another one now. */
bool files_changed(int fd);

#endif
