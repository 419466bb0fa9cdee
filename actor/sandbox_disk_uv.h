/* Disks of sandboxes: the files that hold what their programs have changed, each an ext4 file system of a fixed size,
 * which is the quota. They live in one folder, named by whoever asks; a few of the usual size are kept mounted ahead.
 *
 * A new one is a copy of a template of its size, of which only what is not empty is copied. */
#ifndef ACTOR_SANDBOX_DISK_UV_H
#define ACTOR_SANDBOX_DISK_UV_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "actor/launch.h"
#include "actor/sandbox_disk.h"
#include "base/list.h"

enum { DISKS_WARM = 3 };

struct disks {
    uv_loop_t *loop;
    const struct launch *launch;
    char folder[SANDBOX_PATH_BYTES];
    char layers[SANDBOX_PATH_BYTES]; /* the folder of layers (actor/sandbox_layers.h) */
    struct list packs;               /* under way */
    struct list asks;                /* likewise */
    struct list warm;                /* of the usual size, mounted */
    size_t warm_count;               /* of them, and of those that will be */
    bool is_closed;
    bool has_some; /* files of sandboxes, or may have */
    bool warms;    /* they are wanted: there have been sandboxes */
};

/* The folders are made with the first disk. Several workers may have the same one. */
void disks_open(struct disks *d, uv_loop_t *loop, const struct launch *launch, const char *folder,
                const char *layers);
/* What an end of the process has left there half made: before the first of them is opened. */
void disks_clean(const char *folder);
void disks_close(struct disks *d);
void layers_close(struct disks *d); /* by disks_close */

#endif
