/* Disks of sandboxes, as their host asks for them (actor/sandbox_disk_uv.h). */
#ifndef ACTOR_SANDBOX_DISK_H
#define ACTOR_SANDBOX_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/err.h"

struct disks;
struct disk_ask;

enum {
    SANDBOX_PATH_BYTES = 512,
    SANDBOX_NAME_BYTES = 40, /* of a disk's file: 32 hexadecimal digits */
    DISK_MB_DEFAULT = 2048,
};

/* Its mount, the callee's; or an error and one clause. */
typedef void (*disk_cb)(void *ctx, enum err err, int mount, const char *why);

/* The disk of that name, made where there is none. Called back later, never from inside. */
struct disk_ask *disk_take(struct disks *d, const char *name, uint32_t disk_mb, disk_cb cb,
                           void *ctx);
/* The mount of a new one that was kept warm; -1: there is none, or there is a disk of that name. */
int disk_take_warm(struct disks *d, const char *name, uint32_t disk_mb);
void disk_warm_up(
    struct disks *d); /* makes those that are missing, where there have been sandboxes */
void disk_forget(struct disk_ask *a); /* nobody waits for it any more; NULL is fine */
/* The name of the disk of an actor's sandbox. */
void disk_name(const struct identity *actor, const uint8_t *id, char ret_name[SANDBOX_NAME_BYTES]);
/* All of an actor's, and what its sandboxes have put away. */
void disks_remove_of(struct disks *d, const struct identity *actor);
void disk_remove(struct disks *d, const char *name);
uint64_t disk_bytes(const struct disks *d, const char *name); /* that it takes on the node */
bool disk_exists(const struct disks *d, const char *name);

#endif
