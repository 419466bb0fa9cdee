#include "node/cluster_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/hex.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/uri.h"
#include "storage/disk.h"

enum { FILE_BYTES_MAX = 4096 };

bool cluster_certs_is_valid(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)path[i] < ' ' || path[i] == 0x7f) {
            return false;
        }
    }
    return path[0] == '/' && len < CLUSTER_CERTS_BYTES;
}

static bool address_is_sound(const char *text, bool may_be_empty)
{
    return (may_be_empty && text[0] == '\0') || member_address_is_valid(slice_of_str(text));
}

static bool is_sound(const struct cluster_file *f)
{
    return f->node != 0 && f->birth != 0 && address_is_sound(f->peer_listen, false) &&
           address_is_sound(f->seed, true) &&
           (f->certs[0] == '\0' || cluster_certs_is_valid(f->certs));
}

static void describe(const struct cluster_file *f, struct buf *out)
{
    buf_printf(out, "format = %d\nnode = %" PRIu32 "\nbirth = %016" PRIx64 "\n", CLUSTER_FORMAT,
               f->node, f->birth);
    buf_printf(out, "peer_listen = %s\ncerts = %s\nseed = %s\n", f->peer_listen, f->certs, f->seed);
    buf_printf(out, "crc32c = %08x\n", crc32c(0, out->data, out->len));
}

/* The value of the next line, which must have this name; `text` moves past it. */
static bool take_line(struct slice *text, const char *name, struct slice *ret_value)
{
    const uint8_t *end = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;
    if (end == NULL) {
        return false;
    }
    struct slice line = slice_of(text->data, (size_t)(end - text->data));
    size_t len = strlen(name);
    *text = slice_skip(*text, line.len + 1);
    if (!slice_has_prefix(line, slice_of_str(name)) ||
        !slice_has_prefix(slice_skip(line, len), SLICE(" = "))) {
        return false;
    }
    *ret_value = slice_skip(line, len + 3);
    return true;
}

static bool take_number(struct slice *text, const char *name, uint32_t *ret)
{
    struct slice value;
    uint64_t number;
    if (!take_line(text, name, &value) || !parse_uint(value, &number) || number > UINT32_MAX) {
        return false;
    }
    *ret = (uint32_t)number;
    return true;
}

static bool take_birth(struct slice *text, uint64_t *ret)
{
    struct slice value;
    uint8_t bytes[8];
    if (!take_line(text, "birth", &value) || !hex_decode(value, bytes, sizeof bytes)) {
        return false;
    }
    *ret = get_be64(bytes);
    return true;
}

static bool take_text(struct slice *text, const char *name, char *ret, size_t bytes)
{
    struct slice value;
    if (!take_line(text, name, &value) || value.len >= bytes ||
        memchr(value.data, 0, value.len) != NULL) {
        return false;
    }
    memcpy(ret, value.data, value.len);
    ret[value.len] = '\0';
    return true;
}

/* Reads what describe wrote, and proves it by writing it again: nothing else is accepted. */
static enum err parse(struct slice text, struct cluster_file *ret_file)
{
    struct cluster_file f = {0};
    struct slice rest = text;
    uint32_t format;
    if (take_number(&rest, "format", &format) && format != CLUSTER_FORMAT) {
        return ERR_FORMAT;
    }
    rest = text;
    if (!take_number(&rest, "format", &format) || !take_number(&rest, "node", &f.node) ||
        !take_birth(&rest, &f.birth) ||
        !take_text(&rest, "peer_listen", f.peer_listen, sizeof f.peer_listen) ||
        !take_text(&rest, "certs", f.certs, sizeof f.certs) ||
        !take_text(&rest, "seed", f.seed, sizeof f.seed) || !is_sound(&f)) {
        return ERR_CORRUPT;
    }
    struct buf again = {0};
    describe(&f, &again);
    bool is_same = slice_equal(buf_slice(&again), text);
    buf_done(&again);
    if (!is_same) {
        return ERR_CORRUPT;
    }
    *ret_file = f;
    return ERR_OK;
}

static enum err explain(char ret_detail[DATA_DETAIL_BYTES], enum err err, const char *dir,
                        const char *what)
{
    (void)snprintf(ret_detail, DATA_DETAIL_BYTES, "%s/" CLUSTER_FILE ": %s", dir, what);
    return err;
}

static int open_file(const char *dir)
{
    struct buf path = {0};
    buf_printf(&path, "%s/" CLUSTER_FILE "%c", dir, 0);
    int fd = open((const char *)path.data, O_RDONLY | O_CLOEXEC);
    int reason = errno;
    buf_done(&path);
    errno = reason;
    return fd;
}

enum err cluster_file_read(const char *dir, struct cluster_file *ret_file,
                           char ret_detail[DATA_DETAIL_BYTES])
{
    char text[FILE_BYTES_MAX];
    int fd = open_file(dir);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOT_FOUND : explain(ret_detail, ERR_IO, dir, strerror(errno));
    }
    ssize_t n = read(fd, text, sizeof text);
    int reason = errno;
    (void)close(fd);
    if (n < 0) {
        return explain(ret_detail, ERR_IO, dir, strerror(reason));
    }
    enum err err = parse(slice_of(text, (size_t)n), ret_file);
    if (err == ERR_FORMAT) {
        return explain(ret_detail, err, dir, "of another format version");
    }
    return err == ERR_OK ? err : explain(ret_detail, err, dir, "not what a node wrote, or damaged");
}

enum err cluster_file_write(const char *dir, const struct cluster_file *f,
                            char ret_detail[DATA_DETAIL_BYTES])
{
    PRE(is_sound(f));

    struct buf text = {0};
    describe(f, &text);
    enum err err = disk_replace_file(NULL, DISK_CLUSTER_FILE, dir, CLUSTER_FILE, buf_slice(&text));
    if (err != ERR_OK) {
        (void)snprintf(ret_detail, DATA_DETAIL_BYTES,
                       "%s/" CLUSTER_FILE ": offset 0: cannot be written: %s", dir,
                       strerror(errno));
    }
    buf_done(&text);
    return err;
}

char *cluster_certs_path(const char *dir, const struct cluster_file *f)
{
    struct buf path = {0};
    if (f->certs[0] != '\0') {
        buf_append_str(&path, f->certs);
    } else {
        buf_printf(&path, "%s/certs", dir);
    }
    buf_append_byte(&path, 0);
    return (char *)path.data;
}
