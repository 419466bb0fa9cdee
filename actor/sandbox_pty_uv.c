#include "actor/sandbox_pty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "actor/sandbox_machine_own_uv.h"
#include "base/invariant.h"
#include "base/mem.h"

enum {
    PTY_MAGIC = 0x73627401,
    READ_BYTES = 64 * 1024,
    READS_AT_ONCE = 16, /* a terminal gives at most 4 KiB each: then others have a turn */
};

struct pty {
    uint32_t magic;
    uv_poll_t poll;
    int fd;
    const struct pty_hooks *hooks;
    void *ctx;
    bool wants_output;
    bool wants_room;
    bool is_hung_up; /* nobody has its inner side */
    bool is_freed;
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct pty *p)
{
    int events = (p->wants_output && !p->is_hung_up ? UV_READABLE : 0) |
                 (p->wants_room && !p->is_hung_up ? UV_WRITABLE : 0);
    int rc = events != 0 ? uv_poll_start(&p->poll, events, on_poll) : uv_poll_stop(&p->poll);
    INVARIANT(rc == 0);
}

/* False: there is no more now. */
static bool read_some(struct pty *p, size_t *ret_bytes)
{
    static _Thread_local uint8_t bytes[READ_BYTES];
    ssize_t n = read(p->fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0) {
        p->is_hung_up = true;
        return false;
    }
    *ret_bytes += (size_t)n;
    p->hooks->output(p->ctx, slice_of(bytes, (size_t)n));
    return true;
}

static void on_closed(uv_handle_t *handle)
{
    struct pty *p = handle->data;
    p->magic = 0;
    mem_free(p);
}

/* The hooks may free it: its memory stays until the loop's next turn. */
static void on_poll(uv_poll_t *poll, int status, int events)
{
    OBJ_CAST(pty, poll->data, PTY_MAGIC);
    struct pty *p = pty;
    size_t bytes = 0;
    bool is_readable = status != 0 || (events & UV_READABLE) != 0;
    for (int i = 0; i < READS_AT_ONCE && is_readable && !p->is_freed && p->wants_output; i++) {
        is_readable = read_some(p, &bytes);
    }
    if (!p->is_freed && p->wants_room && (events & UV_WRITABLE) != 0) {
        p->wants_room = false;
        p->hooks->writable(p->ctx);
    }
    if (!p->is_freed) {
        watch(p);
    }
}

struct pty *pty_new(struct machine *m, int fd, const struct pty_hooks *hooks, void *ctx)
{
    int flags = fcntl(fd, F_GETFL);
    bool is_terminal = isatty(fd) == 1 && flags >= 0 && (flags & O_ACCMODE) == O_RDWR &&
                       fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
    struct pty *p = MEM_NEW(struct pty);
    if (!is_terminal || uv_poll_init(m->owner->loop, &p->poll, fd) != 0) {
        (void)close(fd);
        mem_free(p);
        return NULL;
    }
    p->magic = PTY_MAGIC;
    p->fd = fd;
    p->hooks = hooks;
    p->ctx = ctx;
    p->poll.data = p;
    p->wants_output = true;
    watch(p);
    return p;
}

void pty_free(struct pty *p)
{
    if (p != NULL) {
        p->is_freed = true;
        uv_close((uv_handle_t *)&p->poll, on_closed);
        (void)close(p->fd);
    }
}

void pty_read(struct pty *p, bool wants_output)
{
    if (p->wants_output != wants_output) {
        p->wants_output = wants_output;
        watch(p);
    }
}

void pty_drain(struct pty *p, size_t bytes_max)
{
    size_t bytes = 0;
    while (bytes < bytes_max && read_some(p, &bytes)) {
    }
}

size_t pty_write(struct pty *p, struct slice bytes)
{
    size_t done = 0;
    while (done < bytes.len && !p->is_hung_up) {
        ssize_t n = write(p->fd, bytes.data + done, bytes.len - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno == EAGAIN) {
            p->wants_room = true;
            watch(p);
            return done;
        } else if (errno != EINTR) {
            return bytes.len; /* nobody is there to read it */
        }
    }
    return p->is_hung_up ? bytes.len : done;
}

void pty_resize(struct pty *p, uint16_t columns, uint16_t rows)
{
    const struct winsize size = {.ws_col = columns, .ws_row = rows};
    (void)ioctl(p->fd, TIOCSWINSZ, &size); /* of one that hung up: nobody sees it */
}
