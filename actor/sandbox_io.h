/* Reading and writing files of sandboxes by their descriptors, on threads of the loop's pool. */
#ifndef ACTOR_SANDBOX_IO_H
#define ACTOR_SANDBOX_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/slice.h"

struct machines;
struct sandbox_io;

enum { SANDBOX_IO_BYTES = 256 * 1024 };

/* What a descriptor that came out of a sandbox is: nothing else may be read or written. */
enum sandbox_file_kind { SANDBOX_FILE_REGULAR, SANDBOX_FILE_FOLDER, SANDBOX_FILE_OTHER };
enum sandbox_file_kind sandbox_file_kind(int fd, uint64_t *ret_bytes);

/* Takes the descriptor. Bytes come one piece after the other, each after sandbox_io_more but the first; `bytes` is
 * shorter than SANDBOX_IO_BYTES at the end alone. It is freed after the end, or an errno. */
struct sandbox_io *
sandbox_io_read(struct machines *ms, int fd,
                void (*done)(void *ctx, int error, struct slice bytes, bool is_end), void *ctx);
void sandbox_io_more(struct sandbox_io *io);
/* Takes the descriptor. All of it is written, or an errno; it is freed then. */
struct sandbox_io *
sandbox_io_write(struct machines *ms, int fd, struct bytes *data, struct slice part,
                 void (*done)(void *ctx, int error, struct slice none, bool is_end), void *ctx);
void sandbox_io_forget(struct sandbox_io *io); /* nothing more is heard of it; NULL is fine */

#endif
