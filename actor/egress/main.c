/* dormouse-egress: what user code asks of the outside, for one worker of a node. Started by the launcher. */
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "actor/egress/egress.h"
#include "actor/egress/files.h"
#include "actor/egress/lockdown.h"
#include "actor/egress_frame.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "config.h"

enum { EXIT_BAD_USAGE = 2, CA_BYTES_MAX = 4 << 20 };

static const char help[] =
    "Usage: dormouse-egress --channel FD [--ca FILE]\n"
    "\n"
    "Sends requests of user code for one worker of dormoused, which starts it.\n";

static bool parse_fd(const char *text, int *ret)
{
    char *end;
    long fd = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || fd < 3 || fd > 1024) {
        return false;
    }
    *ret = (int)fd;
    return true;
}

/* 0, or the exit status and -1 for the channel. */
static int parse(int argc, char **argv, struct egress_options *o, const char **ret_ca)
{
    static const struct option flags[] = {{"channel", required_argument, NULL, 'c'},
                                          {"ca", required_argument, NULL, 'a'},
                                          {"version", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int flag;
    *o = (struct egress_options){.channel = -1};
    *ret_ca = NULL;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        switch (flag) {
        case 'c':
            if (!parse_fd(optarg, &o->channel)) {
                return EXIT_BAD_USAGE;
            }
            break;
        case 'a':
            *ret_ca = optarg;
            break;
        case 'v':
            (void)printf("dormouse-egress %s\n", PACKAGE_VERSION);
            return 0;
        case 'h':
            (void)fputs(help, stdout);
            return 0;
        default:
            return EXIT_BAD_USAGE;
        }
    }
    return o->channel >= 0 && optind == argc ? 0 : EXIT_BAD_USAGE;
}

/* Before it locks itself down, and before it is another user. */
static bool read_ca(const char *path, struct buf *ret)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    for (size_t n = 1; n > 0 && ret->len < CA_BYTES_MAX;) {
        uint8_t bytes[4096];
        n = fread(bytes, 1, sizeof bytes, file);
        buf_append(ret, bytes, n);
    }
    bool good = ferror(file) == 0 && ret->len > 0;
    (void)fclose(file);
    return good;
}

/* What libraries do once, they do while they may: read their settings, load what they need. */
static bool warm_up(void)
{
    struct addrinfo *found = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return false;
    }
    if (getaddrinfo("localhost", NULL, NULL, &found) == 0) {
        freeaddrinfo(found);
    }
    return true;
}

static int run(const struct egress_options *options)
{
    struct egress egress;
    uint32_t layers = 0;
    if (lockdown(&layers) != ERR_OK) {
        LOG(LOG_ERROR, "egress_not_locked_down", LOG_INT("layers", layers));
        return 1;
    }
    if (egress_open(&egress, options) != ERR_OK) {
        LOG(LOG_ERROR, "egress_channel_unusable", LOG_INT("fd", options->channel));
        return 1;
    }
    egress_put_hello(&egress.out, layers);
    enum err err = egress_run(&egress);
    egress_close(&egress);
    if (err != ERR_OK) {
        LOG(LOG_ERROR, "egress_channel_corrupt", LOG_INT("fd", options->channel));
    }
    return err == ERR_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct egress_options options;
    struct buf ca = {0};
    const char *ca_path;
    int status = parse(argc, argv, &options, &ca_path);
    if (options.channel < 0 || status != 0) {
        if (status != 0) {
            (void)fputs(help, stderr);
        }
        return status;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    mem_init();
    random_init();
    (void)clearenv(); /* libraries read it, and it is the daemon's */
    if (!warm_up()) {
        LOG(LOG_ERROR, "egress_no_memory", LOG_INT("fd", options.channel));
        return 1;
    }
    if (ca_path != NULL && !read_ca(ca_path, &ca)) {
        LOG(LOG_ERROR, "egress_ca_unreadable", LOG_STR("file", ca_path));
        return 1;
    }
    options.ca = buf_slice(&ca);
    options.files = files_watch(ca_path);
    status = run(&options);
    /* Threads that resolve names may still be waiting for an answer. */
    _exit(status);
}
