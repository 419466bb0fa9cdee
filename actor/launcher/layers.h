/* The file systems of sandboxes: layers, which are erofs images and mounted once for all sandboxes that use them, and
 * disks, which are ext4 images and mounted for one.
 *
 * A layer's mount stands in a private mount namespace of the launcher, below LAYERS_ROOT; the least recently used goes
 * where there are too many, and lives on in the sandboxes that have it. Disks are never attached: a descriptor is all
 * there is of them. */
#ifndef ACTOR_LAUNCHER_LAYERS_H
#define ACTOR_LAUNCHER_LAYERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LAYERS_ROOT "/tmp"

enum { LAYERS_MOUNTED_MAX = 64 };

struct layer {
    bool is_used;
    dev_t dev; /* of the image's file, which the mount keeps */
    ino_t ino;
    uint64_t used; /* when, in requests */
};

struct layers {
    bool is_ready;
    uint64_t clock;
    struct layer mounted[LAYERS_MOUNTED_MAX];
};

/* A private mount namespace with an empty LAYERS_ROOT. False: sandboxes cannot have layers. */
bool layers_init(struct layers *l);

/* A copy of the layer's mount, attached nowhere, which appears with the ids of the user namespace. 0 or an errno. */
int layers_take(struct layers *l, int file, int userns, int *ret_mount);

/* A disk's image, mounted and attached nowhere, with the directories upper and work. 0 or an errno. */
int disk_mount(int file, bool is_new, int *ret_mount);

#endif
