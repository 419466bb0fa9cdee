/* The processes of a machine, and their streams. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "actor/sandbox_machine_own_uv.h"
#include "base/invariant.h"
#include "base/mem.h"

enum {
    READ_BYTES = 64 * 1024,
    READS_AT_ONCE = 4, /* of one stream, before others have a turn */
    PUMPS = 4,
    INPUT = 2, /* of them */
    DRAIN_READS =
        64, /* of one whose process has ended; what others still write is not its output */
};

/* Streams of a process */

static void on_pump_closed(uv_handle_t *handle)
{
    struct machine_pump *p = handle->data;
    p->magic = 0;
    mem_free(p);
}

static void pump_close(struct machine_pump *p)
{
    if (p == NULL) {
        return;
    }
    for (int i = 0; i < PUMPS; i++) {
        if (p->spawn->pumps[i] == p) {
            p->spawn->pumps[i] = NULL;
        }
    }
    p->spawn = NULL;
    uv_close((uv_handle_t *)&p->poll, on_pump_closed);
    (void)close(p->fd);
}

void machine_spawn_finish(struct machine_spawn *s, int error, bool of_folder)
{
    for (int i = 0; i < PUMPS; i++) {
        pump_close(s->pumps[i]);
    }
    buf_done(&s->input);
    list_remove(&s->link);
    s->machine->spawn_count--;
    s->machine = NULL;
    s->closed(s, error, of_folder);
}

/* Bytes to whoever wants them. False: there is nothing more now, or ever (then the pump is closed). */
static bool pump_read(struct machine_pump *p)
{
    static _Thread_local uint8_t bytes[READ_BYTES];
    struct machine_spawn *s = p->spawn;
    ssize_t n = read(p->fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0) {
        pump_close(p);
        return false;
    }
    if (!s->is_abandoned) {
        s->output(s, p->stream, slice_of(bytes, (size_t)n));
    }
    return true;
}

/* The process has ended: what it has written is in the pipes. */
static void spawn_drain(struct machine_spawn *s)
{
    for (int i = 0; i < PUMPS; i++) {
        int reads = i == INPUT ? DRAIN_READS : 0;
        while (s->pumps[i] != NULL && !s->is_paused && reads++ < DRAIN_READS &&
               pump_read(s->pumps[i])) {
        }
    }
    if (!s->is_paused) {
        machine_spawn_finish(s, 0, false);
    }
}

static void on_pump(uv_poll_t *poll, int status, int events);

static void pump_watch(struct machine_pump *p, int events)
{
    int rc = events != 0 ? uv_poll_start(&p->poll, events, on_pump) : uv_poll_stop(&p->poll);
    INVARIANT(rc == 0);
}

static void write_input(struct machine_spawn *s)
{
    struct machine_pump *p = s->pumps[2];
    while (p != NULL && s->input.len > 0) {
        ssize_t n = write(p->fd, s->input.data, s->input.len);
        if (n < 0 && errno == EAGAIN) {
            pump_watch(p, UV_WRITABLE);
            return;
        }
        if (n < 0) {
            pump_close(p); /* nobody reads it */
            return;
        }
        buf_consume(&s->input, (size_t)n);
    }
    if (p != NULL && s->input_ends) {
        pump_close(p);
    } else if (p != NULL) {
        pump_watch(p, 0);
    }
}

static void on_pump(uv_poll_t *poll, int status, int events)
{
    OBJ_CAST(machine_pump, poll->data, PUMP_MAGIC);
    struct machine_pump *p = machine_pump;
    (void)status;
    (void)events;
    if (p->spawn == NULL) {
        return;
    }
    struct machine_spawn *s = p->spawn;
    if (p->stream == 0) {
        write_input(s);
        return;
    }
    int at = p->stream == 3 ? 3 : p->stream - 1;
    for (int i = 0; i < READS_AT_ONCE && s->pumps[at] == p && !s->is_paused; i++) {
        if (!pump_read(p)) {
            return;
        }
    }
}

static struct machine_pump *pump_new(struct machine_spawn *s, int stream, int fd)
{
    struct machine_pump *p = MEM_NEW(struct machine_pump);
    p->magic = PUMP_MAGIC;
    p->fd = fd;
    p->stream = stream;
    p->spawn = s;
    p->poll.data = p;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    int rc = uv_poll_init(s->machine->owner->loop, &p->poll, fd);
    INVARIANT(rc == 0);
    return p;
}

/* From the first process */

struct machine_spawn *machine_find_spawn(const struct machine *m, uint32_t id)
{
    LIST_FOREACH (link, &m->spawns) {
        struct machine_spawn *s = LIST_ENTRY(link, struct machine_spawn, link);
        if (s->id == id) {
            return s;
        }
    }
    return NULL;
}

bool machine_on_spawned(struct machine *m, const struct sandbox_frame *f, const int *fds,
                        size_t count)
{
    struct machine_spawn *s = machine_find_spawn(m, f->id);
    bool is_terminal = s != NULL && s->terminal != NULL;
    if (s == NULL || s->pid != 0 || (is_terminal ? count != 1 : count < 2) || f->a == 0 ||
        f->a > INT32_MAX) {
        return false;
    }
    s->pid = (pid_t)f->a;
    if (is_terminal) {
        s->terminal(s, fds[0]);
    }
    for (size_t i = 0; i < count && !is_terminal; i++) {
        static const int streams[] = {1, 2, 0, 3};
        s->pumps[i] = pump_new(s, streams[i], fds[i]);
        if (i != INPUT && !s->is_paused) {
            pump_watch(s->pumps[i], UV_READABLE);
        }
    }
    write_input(s);
    if (s->is_abandoned) {
        machine_spawn_signal(s, SIGKILL);
    } else {
        s->started(s);
    }
    return true;
}

void machine_on_exited(struct machine *m, const struct sandbox_frame *f)
{
    struct machine_spawn *s = machine_find_spawn(m, f->id);
    if (s == NULL || s->pid == 0 || s->has_exited) {
        machine_bad_frame(m);
        return;
    }
    s->has_exited = true;
    s->status = (int)f->a;
    s->cpu_ms = f->c;
    spawn_drain(s);
}

/* From the host */

static enum err begin(struct machine *m, struct machine_spawn *s, struct sandbox_frame *f,
                      struct slice texts)
{
    PRE(m->state == MACHINE_RUNNING && s->machine == NULL);
    if (m->spawn_count >= SANDBOX_SPAWNS_MAX) {
        return ERR_OVERLOADED;
    }
    f->kind = SANDBOX_SPAWN;
    f->id = ++m->last_id;
    enum err err = machine_send_frame(m, f, texts);
    if (err != ERR_OK) {
        return err;
    }
    s->machine = m;
    s->id = f->id;
    list_init(&s->link);
    list_append(&m->spawns, &s->link);
    m->spawn_count++;
    return ERR_OK;
}

enum err machine_spawn(struct machine *m, struct machine_spawn *s, enum sandbox_spawn_kind kind,
                       struct slice texts, uint32_t count, bool has_stdin)
{
    PRE(kind != SANDBOX_SPAWN_TERMINAL);
    struct sandbox_frame f = {.a = kind, .b = has_stdin ? 1 : 0, .c = count};
    return begin(m, s, &f, texts);
}

enum err machine_spawn_terminal(struct machine *m, struct machine_spawn *s, struct slice texts,
                                uint32_t count, uint32_t columns, uint32_t rows)
{
    PRE(s->terminal != NULL && columns <= UINT16_MAX && rows <= UINT16_MAX);
    struct sandbox_frame f = {.a = SANDBOX_SPAWN_TERMINAL, .b = columns | rows << 16, .c = count};
    return begin(m, s, &f, texts);
}

void machine_spawn_pause(struct machine_spawn *s, bool is_paused)
{
    if (s->is_paused == is_paused || s->machine == NULL) {
        return;
    }
    s->is_paused = is_paused;
    for (int i = 0; i < PUMPS; i++) {
        if (i != INPUT && s->pumps[i] != NULL) {
            pump_watch(s->pumps[i], is_paused ? 0 : UV_READABLE);
        }
    }
    if (!is_paused && s->has_exited) {
        spawn_drain(s);
    }
}

void machine_spawn_drain(struct machine_spawn *s)
{
    for (int i = 0; i < INPUT; i++) {
        int reads = 0;
        while (s->pumps[i] != NULL && reads++ < DRAIN_READS && pump_read(s->pumps[i])) {
        }
    }
}

void machine_spawn_write(struct machine_spawn *s, struct slice bytes)
{
    buf_append_slice(&s->input, bytes);
    if (s->machine != NULL) {
        write_input(s);
    }
}

void machine_spawn_end_input(struct machine_spawn *s)
{
    s->input_ends = true;
    if (s->machine != NULL) {
        write_input(s);
    }
}

void machine_spawn_signal(struct machine_spawn *s, int number)
{
    if (s->machine != NULL && s->machine->state != MACHINE_ENDING && !s->has_exited) {
        const struct sandbox_frame f = {.kind = SANDBOX_SIGNAL, .id = s->id, .a = (uint32_t)number};
        enum err err = machine_send_frame(s->machine, &f, SLICE(""));
        if (err != ERR_OK) {
            machine_bad_frame(s->machine); /* it does not listen: nothing of it can be relied on */
        }
    }
}

void machine_spawn_abandon(struct machine_spawn *s)
{
    if (s->machine == NULL || s->is_abandoned) {
        return;
    }
    s->is_abandoned = true;
    machine_spawn_signal(s, SIGKILL);
    machine_spawn_pause(s, false);
}
