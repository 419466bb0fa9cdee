#include "actor/egress/files.h"

#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/slice.h"

/* A file is replaced by a rename, as those who care for readers do, or made anew. */
enum { REPLACED = IN_MOVED_TO | IN_CREATE };

static const char *const names[] = {"resolv.conf", "hosts", "nsswitch.conf", "gai.conf",
                                    "ca-certificates.crt"};

int files_watch(const char *ca_file)
{
    static const char *const folders[] = {"/etc", "/etc/ssl/certs"};
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    for (size_t i = 0; fd >= 0 && i < sizeof folders / sizeof folders[0]; i++) {
        (void)inotify_add_watch(fd, folders[i], REPLACED | IN_ONLYDIR);
    }
    if (fd >= 0 && ca_file != NULL) {
        (void)inotify_add_watch(fd, ca_file, IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB);
    }
    return fd;
}

static bool is_ours(const struct inotify_event *event)
{
    for (size_t i = 0; event->len > 0 && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(event->name, names[i]) == 0) {
            return true;
        }
    }
    return event->len == 0; /* the file that was given */
}

bool files_changed(int fd)
{
    _Alignas(struct inotify_event) char bytes[4 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
    bool changed = false;
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        for (size_t at = 0; at < (size_t)n;) {
            const struct inotify_event *event = (const void *)(bytes + at);
            changed = changed || is_ours(event);
            at += sizeof *event + event->len;
        }
    }
    return changed;
}
