#include "node/notify.h"

#include <inttypes.h>
#include <stdlib.h>

#include <systemd/sd-daemon.h>

/* NOTIFY_SOCKET stays in the environment: other programs of the node are given none. */
enum { KEEP_ENVIRONMENT = 0 };

bool notify_is_heard(void)
{
    return getenv("NOTIFY_SOCKET") != NULL;
}

uint64_t notify_watchdog_ms(void)
{
    uint64_t timeout_us;
    return sd_watchdog_enabled(KEEP_ENVIRONMENT, &timeout_us) > 0 ? timeout_us / 1000 : 0;
}

void notify_starting(void)
{
    (void)sd_notify(KEEP_ENVIRONMENT, "STATUS=Reading the log");
}

void notify_more_time(uint64_t ms)
{
    (void)sd_notifyf(KEEP_ENVIRONMENT, "EXTEND_TIMEOUT_USEC=%" PRIu64, ms * 1000);
}

void notify_ready(const char *url)
{
    (void)sd_notifyf(KEEP_ENVIRONMENT, "READY=1\nSTATUS=Serving %s", url);
}

void notify_alive(void)
{
    (void)sd_notify(KEEP_ENVIRONMENT, "WATCHDOG=1");
}

void notify_stopping(void)
{
    (void)sd_notify(KEEP_ENVIRONMENT, "STOPPING=1\nSTATUS=Finishing open requests");
}
