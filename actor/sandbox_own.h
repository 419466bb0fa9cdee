/* What the files of the sandbox host share; for nobody else. */
#ifndef ACTOR_SANDBOX_OWN_H
#define ACTOR_SANDBOX_OWN_H

#include "actor/sandbox_ask.h"
#include "actor/sandbox_disk.h"
#include "actor/sandbox_host.h"
#include "actor/sandbox_machine.h"
#include "actor/sandbox_spec.h"
#include "base/bytes.h"

enum { BOX_MAGIC = 0x73626201, ASK_MAGIC = 0x73626102 };

enum box_state {
    BOX_ASLEEP,
    BOX_FETCHING,
    BOX_STARTING,
    BOX_RUNNING,
    BOX_FROZEN,
    BOX_STOPPING,
    BOX_STATE_COUNT
};

struct box {
    uint32_t magic;
    enum box_state state;
    struct sandbox_host *host;
    struct shard *shard;
    struct map_node by_key;
    struct list link;
    struct identity identity;
    struct address address; /* slices of address_text */
    struct bytes *address_text;
    char name[SANDBOX_NAME_MAX + 1];
    char disk[SANDBOX_NAME_BYTES]; /* its file's name */
    struct bytes *row;
    struct sandbox_spec spec; /* slices of row */
    struct disk_ask *fetching;
    struct machine *machine;
    struct list waiting;   /* asks, until it runs */
    struct list asks;      /* that use it now */
    struct list processes; /* in the background */
    struct list jobs;      /* of its disk, that wait for the one under way */
    struct box_job *job;   /* that one; NULL: none */
    bool keeps_disk;       /* although it sleeps: its layers are too many */
    size_t ask_count;      /* of asks and jobs */
    struct list terminals;
    struct list contexts;
    struct list changes; /* streams of them */
    size_t terminal_count;
    size_t context_count;
    size_t process_count;
    uint64_t used_ms; /* by a request, last */
    uint64_t busy_ms; /* when something inside was seen to work, last */
    uint64_t cpu_seen_us;
    uint64_t cpu_before_us;     /* of its machines before */
    bool is_going;              /* nobody may use it any more: deleted, or the shard is lost */
    bool loses_disk;            /* and its disk goes with it */
    void *outside;              /* its way out, while it has a machine; NULL: none */
    struct machine_spawn trust; /* writes the authority's certificate */
    bool waits_for_ca;
    bool is_trusting;            /* that one is under way */
    uint64_t ca_until_ms;        /* then it is not waited for any more */
    struct sandbox_ask *deleter; /* that waits until nothing of it is left */
};

struct sandbox_ask;

/* One request on its way. Freed when it is answered and nothing of it is under way. */
struct sandbox_ask {
    uint32_t magic;
    struct sandbox_host *host;
    struct shard *shard;
    struct request *request; /* NULL: answered */
    struct list link;        /* host.asks */
    struct list in_box;      /* box.waiting or box.asks */
    struct heap_node deadline;
    struct box *box;
    struct sandbox_what what;
    struct bytes *body; /* the request's, which `what` is in */
    uint32_t pending;   /* things that will call back */
    bool has_begun;     /* something may have been done */
    bool is_in_box;     /* one of the box's lists has it */
    bool is_given_up;
    void (*run)(struct sandbox_ask *a); /* its machine runs */
    void (*stop)(
        struct sandbox_ask *a); /* answered otherwise, or nobody waits: give up what is under way */
    void *own;                  /* of the verb */
    void (*free_own)(void *state);
};

/* sandbox_asks.c */
/* Stops what is under way; it may be freed then. */
void ask_give_up(struct sandbox_ask *a, enum err err);
void ask_fail(struct sandbox_ask *a, enum err err, const char *format, ...) PRINTF_LIKE(3, 4);
void ask_reply(struct sandbox_ask *a); /* the request's reply is filled in */
void ask_document(struct sandbox_ask *a, int status, struct buf *document); /* takes it */
void ask_begin(struct sandbox_ask *a); /* something is under way that calls back */
void ask_end(struct sandbox_ask *a);   /* and has: it may be gone then */
void ask_errno(struct sandbox_ask *a, int error, const char *what);

/* sandbox_box.c */
struct box *box_find(const struct sandbox_host *h, const struct identity *identity,
                     struct slice name);
/* That of the row, made or made anew where it is another's. NULL: the row cannot be read. */
struct box *box_of(struct sandbox_ask *a, struct slice row);
void box_use(struct box *b, struct sandbox_ask *a); /* a->run, once it runs */
void box_keep(struct sandbox_ask *a);               /* it stays awake while the ask is there */
void box_touch(struct box *b); /* it is used: it thaws, and is kept from resting for a while */
void box_leave(struct sandbox_ask *a);
void box_wake(struct box *b);
void box_look(struct box *b);
void box_freeze(struct box *b, bool is_frozen);
void box_stop(struct box *b);
void box_set_row(struct box *b, struct slice row);   /* one that can be read */
void box_show(struct sandbox_ask *a, struct box *b); /* answers with what it is; sandbox_host.c */
void box_go(struct box *b, bool loses_disk, enum err err); /* it may be gone then */
void box_usage(struct box *b, struct machine_usage *ret);
void box_free_if_over(struct box *b);
void box_drop(struct box *b); /* its loop is gone, and its machine with it */

bool box_has_image(const struct sandbox_host *h, struct slice image);
void box_begin_wake(struct sandbox_ask *a);

void box_is_ready(struct box *b); /* STARTING: whatever waits runs */

/* sandbox_outside.c: the way out */
void outside_take(struct box *b, const int fds[4]); /* the launcher's listeners */
void outside_begin(struct box *b);                  /* then box_is_ready */
bool outside_look(struct box *b);                   /* false: nothing is waited for */
void outside_close(struct box *b);

/* sandbox_process.c: processes in the background */
void process_begin(struct sandbox_ask *a);
void process_list(struct sandbox_ask *a);
void process_show(struct sandbox_ask *a);
void process_signal(struct sandbox_ask *a);
void process_logs(struct sandbox_ask *a);
void process_wait(struct sandbox_ask *a);
void processes_put(const struct box *b, struct buf *out); /* an array of them */
void processes_ended(struct box *b);                      /* with its machine */
void processes_free(struct box *b);
bool processes_poll(struct box *b); /* looks at what is waited for; false: nothing is */

/* sandbox_sleep.c */
void sleep_begin(struct sandbox_ask *a);
void snapshot_begin(struct sandbox_ask *a);
void snapshots_list(struct sandbox_ask *a);
void snapshot_forget(struct sandbox_ask *a);
void restore_begin(struct sandbox_ask *a);
void fork_begin(struct sandbox_ask *a);
void box_sleep_by_itself(struct box *b);
void box_jobs_go_on(struct box *b);
void box_job_on_ended(struct box *b);
void box_jobs_drop(struct box *b, enum err err);
bool layers_use(struct sandbox_host *h, const struct identity *actor,
                const struct sandbox_spec *s); /* false: one is not here */
void layers_release(struct box *b, const struct sandbox_spec *kept);
/* sandbox_terminal.c */
void terminal_begin(struct sandbox_ask *a);
void terminals_look(struct box *b); /* now and then: those that nobody reads */
void terminals_free(struct box *b); /* its machine is gone */

/* sandbox_preview.c */
void preview_begin(struct sandbox_ask *a);

/* sandbox_changes.c */
void changes_begin(struct sandbox_ask *a);
void changes_look(struct box *b); /* now and then: their clients learn that they live */

/* sandbox_context.c: code interpreters */
void context_begin(struct sandbox_ask *a);
void context_run(struct sandbox_ask *a);
void context_end(struct sandbox_ask *a);
void contexts_free(struct box *b);
void contexts_expire(struct sandbox_host *h);

/* sandbox_drivers.c */
struct slice driver_of(bool is_python);

/* sandbox_file.c */
void file_begin(struct sandbox_ask *a);

/* sandbox_exec.c */
void exec_begin(struct sandbox_ask *a);
void exec_expire(struct sandbox_host *h);

/* sandbox_texts.c: what a process is started with */
struct process_texts {
    struct buf bytes;
    uint32_t count; /* before the environment */
};
/* {"cmd","cwd","env","stdin",...}: errors are in the reply. */
enum err process_texts_read(const struct box *b, struct slice body, struct process_texts *ret,
                            struct reply *reply) MUST_CHECK;
void process_texts_done(struct process_texts *t);
/* Of our own: in the given folder, with the environment of the sandbox and that of `env`, a document or empty. */
enum err process_texts_make(const struct box *b, const char *cwd, const struct slice *cmd,
                            size_t count, struct slice env, struct process_texts *ret) MUST_CHECK;

/* sandbox_stream.c: an answer as server-sent events */
struct sandbox_stream {
    struct sandbox_host *host;
    struct identity identity;
    uint64_t socket; /* 0: it is over */
    size_t unread_bytes;
    void (*on_room)(struct sandbox_stream *s, bool has_room); /* changes alone */
    void (*on_gone)(struct sandbox_stream *s);                /* nobody reads it any more */
    bool is_full;
    void *ctx;
};
/* Answers the ask with it. False: it cannot be, and has been answered so. */
bool stream_open(struct sandbox_stream *s, struct sandbox_ask *a, const char *type);
/* Likewise with a head as answers of fetch() have it, which is taken. */
bool stream_open_with(struct sandbox_stream *s, struct sandbox_ask *a, struct buf *head);
void stream_event(struct sandbox_stream *s, const char *event, struct slice document);
void stream_bytes(struct sandbox_stream *s, struct slice bytes);
void stream_close(struct sandbox_stream *s, bool is_whole);

/* Output that is shown as text, a character never cut: what is held back stands in `tail`. */
struct text_tail {
    uint8_t bytes[4];
    size_t len;
};
/* Puts {"text":...}; false: nothing is to be shown yet. */
bool text_event(struct text_tail *t, struct slice bytes, bool is_last, struct buf *document);
void put_text_or_bytes(struct buf *out, struct slice bytes);

#endif
