/* Terminals. What stands at /dev/ptmx may be the user's: whatever does not behave as a terminal is refused. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "actor/sandbox/init.h"

int pty_make(uint32_t size, int *ret_master, int *ret_slave)
{
    const struct winsize window = {.ws_col = (uint16_t)(size & 0xffff),
                                   .ws_row = (uint16_t)(size >> 16)};
    int unlocked = 0;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master < 0) {
        return errno;
    }
    int slave = -1;
    if (ioctl(master, TIOCSPTLCK, &unlocked) == 0) {
        slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    if (slave < 0 || ioctl(slave, TIOCSWINSZ, &window) != 0) {
        int error = errno;
        (void)close(master);
        if (slave >= 0) {
            (void)close(slave);
        }
        return error;
    }
    *ret_master = master;
    *ret_slave = slave;
    return 0;
}
