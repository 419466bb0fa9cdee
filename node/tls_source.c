#include "node/tls_source.h"

#include <string.h>
#include <sys/stat.h>

#include "base/invariant.h"
#include "base/log.h"

enum { FILES_MAX = sizeof((struct tls_source *)0)->stamps / sizeof(struct tls_stamp) };

/* All zero where there is no such file. */
static struct tls_stamp stamp_of(const char *path)
{
    struct stat st;
    if (path == NULL || stat(path, &st) != 0) {
        return (struct tls_stamp){0};
    }
    return (struct tls_stamp){.inode = st.st_ino,
                              .bytes = (uint64_t)st.st_size,
                              .changed_ns =
                                  st.st_ctim.tv_sec * INT64_C(1000000000) + st.st_ctim.tv_nsec};
}

static void take_stamps(const struct tls_source *s, struct tls_stamp ret_stamps[FILES_MAX])
{
    ret_stamps[0] = stamp_of(s->files.cert);
    ret_stamps[1] = stamp_of(s->files.key);
    ret_stamps[2] = stamp_of(s->files.ca);
}

static bool is_same(const struct tls_stamp *a, const struct tls_stamp *b)
{
    return a->inode == b->inode && a->bytes == b->bytes && a->changed_ns == b->changed_ns;
}

static bool has_changed(const struct tls_source *s)
{
    struct tls_stamp now[FILES_MAX];
    take_stamps(s, now);
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (!is_same(&now[i], &s->stamps[i])) {
            return true;
        }
    }
    return false;
}

/* The stamps are taken first: a change while the files are read shows at the next poll. */
static enum err read_files(struct tls_source *s, uint64_t mono_ms, uint64_t wall_ms,
                           struct tls_context **ret_context, char detail[TLS_DETAIL_BYTES])
{
    take_stamps(s, s->stamps);
    enum err err = tls_context_new(s->use, &s->files, wall_ms, ret_context, detail);
    s->is_behind = err != ERR_OK;
    s->read_ms = err == ERR_OK ? mono_ms : s->read_ms;
    return err;
}

static void log_context(const struct tls_source *s, const struct tls_context *c)
{
    LOG(LOG_INFO, "tls_certificate", LOG_STR("file", s->files.cert),
        LOG_INT("expires_ms", (int64_t)tls_context_expires_ms(c)));
}

enum err tls_source_open(struct tls_source *s, enum tls_use use, const struct tls_files *files,
                         uint64_t mono_ms, uint64_t wall_ms, char ret_detail[TLS_DETAIL_BYTES])
{
    *s = (struct tls_source){.use = use, .files = *files};
    enum err err = read_files(s, mono_ms, wall_ms, &s->context, ret_detail);
    if (err != ERR_OK) {
        return err;
    }
    int rc = pthread_mutex_init(&s->mutex, NULL);
    INVARIANT(rc == 0);
    atomic_init(&s->generation, 1);
    log_context(s, s->context);
    return ERR_OK;
}

void tls_source_close(struct tls_source *s)
{
    tls_context_unref(s->context);
    s->context = NULL;
    (void)pthread_mutex_destroy(&s->mutex);
}

/* Once for each reason. */
static void complain(struct tls_source *s, const char *detail)
{
    if (strcmp(s->complaint, detail) != 0) {
        (void)memcpy(s->complaint, detail, strlen(detail) + 1);
        LOG(LOG_ERROR, "tls_certificate_kept", LOG_STR("why", detail));
    }
}

static void replace(struct tls_source *s, struct tls_context *context)
{
    (void)pthread_mutex_lock(&s->mutex);
    struct tls_context *old = s->context;
    s->context = context;
    atomic_fetch_add(&s->generation, 1);
    (void)pthread_mutex_unlock(&s->mutex);
    tls_context_unref(old);
    s->complaint[0] = '\0';
}

void tls_source_poll(struct tls_source *s, bool must, uint64_t mono_ms, uint64_t wall_ms)
{
    bool is_old = mono_ms >= s->read_ms + TLS_SOURCE_AGE_MS;
    if (!must && !is_old && !s->is_behind && !has_changed(s)) {
        return;
    }
    char detail[TLS_DETAIL_BYTES];
    struct tls_context *context = NULL;
    if (read_files(s, mono_ms, wall_ms, &context, detail) != ERR_OK) {
        complain(s, detail);
        return;
    }
    log_context(s, context);
    replace(s, context);
}

struct tls_context *tls_source_take(struct tls_source *s, uint64_t *ret_generation)
{
    (void)pthread_mutex_lock(&s->mutex);
    struct tls_context *taken = tls_context_ref(s->context);
    *ret_generation = atomic_load(&s->generation);
    (void)pthread_mutex_unlock(&s->mutex);
    return taken;
}
