/* Runs a fuzz target over files, without a fuzzer: in every build, as part of make check.
 *
 *     replay_json [FILE or FOLDER]...     none: $top_srcdir/tests/fuzz/corpus/json
 *
 * One line of TAP a file; a target that finds a fault aborts. No file at all is a failure: a corpus
 * that is not found must not look like one that passes. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/fuzz/fuzz.h"

static unsigned ran;
static unsigned failed;

static void report(bool is_good, const char *path)
{
    ran++;
    failed += !is_good;
    const char *name = strrchr(path, '/');
    printf("%s %u - %s\n", is_good ? "ok" : "not ok", ran, name != NULL ? name + 1 : path);
}

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        report(false, path);
        return;
    }
    struct buf whole = {0};
    for (size_t n = 1; n > 0;) {
        uint8_t chunk[4096];
        n = fread(chunk, 1, sizeof chunk, f);
        buf_append(&whole, chunk, n);
    }
    bool is_good = ferror(f) == 0;
    (void)fclose(f);

    /* In a block of exactly its length, so that a sanitizer sees the first byte read behind it. */
    uint8_t *input = mem_alloc(whole.len > 0 ? whole.len : 1);
    memcpy(input, whole.len > 0 ? whole.data : input, whole.len);
    is_good = is_good && LLVMFuzzerTestOneInput(input, whole.len) == 0;
    mem_free(input);
    buf_done(&whole);
    report(is_good, path);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void run(const char *path)
{
    struct stat st;
    struct dirent **entries;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        run_file(path);
        return;
    }
    int count = scandir(path, &entries, is_visible, alphasort);
    if (count < 0) {
        report(false, path);
        return;
    }
    for (int i = 0; i < count; i++) {
        struct buf name = {0};
        buf_printf(&name, "%s/%s", path, entries[i]->d_name);
        buf_append_byte(&name, '\0');
        run_file((const char *)name.data);
        buf_done(&name);
        free(entries[i]);
    }
    free(entries);
}

static void run_own_corpus(const char *program)
{
    const char *top = getenv("top_srcdir");
    const char *slash = strrchr(program, '/');
    const char *name = strchr(slash != NULL ? slash : program, '_'); /* replay_group_wire */
    struct buf path = {0};
    buf_printf(&path, "%s/tests/fuzz/corpus/%s", top != NULL ? top : ".",
               name != NULL ? name + 1 : program);
    buf_append_byte(&path, '\0');
    run((const char *)path.data);
    buf_done(&path);
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        run(argv[i]);
    }
    if (argc < 2) {
        run_own_corpus(argv[0]);
    }
    if (ran == 0) {
        report(false, "there is no file to replay");
    }
    printf("1..%u\n", ran);
    return failed == 0 ? 0 : 1;
}
