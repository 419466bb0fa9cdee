/* The layers of a node: what sandboxes have put away, as erofs images in files that their SHA-256 names.
 *
 *     layers/<hash>            the image
 *     layers/<hash>.<disk>     the same file again (a hard link): the sandbox of that disk's name uses it
 *
 * An image goes when nobody uses it any more. What another node has put away is not here yet: bringing it is for
 * whoever replicates layers, between layer_open and its caller. */
#ifndef ACTOR_SANDBOX_LAYERS_H
#define ACTOR_SANDBOX_LAYERS_H

#include <stdbool.h>

#include "actor/sandbox_disk.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/slice.h"

struct pack;

enum { LAYER_NAME_BYTES = 2 * DIGEST_BYTES + 1 };

/* Packs the upper layer of the disk of that name, which nothing may be writing to. `hash` is empty where there is
 * nothing in it; else it is used by that disk from then on. Called back later. */
typedef void (*pack_cb)(void *ctx, enum err err, const char *hash, const char *why);
struct pack *layer_pack(struct disks *d, const char *disk, pack_cb cb, void *ctx);
void layer_pack_forget(struct pack *p); /* NULL is fine */

int layer_open(const struct disks *d, struct slice hash); /* -1: it is not here */
/* ERR_UNAVAILABLE: it is not here. */
enum err layer_use(struct disks *d, struct slice hash, const char *disk) MUST_CHECK;
void layer_release(struct disks *d, struct slice hash, const char *disk);

#endif
