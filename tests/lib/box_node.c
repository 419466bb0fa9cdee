/* A node that opens sandboxes for a test, without the sandboxes: GET /admin/v1/audit?box=PATH&name=NAME&rules=JSON takes
 * four sockets from the unix socket at PATH, as the launcher hands them over, and gives them to the broker of the
 * worker; with `close=NAME` it closes them; with `ca=1` it answers with the authority's certificate. All else is
 * the node's own. Linked with --wrap=audit_open. */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "node/answer.h"
#include "node/audit.h"
#include "node/node.h"
#include "node/worker.h"
#include "rpc/json.h"
#include "rpc/uri.h"
#include "rpc/value.h"

enum { BOXES = 8, NAME_BYTES = 32 };

struct opened {
    char name[NAME_BYTES];
    struct broker_box *box;
};
static struct opened boxes[BOXES]; /* of a node with one worker */

void __real_audit_open(struct worker *w, struct http_exchange *x, struct slice query,
                       const struct token *token);
void __wrap_audit_open(struct worker *w, struct http_exchange *x, struct slice query,
                       const struct token *token);

static bool take_sockets(struct slice path, int fds[EGRESS_BOX_SOCKETS])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    union {
        char bytes[CMSG_SPACE(EGRESS_BOX_SOCKETS * sizeof(int))];
        struct cmsghdr align;
    } control;
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path.data, path.len);
    bool good = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                recvmsg(fd, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message) != NULL;
    if (good) {
        memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), EGRESS_BOX_SOCKETS * sizeof(int));
    }
    (void)close(fd);
    return good;
}

static struct opened *find(struct slice name)
{
    for (size_t i = 0; i < BOXES; i++) {
        if (slice_equal_str(name, boxes[i].name)) {
            return &boxes[i];
        }
    }
    return NULL;
}

static enum err open_box(struct worker *w, struct slice path, struct slice name, struct slice json,
                         const char **detail)
{
    int fds[EGRESS_BOX_SOCKETS];
    struct buf rules = {0};
    struct json_detail why;
    const struct broker_who who = {SLICE("app"), SLICE("Agent"), SLICE("a"), name};
    struct opened *old = find(name);
    enum err err = json_to_value(json, VALUE_DEPTH_MAX, &rules, &why);
    if (err == ERR_OK && old != NULL) {
        err = broker_set_rules(old->box, buf_slice(&rules), detail);
    } else if (err == ERR_OK) {
        struct opened *o = find(SLICE(""));
        err = take_sockets(path, fds)
                  ? broker_open(&w->broker, &who, buf_slice(&rules), fds, &o->box, detail)
                  : ERR_UNAVAILABLE;
        if (err == ERR_OK) {
            memcpy(o->name, name.data, name.len);
        }
    }
    buf_done(&rules);
    return err;
}

static void answer(struct http_exchange *x, enum err err, const char *detail)
{
    struct decode_error error;
    if (err == ERR_OK) {
        http_respond(x, 204, NULL, 0, NULL);
    } else {
        (void)decode_fail(&error, err, "%s", detail);
        answer_error(x, &error);
    }
}

static void answer_ca(struct worker *w, struct http_exchange *x)
{
    struct bytes *pem = bytes_new(broker_ca_pem(&w->broker));
    broker_need_ca(&w->broker);
    http_respond(x, 200, NULL, 0, pem);
    bytes_unref(pem);
}

void __wrap_audit_open(struct worker *w, struct http_exchange *x, struct slice text,
                       const struct token *token)
{
    struct query q;
    struct slice path;
    struct slice name;
    struct slice rules = {0};
    const char *detail = "no";
    if (query_init(&q, text) != ERR_OK) {
        __real_audit_open(w, x, text, token);
        return;
    }
    if (query_find(&q, "box", &path) && query_find(&q, "name", &name) &&
        query_find(&q, "rules", &rules)) {
        answer(x, open_box(w, path, name, rules, &detail), detail);
    } else if (query_find(&q, "close", &name)) {
        struct opened *o = find(name);
        broker_close(o->box);
        *o = (struct opened){.box = NULL};
        answer(x, ERR_OK, detail);
    } else if (query_find(&q, "ca", &name)) {
        answer_ca(w, x);
    } else {
        __real_audit_open(w, x, text, token);
    }
    query_done(&q);
}
