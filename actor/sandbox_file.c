/* Files of a sandbox: opened inside by its first process, read and written here by their descriptors. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor/sandbox_io.h"
#include "actor/sandbox_own.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/uri.h"
#include "rpc/value.h"

enum { LIST_BYTES_MAX = 16 << 20 };

struct file_job {
    struct sandbox_ask *ask;
    struct machine_open open;
    struct machine_spawn spawn;
    enum sandbox_spawn_kind kind;
    struct buf texts;
    uint32_t text_count;
    struct sandbox_io *io;
    struct sandbox_stream stream;
    bool is_open;        /* the stream */
    bool waits_for_room; /* a piece more is read when there is some */
    struct buf names;    /* of a PUT: the file that is written, NUL, and that it replaces, NUL */
    int write_error;
    bool is_over_bound;
    struct buf output;
};

static void job_free(void *state)
{
    struct file_job *j = state;
    buf_done(&j->texts);
    buf_done(&j->names);
    buf_done(&j->output);
    mem_free(j);
}

static void put_text(struct file_job *j, struct slice text)
{
    buf_append_slice(&j->texts, text);
    buf_append_byte(&j->texts, '\0');
    j->text_count++;
}

/* A builtin of the first process */

static void show_list(struct file_job *j)
{
    struct buf entries = {0};
    struct buf doc = {0};
    uint32_t count = 0;
    struct slice rest = buf_slice(&j->output);
    struct sandbox_listed r;
    while (rest.len >= sizeof r) {
        memcpy(&r, rest.data, sizeof r);
        rest = slice_skip(rest, sizeof r);
        if (rest.len < (size_t)r.path_bytes + r.link_bytes) {
            break;
        }
        bool is_link = S_ISLNK(r.mode);
        value_put_map(&entries, is_link ? 6 : 5);
        value_put_text(&entries, "path");
        put_text_or_bytes(&entries, slice_of(rest.data, r.path_bytes));
        value_put_text(&entries, "type");
        value_put_text(&entries, S_ISREG(r.mode)   ? "file"
                                 : S_ISDIR(r.mode) ? "directory"
                                 : is_link         ? "symlink"
                                                   : "other");
        value_put_text(&entries, "size");
        value_put_uint(&entries, r.bytes);
        value_put_text(&entries, "mode");
        value_put_uint(&entries, r.mode & 07777);
        value_put_text(&entries, "modified");
        value_put_int(&entries, r.modified_ms);
        if (is_link) {
            value_put_text(&entries, "target");
            put_text_or_bytes(&entries, slice_of(rest.data + r.path_bytes, r.link_bytes));
        }
        rest = slice_skip(rest, (size_t)r.path_bytes + r.link_bytes);
        count++;
    }
    value_put_map(&doc, 1);
    value_put_text(&doc, "entries");
    value_put_array(&doc, count);
    buf_append_slice(&doc, buf_slice(&entries));
    buf_done(&entries);
    ask_document(j->ask, 200, &doc);
}

static void answer_spawn(struct file_job *j, int error)
{
    struct sandbox_ask *a = j->ask;
    int status = j->spawn.status;
    if (a->request == NULL) {
        return;
    }
    if (j->write_error != 0) {
        error = j->write_error;
    } else if (j->is_over_bound) {
        (void)reply_too_large(&a->request->reply, "list_bytes", LIST_BYTES_MAX);
        ask_reply(a);
        return;
    } else if (error == 0) {
        error = WIFEXITED(status) ? WEXITSTATUS(status) : ESHUTDOWN;
    }
    if (error != 0) {
        ask_errno(a, error, "The file");
    } else if (j->kind == SANDBOX_SPAWN_LIST) {
        show_list(j);
    } else {
        a->request->reply.status = 204;
        ask_reply(a);
    }
}

static void on_started(struct machine_spawn *s)
{
    (void)s;
}

static void on_output(struct machine_spawn *s, int stream, struct slice bytes)
{
    struct file_job *j = CONTAINER_OF(s, struct file_job, spawn);
    if (stream != 1) {
        return;
    }
    if (j->output.len + bytes.len > LIST_BYTES_MAX) {
        j->is_over_bound = true;
        machine_spawn_abandon(s);
        return;
    }
    buf_append_slice(&j->output, bytes);
}

static void on_closed(struct machine_spawn *s, int error, bool of_folder)
{
    struct file_job *j = CONTAINER_OF(s, struct file_job, spawn);
    struct sandbox_ask *a = j->ask;
    (void)of_folder;
    answer_spawn(j, error);
    ask_end(a);
}

/* The machine may have been frozen or have ended since the request began. */
static bool can_use_machine(const struct sandbox_ask *a)
{
    return a->box != NULL && a->box->state == BOX_RUNNING;
}

static void run_spawn(struct sandbox_ask *a)
{
    struct file_job *j = a->own;
    enum err err = ERR_UNAVAILABLE;
    ask_begin(a);
    if (can_use_machine(a)) {
        err = machine_spawn(a->box->machine, &j->spawn, j->kind, buf_slice(&j->texts),
                            j->text_count, false);
    }
    if (err != ERR_OK) {
        ask_fail(a, err, NULL);
        ask_end(a);
    }
}

/* Writing */

static void on_written(void *ctx, int error, struct slice none, bool is_end)
{
    struct file_job *j = ctx;
    struct sandbox_ask *a = j->ask;
    const char *names = (const char *)j->names.data;
    (void)none;
    (void)is_end;
    j->io = NULL;
    j->write_error = error;
    put_text(j, slice_of_str(names));
    j->kind = error != 0 ? SANDBOX_SPAWN_REMOVE : SANDBOX_SPAWN_MOVE;
    if (error == 0) {
        put_text(j, slice_of_str(names + strlen(names) + 1));
    }
    run_spawn(a);
    ask_end(a);
}

static bool has_two_texts(struct slice names)
{
    const uint8_t *first = memchr(names.data, '\0', names.len);
    return first != NULL && names.data[names.len - 1] == '\0' &&
           first != names.data + names.len - 1;
}

static void on_open_for_writing(struct machine_open *o, int error, int fd, struct slice names)
{
    struct file_job *j = CONTAINER_OF(o, struct file_job, open);
    struct sandbox_ask *a = j->ask;
    struct slice bytes = {0};
    uint64_t size;
    if (error != 0) {
        ask_errno(a, error, "The file");
        ask_end(a);
        return;
    }
    bool is_good = value_get_bin(a->what.body, &bytes) && names.len > 2 && has_two_texts(names) &&
                   sandbox_file_kind(fd, &size) == SANDBOX_FILE_REGULAR;
    if (!is_good || a->request == NULL) {
        (void)close(fd);
        ask_fail(a, ERR_BAD_REQUEST, "The path is not that of a file.");
        ask_end(a);
        return;
    }
    buf_append_slice(&j->names, names);
    j->io = sandbox_io_write(a->host->machines, fd, a->body, bytes, on_written, j);
}

/* Reading */

static void close_stream(struct file_job *j, bool is_whole)
{
    if (j->is_open) {
        j->is_open = false;
        stream_close(&j->stream, is_whole);
    }
}

static void answer_whole_file(struct file_job *j, struct slice bytes)
{
    struct buf doc = {0};
    value_put_array(&doc, 3);
    value_put_uint(&doc, 200);
    value_put_array(&doc, 1);
    value_put_array(&doc, 2);
    value_put_text(&doc, "content-type");
    value_put_text(&doc, "application/octet-stream");
    value_put_bin(&doc, bytes);
    ask_document(j->ask, 200, &doc);
}

static void on_read(void *ctx, int error, struct slice bytes, bool is_end)
{
    struct file_job *j = ctx;
    struct sandbox_ask *a = j->ask;
    bool is_first = a->request != NULL;
    if (error == 0 && is_first && is_end) {
        answer_whole_file(j, bytes);
    } else if (error == 0 && is_first) {
        j->is_open = stream_open(&j->stream, a, "application/octet-stream");
    } else if (error != 0) {
        ask_errno(a, error, "The file");
    }
    if (j->is_open) {
        stream_bytes(&j->stream, bytes);
    }
    if (is_end || !j->is_open) {
        close_stream(j, error == 0);
        if (!is_end) {
            sandbox_io_forget(j->io);
        }
        j->io = NULL;
        ask_end(a);
    } else if (j->stream.is_full) {
        j->waits_for_room = true;
    } else {
        sandbox_io_more(j->io);
    }
}

static void on_room(struct sandbox_stream *s, bool has_room)
{
    struct file_job *j = CONTAINER_OF(s, struct file_job, stream);
    if (has_room && j->waits_for_room) {
        j->waits_for_room = false;
        sandbox_io_more(j->io);
    }
}

/* Nobody reads it: what is being read now is the last. */
static void on_gone(struct sandbox_stream *s)
{
    struct file_job *j = CONTAINER_OF(s, struct file_job, stream);
    j->is_open = false;
    if (j->waits_for_room) {
        struct sandbox_ask *a = j->ask;
        j->waits_for_room = false;
        sandbox_io_forget(j->io);
        j->io = NULL;
        ask_end(a);
    }
}

static void on_open_for_reading(struct machine_open *o, int error, int fd, struct slice names)
{
    struct file_job *j = CONTAINER_OF(o, struct file_job, open);
    struct sandbox_ask *a = j->ask;
    uint64_t size;
    (void)names;
    if (error != 0 || a->request == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        ask_errno(a, error, "The file");
        ask_end(a);
        return;
    }
    switch (sandbox_file_kind(fd, &size)) {
    case SANDBOX_FILE_REGULAR:
        j->io = sandbox_io_read(a->host->machines, fd, on_read, j);
        return;
    case SANDBOX_FILE_FOLDER:
        ask_fail(a, ERR_BAD_REQUEST, "The path is that of a directory: list=true lists it.");
        break;
    case SANDBOX_FILE_OTHER:
        ask_fail(a, ERR_BAD_REQUEST, "The path is not that of a file.");
        break;
    }
    (void)close(fd);
    ask_end(a);
}

static void run_open(struct sandbox_ask *a)
{
    struct file_job *j = a->own;
    bool is_put = slice_equal_str(a->what.method, "PUT");
    j->open.done = is_put ? on_open_for_writing : on_open_for_reading;
    ask_begin(a);
    enum err err = machine_open(a->box->machine, &j->open, a->what.argument, is_put);
    if (err != ERR_OK) {
        ask_fail(a, err, NULL);
        ask_end(a);
    }
}

static void stop(struct sandbox_ask *a)
{
    struct file_job *j = a->own;
    close_stream(j, false);
    if (j->waits_for_room) {
        on_gone(&j->stream);
    }
    machine_spawn_abandon(&j->spawn);
}

/* What is wanted */

static enum err read_to(struct sandbox_ask *a, const struct query *q, struct slice *ret)
{
    struct reply *reply = &a->request->reply;
    if (!query_find(q, "to", ret) || ret->len == 0 || ret->data[0] != '/' ||
        ret->len > SANDBOX_FILE_PATH_MAX || memchr(ret->data, '\0', ret->len) != NULL) {
        return reply_fail(reply, ERR_BAD_REQUEST, "to is not an absolute path.");
    }
    for (struct slice rest = *ret, part; path_next(&rest, &part);) {
        if (slice_equal_str(part, "..")) {
            return reply_fail(reply, ERR_BAD_REQUEST, "to has \"..\".");
        }
    }
    return ERR_OK;
}

static enum err read_op(struct sandbox_ask *a, struct file_job *j, const struct query *q)
{
    struct slice op = {0};
    struct slice to;
    (void)query_find(q, "op", &op);
    put_text(j, a->what.argument);
    if (slice_equal_str(op, "mkdir")) {
        j->kind = SANDBOX_SPAWN_MKDIR;
        return ERR_OK;
    }
    if (!slice_equal_str(op, "move") && !slice_equal_str(op, "copy")) {
        return reply_fail(&a->request->reply, ERR_BAD_REQUEST,
                          "op is none of mkdir, move and copy.");
    }
    enum err err = read_to(a, q, &to);
    if (err == ERR_OK) {
        put_text(j, to);
        j->kind = slice_equal_str(op, "move") ? SANDBOX_SPAWN_MOVE : SANDBOX_SPAWN_COPY;
    }
    return err;
}

static enum err read_query(struct sandbox_ask *a, struct file_job *j)
{
    struct query q = {0};
    bool lists = false;
    bool is_recursive = false;
    if (query_init(&q, a->what.query) != ERR_OK) {
        return reply_fail(&a->request->reply, ERR_BAD_REQUEST, "The query is malformed.");
    }
    enum err err = ERR_OK;
    if (query_bool(&q, "list", &lists) != ERR_OK ||
        query_bool(&q, "recursive", &is_recursive) != ERR_OK) {
        err = reply_fail(&a->request->reply, ERR_BAD_REQUEST,
                         "list and recursive are true or false.");
    } else if (slice_equal_str(a->what.method, "POST")) {
        err = read_op(a, j, &q);
    } else if (slice_equal_str(a->what.method, "DELETE")) {
        j->kind = SANDBOX_SPAWN_REMOVE;
        put_text(j, a->what.argument);
    } else if (lists) {
        j->kind = SANDBOX_SPAWN_LIST;
        put_text(j, a->what.argument);
        put_text(j, is_recursive ? SLICE("1") : SLICE("0"));
    }
    query_done(&q);
    return err;
}

void file_begin(struct sandbox_ask *a)
{
    struct file_job *j = MEM_NEW(struct file_job);
    j->ask = a;
    j->kind = SANDBOX_SPAWN_KINDS;
    j->spawn.started = on_started;
    j->spawn.output = on_output;
    j->spawn.closed = on_closed;
    j->stream.on_room = on_room;
    j->stream.on_gone = on_gone;
    a->own = j;
    a->free_own = job_free;
    if (read_query(a, j) != ERR_OK) {
        ask_reply(a);
        return;
    }
    a->run = j->kind != SANDBOX_SPAWN_KINDS ? run_spawn : run_open;
    a->stop = stop;
    box_use(a->box, a);
}
