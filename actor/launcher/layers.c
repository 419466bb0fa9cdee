#include "actor/launcher/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
    PATH_BYTES = 64,
    LOOPS_MAX = 4096,
    LOOP_TRIES = 16, /* others take loop devices at the same time */
};

bool layers_init(struct layers *l)
{
    l->is_ready =
        unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", LAYERS_ROOT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,mode=700") ==
            0;
    return l->is_ready;
}

/* Loop devices */

static int open_loop(int number)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "/dev/loop%d", number);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT &&
        mknod(path, S_IFBLK | 0600, makedev(7, (unsigned)number)) == 0) {
        fd = open(path, O_RDWR | O_CLOEXEC);
    }
    return fd;
}

static bool has_backing(int loop, const struct stat *file)
{
    struct loop_info64 info;
    return ioctl(loop, LOOP_GET_STATUS64, &info) == 0 && info.lo_device == file->st_dev &&
           info.lo_inode == file->st_ino;
}

/* A device that has this file already: of a sandbox that is ending. Two of one file would each have their own idea
 * of what is in it. While it is open here it stays. */
static int find_loop(const struct stat *file, int *ret_number)
{
    for (int number = 0; number < LOOPS_MAX; number++) {
        char path[PATH_BYTES];
        (void)snprintf(path, sizeof path, "/sys/block/loop%d", number);
        if (access(path, F_OK) != 0) {
            break;
        }
        (void)snprintf(path, sizeof path, "/sys/block/loop%d/loop", number);
        if (access(path, F_OK) != 0) {
            continue; /* it is free */
        }
        int loop = open_loop(number);
        if (loop >= 0 && has_backing(loop, file)) {
            *ret_number = number;
            return loop;
        }
        if (loop >= 0) {
            (void)close(loop);
        }
    }
    return -1;
}

static int make_loop(int file, bool is_read_only, int *ret_number)
{
    struct loop_config config = {
        .fd = (uint32_t)file,
        .info = {.lo_flags = LO_FLAGS_AUTOCLEAR | (is_read_only ? LO_FLAGS_READ_ONLY : 0U)}};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int loop = -1;
    int error = control < 0 ? errno : EBUSY;
    for (int tries = 0; control >= 0 && loop < 0 && tries < LOOP_TRIES; tries++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        loop = number >= 0 ? open_loop(number) : -1;
        error = errno;
        if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) != 0) {
            error = errno;
            (void)close(loop);
            loop = -1;
            if (error != EBUSY) {
                break;
            }
        }
        *ret_number = number;
    }
    if (control >= 0) {
        (void)close(control);
    }
    errno = error;
    return loop;
}

/* Mounts */

static int mount_of(const char *type, const char *source, bool is_read_only, int *ret_mount)
{
    int error = 0;
    int fs = fsopen(type, FSOPEN_CLOEXEC);
    if (fs < 0) {
        return errno;
    }
    *ret_mount = -1;
    if (fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) != 0 ||
        (is_read_only && fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) != 0) ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) {
        error = errno;
    } else {
        *ret_mount =
            fsmount(fs, FSMOUNT_CLOEXEC,
                    MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (is_read_only ? MOUNT_ATTR_RDONLY : 0U));
        error = *ret_mount < 0 ? errno : 0;
    }
    (void)close(fs);
    return error;
}

/* From the file itself, where the kernel can (6.12), else by a loop device. */
static int mount_image(int file, int *ret_mount)
{
    char source[PATH_BYTES];
    int number;
    (void)snprintf(source, sizeof source, "/proc/self/fd/%d", file);
    int error = mount_of("erofs", source, true, ret_mount);
    if (error != ENOTBLK) {
        return error;
    }
    int loop = make_loop(file, true, &number);
    if (loop < 0) {
        return errno;
    }
    (void)snprintf(source, sizeof source, "/dev/loop%d", number);
    error = mount_of("erofs", source, true, ret_mount);
    (void)close(loop);
    return error;
}

static void path_of(const struct layers *l, const struct layer *layer, char ret[PATH_BYTES])
{
    (void)snprintf(ret, PATH_BYTES, LAYERS_ROOT "/%d", (int)(layer - l->mounted));
}

static struct layer *free_place(struct layers *l)
{
    char path[PATH_BYTES];
    struct layer *oldest = &l->mounted[0];
    for (int i = 0; i < LAYERS_MOUNTED_MAX; i++) {
        if (!l->mounted[i].is_used) {
            return &l->mounted[i];
        }
        oldest = l->mounted[i].used < oldest->used ? &l->mounted[i] : oldest;
    }
    path_of(l, oldest, path);
    (void)umount2(path, MNT_DETACH);
    oldest->is_used = false;
    return oldest;
}

static int find_or_mount(struct layers *l, int file, struct layer **ret_layer)
{
    char path[PATH_BYTES];
    struct stat st;
    int fd;
    if (fstat(file, &st) != 0 || !S_ISREG(st.st_mode)) {
        return EINVAL;
    }
    for (int i = 0; i < LAYERS_MOUNTED_MAX; i++) {
        struct layer *layer = &l->mounted[i];
        if (layer->is_used && layer->dev == st.st_dev && layer->ino == st.st_ino) {
            *ret_layer = layer;
            return 0;
        }
    }
    int error = mount_image(file, &fd);
    if (error != 0) {
        return error;
    }
    struct layer *layer = free_place(l);
    path_of(l, layer, path);
    if ((mkdir(path, 0700) != 0 && errno != EEXIST) ||
        move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
        error = errno;
    } else {
        *layer = (struct layer){.is_used = true, .dev = st.st_dev, .ino = st.st_ino};
        *ret_layer = layer;
    }
    (void)close(fd);
    return error;
}

int layers_take(struct layers *l, int file, int userns, int *ret_mount)
{
    char path[PATH_BYTES];
    struct layer *layer = NULL;
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
    int error = l->is_ready ? find_or_mount(l, file, &layer) : ENOSYS;
    if (error != 0) {
        return error;
    }
    layer->used = ++l->clock;
    path_of(l, layer, path);
    int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) {
        error = errno;
        (void)close(fd);
        return error;
    }
    *ret_mount = fd;
    return 0;
}

static bool make_dir(int mount, const char *name, mode_t mode)
{
    return mkdirat(mount, name, 0700) == 0 ? fchmodat(mount, name, mode, 0) == 0 : errno == EEXIST;
}

int disk_mount(int file, bool is_new, int *ret_mount)
{
    char source[PATH_BYTES];
    struct stat st;
    int number;
    if (fstat(file, &st) != 0 || !S_ISREG(st.st_mode)) {
        return EINVAL;
    }
    int loop = is_new ? -1 : find_loop(&st, &number);
    loop = loop >= 0 ? loop : make_loop(file, false, &number);
    if (loop < 0) {
        return errno;
    }
    (void)snprintf(source, sizeof source, "/dev/loop%d", number);
    int error = mount_of("ext4", source, false, ret_mount);
    if (error == 0 &&
        (!make_dir(*ret_mount, "upper", 0755) || !make_dir(*ret_mount, "work", 0755))) {
        error = errno;
        (void)close(*ret_mount);
    }
    (void)close(loop);
    return error;
}
