#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "actor/sandbox_io.h"
#include "actor/sandbox_machine_uv.h"
#include "base/invariant.h"
#include "base/mem.h"

struct sandbox_io {
    uv_loop_t *loop;
    uv_work_t work;
    bool is_running; /* a thread has it */
    bool is_forgotten;
    int fd;
    off_t at;
    int error;
    struct bytes *data; /* of a write */
    struct slice part;
    size_t len;
    void (*done)(void *ctx, int error, struct slice bytes, bool is_end);
    void *ctx;
    uint8_t bytes[SANDBOX_IO_BYTES]; /* of a read */
};

/* A process may have put anything there: no pipes, no devices, no files of proc that mean the reader. */
enum sandbox_file_kind sandbox_file_kind(int fd, uint64_t *ret_bytes)
{
    struct stat st;
    struct statfs fs;
    if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0 ||
        (fs.f_type != OVERLAYFS_SUPER_MAGIC && fs.f_type != TMPFS_MAGIC)) {
        return SANDBOX_FILE_OTHER;
    }
    *ret_bytes = (uint64_t)st.st_size;
    return S_ISREG(st.st_mode)   ? SANDBOX_FILE_REGULAR
           : S_ISDIR(st.st_mode) ? SANDBOX_FILE_FOLDER
                                 : SANDBOX_FILE_OTHER;
}

static void io_free(struct sandbox_io *io)
{
    (void)close(io->fd);
    bytes_unref(io->data);
    mem_free(io);
}

static void read_on_thread(uv_work_t *work)
{
    struct sandbox_io *io = work->data;
    io->len = 0;
    while (io->len < sizeof io->bytes) {
        ssize_t n = pread(io->fd, io->bytes + io->len, sizeof io->bytes - io->len, io->at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        io->error = n < 0 ? errno : 0;
        if (n <= 0) {
            return;
        }
        io->len += (size_t)n;
        io->at += n;
    }
}

static void write_on_thread(uv_work_t *work)
{
    struct sandbox_io *io = work->data;
    while (io->len < io->part.len) {
        ssize_t n = write(io->fd, io->part.data + io->len, io->part.len - io->len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            io->error = errno;
            return;
        }
        io->len += (size_t)n;
    }
}

static void on_done(uv_work_t *work, int status)
{
    struct sandbox_io *io = work->data;
    bool is_end = io->data != NULL || io->error != 0 || io->len < sizeof io->bytes;
    (void)status;
    io->is_running = false;
    if (!io->is_forgotten) {
        io->done(io->ctx, io->error, io->data != NULL ? SLICE("") : slice_of(io->bytes, io->len),
                 is_end);
        is_end = is_end || io->is_forgotten;
    } else {
        is_end = true;
    }
    if (is_end && !io->is_running) {
        io_free(io);
    }
}

static void start(struct sandbox_io *io, uv_work_cb run)
{
    io->is_running = true;
    int rc = uv_queue_work(io->loop, &io->work, run, on_done);
    INVARIANT(rc == 0);
}

static struct sandbox_io *
io_new(struct machines *ms, int fd,
       void (*done)(void *ctx, int error, struct slice bytes, bool is_end), void *ctx)
{
    struct sandbox_io *io = mem_zalloc(sizeof *io);
    io->loop = ms->loop;
    io->fd = fd;
    io->done = done;
    io->ctx = ctx;
    io->work.data = io;
    return io;
}

struct sandbox_io *
sandbox_io_read(struct machines *ms, int fd,
                void (*done)(void *ctx, int error, struct slice bytes, bool is_end), void *ctx)
{
    struct sandbox_io *io = io_new(ms, fd, done, ctx);
    start(io, read_on_thread);
    return io;
}

void sandbox_io_more(struct sandbox_io *io)
{
    start(io, read_on_thread);
}

struct sandbox_io *
sandbox_io_write(struct machines *ms, int fd, struct bytes *data, struct slice part,
                 void (*done)(void *ctx, int error, struct slice none, bool is_end), void *ctx)
{
    struct sandbox_io *io = io_new(ms, fd, done, ctx);
    io->data = bytes_ref(data);
    io->part = part;
    start(io, write_on_thread);
    return io;
}

void sandbox_io_forget(struct sandbox_io *io)
{
    if (io == NULL) {
        return;
    }
    io->is_forgotten = true;
    if (!io->is_running) {
        io_free(io);
    }
}
