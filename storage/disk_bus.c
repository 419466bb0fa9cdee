#include "storage/disk_bus.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/invariant.h"

enum { LINE_BYTES = 4096 + 256, DIGITS = 20 };

/* Only what a signal handler may call from here on: no allocation, no stdio. */

static const char *parse_hex(const char *at, uint64_t *ret_number)
{
    uint64_t n = 0;
    for (;; at++) {
        if (*at >= '0' && *at <= '9') {
            n = n * 16 + (uint64_t)(*at - '0');
        } else if (*at >= 'a' && *at <= 'f') {
            n = n * 16 + (uint64_t)(*at - 'a') + 10;
        } else {
            *ret_number = n;
            return at;
        }
    }
}

static const char *skip_field(const char *at)
{
    while (*at != ' ' && *at != '\0') {
        at++;
    }
    while (*at == ' ') {
        at++;
    }
    return at;
}

/* "start-end rights offset device inode   path" */
bool disk_bus_find(const char *line, uint64_t address, struct disk_bus_place *ret_place)
{
    uint64_t start;
    uint64_t end;
    uint64_t offset;
    const char *at = parse_hex(line, &start);
    if (*at != '-') {
        return false;
    }
    at = skip_field(parse_hex(at + 1, &end));
    at = skip_field(at);
    at = skip_field(parse_hex(at, &offset));
    at = skip_field(skip_field(at));
    if (address < start || address >= end || *at != '/') {
        return false;
    }
    *ret_place = (struct disk_bus_place){.path = at, .offset = address - start + offset};
    return true;
}

/* The next line, without its end, cut off where it is too long. False: there is none. */
static bool read_line(int fd, char line[LINE_BYTES])
{
    size_t len = 0;
    char c;
    ssize_t n = read(fd, &c, 1);
    while (n == 1 && c != '\n') {
        if (len < LINE_BYTES - 1) {
            line[len++] = c;
        }
        n = read(fd, &c, 1);
    }
    line[len] = '\0';
    return n == 1 || len > 0;
}

struct text {
    char bytes[LINE_BYTES + 128];
    size_t len;
};

static void add(struct text *t, const char *text)
{
    size_t len = strlen(text);
    len = len < sizeof t->bytes - t->len ? len : sizeof t->bytes - t->len;
    memcpy(t->bytes + t->len, text, len);
    t->len += len;
}

static void add_number(struct text *t, uint64_t n)
{
    char digits[DIGITS + 1] = {0};
    size_t at = DIGITS;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    add(t, digits + at);
}

_Noreturn static void stop(const struct disk_bus_place *place)
{
    struct text text = {.len = 0};
    add(&text, place->path);
    add(&text, ": offset ");
    add_number(&text, place->offset);
    add(&text, ": the page cannot be read: Input/output error; stopping\n");
    (void)!write(STDERR_FILENO, text.bytes, text.len);
    _exit(EX_IOERR);
}

static void on_bus(int number, siginfo_t *info, void *context)
{
    char line[LINE_BYTES];
    struct disk_bus_place place;
    (void)context;
    int fd = info->si_code == BUS_ADRERR ? open("/proc/self/maps", O_RDONLY | O_CLOEXEC) : -1;
    while (fd >= 0 && read_line(fd, line)) {
        if (disk_bus_find(line, (uint64_t)(uintptr_t)info->si_addr, &place)) {
            stop(&place);
        }
    }
    (void)signal(number, SIG_DFL); /* it comes again when we return */
}

void disk_bus_catch(void)
{
    struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    (void)sigemptyset(&action.sa_mask);
    int rc = sigaction(SIGBUS, &action, NULL);
    INVARIANT(rc == 0);
}
