#include "tests/unit/power_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "tests/lib/test.h"

enum { SECTOR = 512, NAMES_MAX = 256 };

struct write {
    struct write *next;
    enum disk_site site;
    uint64_t offset;
    size_t len;
    uint8_t data[];
};

struct inode {
    struct inode *next; /* all of them */
    bool is_dir;
    struct buf safe;
    struct write *first; /* not safe yet */
    struct write **last;
};

struct name {
    char *path;
    struct inode *inode;
};

struct names {
    struct name at[NAMES_MAX];
    size_t count;
};

/* A change of a directory that is not safe yet: `path` means `inode`, or nothing any more. */
struct change {
    char *path;
    struct inode *inode;
    enum disk_site site;
    enum disk_op op;
    size_t with_before; /* 1: the second half of a rename */
};

struct power_disk {
    char *root;
    uint64_t random;
    enum power_plant plant;
    struct disk seam;
    struct inode *inodes;
    struct names now;  /* as the process sees it */
    struct names safe; /* as it is after power is lost */
    struct change changes[NAMES_MAX];
    size_t change_count;
    uint64_t armed;
    bool is_dead;
    struct power_stats stats;
};

uint64_t power_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Names */

static struct name *find(struct names *n, const char *path)
{
    for (size_t i = 0; i < n->count; i++) {
        if (strcmp(n->at[i].path, path) == 0) {
            return &n->at[i];
        }
    }
    return NULL;
}

static void set_name(struct names *n, const char *path, struct inode *inode)
{
    struct name *name = find(n, path);
    if (name == NULL && inode != NULL) {
        INVARIANT(n->count < NAMES_MAX);
        n->at[n->count++] = (struct name){.path = mem_strdup(path), .inode = inode};
    } else if (name != NULL && inode != NULL) {
        name->inode = inode;
    } else if (name != NULL) {
        mem_free(name->path);
        *name = n->at[--n->count];
    }
}

static void names_done(struct names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        mem_free(n->at[i].path);
    }
    n->count = 0;
}

static void change(struct power_disk *p, const struct disk_call *call, const char *path,
                   struct inode *inode, bool with_before)
{
    INVARIANT(p->change_count < NAMES_MAX);
    set_name(&p->now, path, inode);
    p->changes[p->change_count++] = (struct change){.path = mem_strdup(path),
                                                    .inode = inode,
                                                    .site = call->site,
                                                    .op = call->op,
                                                    .with_before = with_before ? 1 : 0};
}

static bool is_in(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/' && strchr(path + len + 1, '/') == NULL;
}

/* Makes the changes of a directory safe; NULL: the first `count` of all. */
static void make_safe(struct power_disk *p, const char *dir, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->change_count; i++) {
        struct change c = p->changes[i];
        if (dir != NULL ? is_in(c.path, dir) : i < count) {
            set_name(&p->safe, c.path, c.inode);
            mem_free(c.path);
        } else {
            p->changes[kept++] = c;
        }
    }
    p->change_count = kept;
}

/* Contents */

static struct inode *new_inode(struct power_disk *p, bool is_dir)
{
    struct inode *inode = MEM_NEW(struct inode);
    inode->is_dir = is_dir;
    inode->last = &inode->first;
    inode->next = p->inodes;
    p->inodes = inode;
    return inode;
}

static void put_safe(struct inode *inode, uint64_t offset, const uint8_t *data, size_t len)
{
    size_t end = (size_t)offset + len;
    if (inode->safe.len < end) {
        size_t more = end - inode->safe.len;
        memset(buf_extend(&inode->safe, more), 0, more);
    }
    memcpy(inode->safe.data + offset, data, len);
}

static void put_pending(struct inode *inode, const struct disk_call *call)
{
    struct write *w = mem_alloc(sizeof *w + call->len);
    *w = (struct write){.site = call->site, .offset = call->offset, .len = call->len};
    memcpy(w->data, call->data, call->len);
    *inode->last = w;
    inode->last = &w->next;
}

static void drop_pending(struct inode *inode)
{
    for (struct write *w = inode->first; w != NULL;) {
        struct write *next = w->next;
        mem_free(w);
        w = next;
    }
    inode->first = NULL;
    inode->last = &inode->first;
}

static void sync_inode(struct inode *inode)
{
    for (struct write *w = inode->first; w != NULL; w = w->next) {
        put_safe(inode, w->offset, w->data, w->len);
    }
    drop_pending(inode);
}

/* Each sector of what was not synced is kept or lost. One loss in four keeps nothing, one in four
 * everything. */
static void settle_inode(struct power_disk *p, struct inode *inode, uint64_t mood)
{
    for (struct write *w = inode->first; w != NULL; w = w->next) {
        size_t kept = 0;
        size_t sectors = 0;
        for (size_t at = 0; at < w->len; at += SECTOR, sectors++) {
            size_t n = w->len - at < SECTOR ? w->len - at : SECTOR;
            bool keeps = mood == 0 ? false : mood == 1 ? true : power_random(&p->random) % 2 == 0;
            if (keeps) {
                put_safe(inode, w->offset + at, w->data + at, n);
                kept++;
            }
        }
        struct power_place *place = &p->stats.places[w->site][DISK_OP_WRITE];
        place->lost += kept == 0;
        place->torn += kept > 0 && kept < sectors;
        p->stats.writes_lost += kept == 0;
        p->stats.writes_torn += kept > 0 && kept < sectors;
    }
    drop_pending(inode);
}

/* The hook */

static bool is_planted(const struct power_disk *p, const struct disk_call *call)
{
    switch (p->plant) {
    case POWER_PLANT_ACK_BEFORE_SYNC:
        return call->op == DISK_OP_WRITE && call->durable;
    case POWER_PLANT_SKIP_RECOVER_SYNC:
        return call->op == DISK_OP_SYNC && call->site == DISK_WAL_RECOVER;
    case POWER_PLANT_SKIP_DIR_SYNC:
        return call->op == DISK_OP_SYNC_DIR;
    case POWER_PLANT_SKIP_IDENTITY_SYNC:
        return call->op == DISK_OP_SYNC && call->site == DISK_WAL_IDENTITY;
    case POWER_PLANT_SKIP_FOUND_SYNC:
        return call->op == DISK_OP_SYNC_DIR && call->site == DISK_DATA_FOUND;
    case POWER_PLANT_NONE:
    case POWER_PLANT_COUNT:
        break;
    }
    return false;
}

static struct inode *inode_of(struct power_disk *p, const char *path)
{
    struct name *name = find(&p->now, path);
    INVARIANT(name != NULL);
    return name->inode;
}

static void note(struct power_disk *p, const struct disk_call *call)
{
    switch (call->op) {
    case DISK_OP_MKDIR:
        change(p, call, call->path, new_inode(p, true), false);
        break;
    case DISK_OP_OPEN:
        if (call->creates) {
            change(p, call, call->path, new_inode(p, false), false);
        }
        break;
    case DISK_OP_WRITE:
        put_pending(inode_of(p, call->path), call);
        if (call->durable && !is_planted(p, call)) {
            sync_inode(inode_of(p, call->path));
        }
        break;
    case DISK_OP_SYNC:
        if (!is_planted(p, call)) {
            sync_inode(inode_of(p, call->path));
        }
        break;
    case DISK_OP_RENAME:
        change(p, call, call->to, inode_of(p, call->path), false);
        change(p, call, call->path, NULL, true);
        break;
    case DISK_OP_UNLINK:
    case DISK_OP_RMDIR:
        change(p, call, call->path, NULL, false);
        break;
    case DISK_OP_SYNC_DIR:
        if (!is_planted(p, call)) {
            make_safe(p, call->path, 0);
        }
        break;
    case DISK_OP_ALLOCATE:
    case DISK_OP_RESIZE: /* what comes to it are zeros */
    case DISK_OP_COUNT:
        break;
    }
}

/* The process dies in the middle of a write: some of its sectors have reached the kernel. A later
 * reader sees these and no others; whether they outlive the machine is another matter. */
static void catch_write(struct power_disk *p, const struct disk_call *call)
{
    uint64_t mood = power_random(&p->random) % 4; /* nothing, all, a first part, any */
    size_t first_part = (size_t)(power_random(&p->random) % (call->len / SECTOR + 1)) * SECTOR;
    int fd = open(call->path, O_WRONLY | O_CLOEXEC);
    INVARIANT(fd >= 0);
    p->stats.caught_writes++;
    size_t reached = 0;
    for (size_t at = 0; at < call->len; at += SECTOR) {
        bool any = power_random(&p->random) % 2 == 0;
        if (mood == 0 || (mood == 2 && at >= first_part) || (mood == 3 && !any)) {
            continue;
        }
        struct disk_call part = *call;
        part.data += at;
        part.offset += at;
        part.len = call->len - at < SECTOR ? call->len - at : SECTOR;
        put_pending(inode_of(p, call->path), &part);
        ssize_t n = pwrite(fd, part.data, part.len, (off_t)part.offset);
        INVARIANT(n == (ssize_t)part.len);
        reached += part.len;
    }
    p->stats.writes_torn += reached > 0 && reached < call->len;
    p->stats.places[call->site][call->op].torn += reached > 0 && reached < call->len;
    (void)close(fd);
}

static int hook(void *ctx, struct disk_call *call)
{
    struct power_disk *p = ctx;
    if (p->is_dead) {
        return EIO;
    }
    struct power_place *place = &p->stats.places[call->site][call->op];
    p->stats.calls++;
    place->calls++;
    if (p->armed > 0 && --p->armed == 0) {
        p->is_dead = true;
        place->cuts++;
        if (call->op == DISK_OP_WRITE) {
            catch_write(p, call);
        }
        return EIO;
    }
    note(p, call);
    return 0;
}

/* Life and death */

struct power_disk *power_disk_new(const char *root, uint64_t seed, enum power_plant plant)
{
    struct power_disk *p = MEM_NEW(struct power_disk);
    p->root = mem_strdup(root);
    p->random = seed;
    p->plant = plant;
    p->seam = (struct disk){.hook = hook, .ctx = p};
    return p;
}

void power_disk_free(struct power_disk *p)
{
    for (struct inode *inode = p->inodes; inode != NULL;) {
        struct inode *next = inode->next;
        drop_pending(inode);
        buf_done(&inode->safe);
        mem_free(inode);
        inode = next;
    }
    for (size_t i = 0; i < p->change_count; i++) {
        mem_free(p->changes[i].path);
    }
    names_done(&p->now);
    names_done(&p->safe);
    mem_free(p->root);
    mem_free(p);
}

const struct disk *power_disk_seam(struct power_disk *p)
{
    return &p->seam;
}

void power_disk_arm(struct power_disk *p, uint64_t calls)
{
    p->armed = calls;
}

bool power_disk_is_dead(const struct power_disk *p)
{
    return p->is_dead;
}

void power_disk_kill(struct power_disk *p)
{
    p->stats.kills++;
    p->is_dead = false;
    p->armed = 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    return ftw->level == 0 ? 0 : remove(path);
}

static void write_out(const struct name *name)
{
    if (name->inode->is_dir) {
        return;
    }
    int fd = open(name->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        INVARIANT(errno == ENOENT); /* its directory did not survive */
        return;
    }
    const struct buf *safe = &name->inode->safe;
    ssize_t n = safe->len > 0 ? write(fd, safe->data, safe->len) : 0;
    INVARIANT(n == (ssize_t)safe->len);
    (void)close(fd);
}

static void drop_changes(struct power_disk *p)
{
    p->stats.changes_lost += p->change_count;
    for (size_t i = 0; i < p->change_count; i++) {
        const struct change *c = &p->changes[i];
        p->stats.places[c->site][c->op].lost += c->with_before == 0;
        mem_free(c->path);
    }
    p->change_count = 0;
}

static void settle_in_order(struct power_disk *p)
{
    size_t kept = (size_t)(power_random(&p->random) % (p->change_count + 1));
    while (kept < p->change_count && p->changes[kept].with_before != 0) {
        kept++; /* a rename is one change */
    }
    make_safe(p, NULL, kept);
    drop_changes(p);
}

static size_t directory_bytes(const char *path)
{
    return (size_t)(strrchr(path, '/') - path);
}

static bool is_beside(const char *a, const char *b)
{
    size_t len = directory_bytes(a);
    return len == directory_bytes(b) && memcmp(a, b, len) == 0;
}

/* Of the directory that the first change is in. */
static void settle_one_directory(struct power_disk *p)
{
    struct change *changes = p->changes;
    char *of = mem_strdup(changes[0].path);
    bool keeps = true;
    size_t left = 0;
    for (size_t i = 0; i < p->change_count; i++) {
        if (!is_beside(changes[i].path, of)) {
            changes[left++] = changes[i];
            continue;
        }
        keeps = keeps && (changes[i].with_before != 0 || power_random(&p->random) % 4 != 0);
        if (keeps) {
            set_name(&p->safe, changes[i].path, changes[i].inode);
        }
        p->stats.changes_lost += keeps ? 0 : 1;
        mem_free(changes[i].path);
    }
    p->change_count = left;
    mem_free(of);
}

/* Names in a directory that is not there: it was never safe, or is gone with all it had. */
static void drop_orphans(struct power_disk *p)
{
    for (size_t i = 0; i < p->safe.count;) {
        const char *path = p->safe.at[i].path;
        char *dir = mem_strndup(path, directory_bytes(path));
        const struct name *parent = find(&p->safe, dir);
        bool is_orphan = strcmp(dir, p->root) != 0 && (parent == NULL || !parent->inode->is_dir);
        mem_free(dir);
        if (is_orphan) {
            set_name(&p->safe, path, NULL);
            i = 0; /* it may have been a directory */
        } else {
            i++;
        }
    }
}

void power_disk_lose_power(struct power_disk *p)
{
    p->stats.power_losses++;
    if (power_random(&p->random) % 2 == 0) {
        settle_in_order(p);
    }
    while (p->change_count > 0) {
        settle_one_directory(p);
    }
    drop_orphans(p);

    uint64_t mood = power_random(&p->random) % 4;
    for (struct inode *inode = p->inodes; inode != NULL; inode = inode->next) {
        settle_inode(p, inode, mood);
    }
    (void)nftw(p->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    names_done(&p->now);
    for (size_t i = 0; i < p->safe.count; i++) {
        const struct name *name = &p->safe.at[i];
        set_name(&p->now, name->path, name->inode);
        for (size_t j = 0; j < p->safe.count; j++) { /* whatever their order */
            if (p->safe.at[j].inode->is_dir) {
                (void)mkdir(p->safe.at[j].path, 0700);
            }
        }
    }
    for (size_t i = 0; i < p->safe.count; i++) {
        write_out(&p->safe.at[i]);
    }
    p->is_dead = false;
    p->armed = 0;
}

/* What it was worth */

const struct power_stats *power_disk_stats(const struct power_disk *p)
{
    return &p->stats;
}

void power_stats_add(struct power_stats *to, const struct power_stats *s)
{
    for (int site = 0; site < DISK_SITE_COUNT; site++) {
        for (int op = 0; op < DISK_OP_COUNT; op++) {
            struct power_place *place = &to->places[site][op];
            place->calls += s->places[site][op].calls;
            place->cuts += s->places[site][op].cuts;
            place->lost += s->places[site][op].lost;
            place->torn += s->places[site][op].torn;
        }
    }
    to->calls += s->calls;
    to->power_losses += s->power_losses;
    to->kills += s->kills;
    to->writes_lost += s->writes_lost;
    to->writes_torn += s->writes_torn;
    to->changes_lost += s->changes_lost;
    to->caught_writes += s->caught_writes;
}

#define ULL(n) ((unsigned long long)(n))

void power_stats_print(const struct power_stats *s)
{
    print_message("# %llu disk calls, %llu power losses, %llu kills; %llu writes caught in the "
                  "middle, %llu lost, %llu torn, %llu changes of directories lost\n",
                  ULL(s->calls), ULL(s->power_losses), ULL(s->kills), ULL(s->caught_writes),
                  ULL(s->writes_lost), ULL(s->writes_torn), ULL(s->changes_lost));
    for (int site = 0; site < DISK_SITE_COUNT; site++) {
        for (int op = 0; op < DISK_OP_COUNT; op++) {
            const struct power_place *place = &s->places[site][op];
            if (place->calls > 0) {
                print_message("#   %-12s %-8s %8llu calls, %5llu cut, %5llu lost, %5llu torn\n",
                              disk_site_name(site), disk_op_name(op), ULL(place->calls),
                              ULL(place->cuts), ULL(place->lost), ULL(place->torn));
            }
        }
    }
}

const char *power_stats_uncut(const struct power_stats *s, uint64_t calls)
{
    static char text[64];
    for (int site = 0; site < DISK_SITE_COUNT; site++) {
        for (int op = 0; op < DISK_OP_COUNT; op++) {
            if (s->places[site][op].calls >= calls && s->places[site][op].cuts == 0) {
                (void)snprintf(text, sizeof text, "%s %s", disk_site_name(site), disk_op_name(op));
                return text;
            }
        }
    }
    return NULL;
}
