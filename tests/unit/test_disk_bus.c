#include "storage/disk_bus.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "tests/lib/test.h"

enum { PAGE = 4096 };

static void an_address_is_found_in_its_map(void **state)
{
    (void)state;
    static const char in_file[] =
        "7f0000002000-7f0000006000 r--s 00003000 fe:00 1234       /data/shards/g1.1.mdb";
    static const struct {
        const char *line;
        uint64_t address;
        const char *path; /* NULL: not in it */
        uint64_t offset;
    } cases[] = {
        {in_file, 0x7f0000002000, "/data/shards/g1.1.mdb", 0x3000},
        {in_file, 0x7f0000005fff, "/data/shards/g1.1.mdb", 0x6fff},
        {in_file, 0x7f0000001fff, NULL, 0},
        {in_file, 0x7f0000006000, NULL, 0},
        {"1000-2000 rw-p 00000000 00:00 0 ", 0x1000, NULL, 0},
        {"1000-2000 rw-p 00000000 00:00 0", 0x1000, NULL, 0},
        {"1000-2000 rw-p 00000000 00:00 0                          [heap]", 0x1000, NULL, 0},
        {"1000-2000 r--s 00000000 fe:00 7 /a file (deleted)", 0x1800, "/a file (deleted)", 0x800},
        {"", 0, NULL, 0},
        {"nonsense", 0, NULL, 0},
        {"1000-2000", 0x1000, NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct disk_bus_place place;
        bool found = disk_bus_find(cases[i].line, cases[i].address, &place);
        assert_int_equal(found, cases[i].path != NULL);
        if (found) {
            assert_string_equal(place.path, cases[i].path);
            assert_int_equal(place.offset, cases[i].offset);
        }
    }
}

/* The file is shorter than its map: the kernel has no page to show, as with a disk that cannot read. */
static void read_beyond_the_end(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, PAGE) != 0) {
        _exit(1);
    }
    const volatile uint8_t *map = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    uint8_t unread = map[0];
    unread = map[2 * PAGE + 5];
    _exit(unread);
}

/* The child's status, and what it said. */
static int status_of(void (*work)(const char *path), const char *path, char *ret_text, size_t size)
{
    int ends[2];
    int status;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        disk_bus_catch();
        work(path);
    }
    (void)close(ends[1]);
    ssize_t n = read(ends[0], ret_text, size - 1);
    ret_text[n > 0 ? n : 0] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_page_that_cannot_be_read_ends_the_process_with_one_line(void **state)
{
    (void)state;
    char path[512];
    char line[1024];
    char want[1024];
    char *dir = test_make_dir();
    (void)snprintf(path, sizeof path, "%s/g1.1.mdb", dir);
    int status = status_of(read_beyond_the_end, path, line, sizeof line);
    (void)snprintf(want, sizeof want,
                   "%s: offset 8197: the page cannot be read: Input/output error; stopping\n",
                   path);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EX_IOERR);
    assert_string_equal(line, want);
    test_remove_dir(dir);
}

static void raise_it(const char *path)
{
    (void)path;
    (void)signal(SIGABRT, SIG_DFL);
    (void)raise(SIGBUS);
    (void)raise(SIGBUS); /* the first took the handler away */
    _exit(0);
}

static void a_bus_error_that_is_no_page_s_ends_it_as_ever(void **state)
{
    (void)state;
    char text[1024];
    int status = status_of(raise_it, "", text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
    assert_string_equal(text, "");
}

TEST_MAIN(cmocka_unit_test(an_address_is_found_in_its_map),
          cmocka_unit_test(a_page_that_cannot_be_read_ends_the_process_with_one_line),
          cmocka_unit_test(a_bus_error_that_is_no_page_s_ends_it_as_ever))
