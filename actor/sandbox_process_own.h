/* What the files of background processes share; for nobody else. */
#ifndef ACTOR_SANDBOX_PROCESS_OWN_H
#define ACTOR_SANDBOX_PROCESS_OWN_H

#include "actor/sandbox_own.h"

struct process {
    struct box *box;
    struct list link; /* box.processes */
    struct machine_spawn spawn;
    struct bytes *cmd; /* document */
    pid_t pid;
    uint64_t started_ms;
    uint64_t ended_ms;  /* 0: it runs */
    bool is_free;       /* the box forgets it: freed once it is closed */
    struct buf log;     /* heads and bytes */
    uint64_t log_start; /* bytes that have gone before it */
    struct list followers;
    struct list waiters;
    struct sandbox_ask *starter; /* until it has started */
    struct process_texts texts;
};

struct log_entry {
    int stream;
    struct slice bytes;
    uint64_t next; /* offset of the one behind it */
};

/* sandbox_process.c */
void process_put(const struct process *p, struct buf *out);
void process_put_end(const struct process *p, struct buf *out); /* two entries */
struct process *process_of(struct sandbox_ask *a);              /* NULL: answered */

/* sandbox_log.c */
/* False: nothing is there yet. What has gone is passed over. */
bool log_at(const struct process *p, uint64_t offset, struct log_entry *ret);
void log_add(struct process *p, int stream, struct slice bytes);
void log_follow(struct sandbox_ask *a, struct process *p);
void log_follow_on(struct process *p); /* there is more, or it has ended */
void log_drop_followers(struct process *p);

/* sandbox_wait.c */
void wait_look(struct process *p); /* whether somebody has waited for what is now */
void wait_drop(struct process *p);

#endif
