/* Starts the other programs of a node: through dormouse-launcher, which the daemon has as its only child.
 *
 *     main, before its first thread:  launch_open --> launch_become_user --> threads: launch_start ... --> launch_close
 *
 * The launcher is started, and not the daemon by the launcher, so that the daemon keeps its process: its pid,
 * exit status and signals are what a supervisor sees, and once it is dead its locks are free. The launcher alone
 * keeps root's powers; the daemon gives them up before it has data, threads or connections.
 *
 * launch_start may be called from any thread: a request is one packet. */
#ifndef ACTOR_LAUNCH_H
#define ACTOR_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "actor/launch_wire.h"
#include "base/err.h"

enum { LAUNCH_FOLDER_BYTES = 512, LAUNCH_DETAIL_BYTES = 1024 };

struct launch {
    int socket;                       /* to the launcher; -1: there is none */
    pid_t pid;                        /* of the launcher */
    uint32_t layers;                  /* that it has said */
    uint32_t sandbox;                 /* likewise: bits of enum launch_sandbox_need */
    bool is_direct;                   /* programs are children of this process: tests */
    char folder[LAUNCH_FOLDER_BYTES]; /* where they are then */
};

/* The user that programs and daemon are to be: `dormouse`, where this process is root and there is one. */
struct launch_user {
    bool is_other; /* than now */
    uid_t uid;
    gid_t gid;
};
void launch_find_user(struct launch_user *ret);

/* Starts the launcher: from the folder of this program, else from where it is installed. ERR_UNAVAILABLE with
 * one sentence: without it there is no launch, and launch_start says so. */
enum err launch_open(struct launch *l, const struct launch_user *user,
                     char ret_detail[LAUNCH_DETAIL_BYTES]) MUST_CHECK;

/* ERR_UNAVAILABLE with one sentence: the process is still root. `data` is made where it is missing, and given to
 * the user where it is empty. ERR_BAD_REQUEST: it is not the user's to write. */
enum err launch_become_user(const struct launch_user *user, const char *data,
                            char ret_detail[LAUNCH_DETAIL_BYTES]) MUST_CHECK;

/* What the launcher has said of itself. ERR_UNAVAILABLE: it ended before, or does not speak. */
enum err launch_await_hello(struct launch *l, int timeout_ms) MUST_CHECK;

/* The launcher has ended by itself, which it never does: nothing can be started any more. Main thread, and true
 * once. */
bool launch_has_ended(struct launch *l);

/* Kills all that was started; waits until the launcher has seen to it. */
void launch_close(struct launch *l);

/* For tests: without a launcher, from that folder. One thread; exits are not reported. */
void launch_init_direct(struct launch *l, const char *folder);

/* The program gets `fd`, one end of a socket pair; closed here whatever comes of it. Whether the program runs
 * shows at the other end, and on `*ret_report` (NULL: not wanted), a socket that gives launch_reports.
 * ERR_UNAVAILABLE: there is no launcher, or it is far behind. */
enum err launch_start(const struct launch *l, enum launch_program program, int fd,
                      int *ret_report) MUST_CHECK;

/* SANDBOX, DISK, CONNECT or PACK, with the descriptors that go behind the report's; these stay the caller's.
 * `*ret_report` gives launch_reports. ERR_UNAVAILABLE as above. */
enum err launch_ask(const struct launch *l, const struct launch_sandbox *what, const int *fds,
                    size_t count, int *ret_report) MUST_CHECK;

#endif
