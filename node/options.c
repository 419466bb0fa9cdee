#include "node/options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor/launch_wire.h"
#include "actor/sandbox_disk.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/slice.h"
#include "node/cluster_file.h"
#include "node/config_line.h"
#include "node/exposure.h"
#include "node/member.h"
#include "storage/data_dir.h"
#include "storage/engine.h"

enum { CONFIG_LINE_BYTES = 4096, PORT_DEFAULT = 7420, JOIN_TOKEN_BYTES_MAX = 255 };

#define MEMORY_BYTES_MIN (UINT64_C(64) << 20)

const char options_help[] =
    "Usage: dormoused --data DIR [OPTION]...\n"
    "       dormoused --check DIR | --check-config FILE | --version | --help\n"
    "\n"
    "Serves durable actors from the data in DIR, which is made where it is missing.\n"
    "\n"
    "  --data DIR               the node's data\n"
    "  --listen HOST:PORT       where clients connect (127.0.0.1:7420); elsewhere\n"
    "                           it needs TLS and tokens\n"
    "  --tls-cert FILE          serve TLS with this certificate, in PEM ...\n"
    "  --tls-key FILE           ... and its key; both are read again when they change\n"
    "  --config FILE            lines of `flag = value`, under the flags' names\n"
    "  --shards N               shards of a new data directory (64)\n"
    "  --workers N              worker threads (what the data has; at first, processors - 1)\n"
    "  --memory BYTES           for awake actors and rows not yet in the store; K, M, G (1G)\n"
    "  --max-disk BYTES         refuse writes above this; K, M, G (what the disk has)\n"
    "  --cors-origins LIST      pages of these origins may ask: https://app.example.com,...\n"
    "  --allow-private-targets  webhooks may go to loopback and private addresses\n"
    "  --preview-domain NAME    previews of sandboxes are below it (preview.localhost)\n"
    "  --image-dir DIR          images of sandboxes (beside the program, or installed)\n"
    "  --sandbox-without LIMITS run sandboxes on a machine that lacks these: memory_limit,\n"
    "                           pids_limit, cpu_limit\n"
    "  --cluster-init           begin a cluster; what the data has stays\n"
    "  --join HOST:PORT         join the cluster of the node that listens there for others\n"
    "  --join-token TOKEN       of `dormouse cluster join-token` (DORMOUSE_JOIN_TOKEN)\n"
    "  --node-id N              the number of this node: 1 begins, others join\n"
    "  --peer-listen HOST:PORT  where other nodes reach this one\n"
    "  --cluster-certs DIR      of `dormouse cluster certs` (certs in the data directory)\n"
    "  --check DIR              verify the data of a stopped node\n"
    "  --check-config FILE      verify a config file\n";

enum {
    FLAG_DATA = 1,
    FLAG_LISTEN,
    FLAG_CONFIG,
    FLAG_SHARDS,
    FLAG_WORKERS,
    FLAG_MEMORY,
    FLAG_MAX_DISK,
    FLAG_PRIVATE,
    FLAG_TLS_CERT,
    FLAG_TLS_KEY,
    FLAG_CHECK,
    FLAG_CHECK_CONFIG,
    FLAG_VERSION,
    FLAG_HELP,
    FLAG_CLUSTER_INIT,
    FLAG_CLUSTER_CERTS,
    FLAG_NODE_ID,
    FLAG_PEER_LISTEN,
    FLAG_JOIN,
    FLAG_JOIN_TOKEN,
    FLAG_CORS_ORIGINS,
    FLAG_IMAGE_DIR,
    FLAG_PREVIEW_DOMAIN,
    FLAG_SANDBOX_WITHOUT,
};

static const struct option flags[] = {
    {"data", required_argument, NULL, FLAG_DATA},
    {"listen", required_argument, NULL, FLAG_LISTEN},
    {"config", required_argument, NULL, FLAG_CONFIG},
    {"shards", required_argument, NULL, FLAG_SHARDS},
    {"workers", required_argument, NULL, FLAG_WORKERS},
    {"memory", required_argument, NULL, FLAG_MEMORY},
    {"max-disk", required_argument, NULL, FLAG_MAX_DISK},
    {"allow-private-targets", no_argument, NULL, FLAG_PRIVATE},
    {"check", required_argument, NULL, FLAG_CHECK},
    {"check-config", required_argument, NULL, FLAG_CHECK_CONFIG},
    {"version", no_argument, NULL, FLAG_VERSION},
    {"help", no_argument, NULL, FLAG_HELP},
    {"cors-origins", required_argument, NULL, FLAG_CORS_ORIGINS},
    {"tls-cert", required_argument, NULL, FLAG_TLS_CERT},
    {"tls-key", required_argument, NULL, FLAG_TLS_KEY},
    {"cluster-init", no_argument, NULL, FLAG_CLUSTER_INIT},
    {"cluster-certs", required_argument, NULL, FLAG_CLUSTER_CERTS},
    {"node-id", required_argument, NULL, FLAG_NODE_ID},
    {"peer-listen", required_argument, NULL, FLAG_PEER_LISTEN},
    {"join", required_argument, NULL, FLAG_JOIN},
    {"join-token", required_argument, NULL, FLAG_JOIN_TOKEN},
    {"image-dir", required_argument, NULL, FLAG_IMAGE_DIR},
    {"preview-domain", required_argument, NULL, FLAG_PREVIEW_DOMAIN},
    {"sandbox-without", required_argument, NULL, FLAG_SANDBOX_WITHOUT},
    {0},
};

static enum err bad(char detail[OPTIONS_DETAIL_BYTES], const char *format, ...) PRINTF_LIKE(2, 3);

static enum err bad(char detail[OPTIONS_DETAIL_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, OPTIONS_DETAIL_BYTES, format, args);
    va_end(args);
    return ERR_BAD_REQUEST;
}

/* "4096", "64M": digits and at most one of K, M, G, T. */
static bool parse_bytes(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    char *end;
    if (*text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (*end != '\0') {
        const char *unit = strchr(units, *end);
        if (unit == NULL || end[1] != '\0') {
            return false;
        }
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (errno != 0 || n > UINT64_MAX >> shift) {
        return false;
    }
    *ret = (uint64_t)n << shift;
    return true;
}

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint32_t *ret)
{
    uint64_t n;
    if (!parse_bytes(text, &n) || strspn(text, "0123456789") != strlen(text) || n < min ||
        n > max) {
        return false;
    }
    *ret = (uint32_t)n;
    return true;
}

/* "127.0.0.1:7420", "[::1]:7420", "localhost:7420". Whether a node may listen there is checked once all
 * flags are known. */
static enum err parse_listen(struct options *o, const char *text, char detail[OPTIONS_DETAIL_BYTES])
{
    const char *colon = strrchr(text, ':');
    uint32_t port;
    if (colon == NULL || !parse_number(colon + 1, 0, UINT16_MAX, &port)) {
        return bad(detail, "--listen %s: not HOST:PORT", text);
    }
    struct slice host = slice_of(text, (size_t)(colon - text));
    if (slice_equal_str(host, "localhost")) {
        host = SLICE("127.0.0.1");
    } else if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']') {
        host = slice_of(host.data + 1, host.len - 2);
    } else if (memchr(host.data, ':', host.len) != NULL) {
        return bad(detail, "--listen %s: an IPv6 address stands in brackets", text);
    }
    if (host.len >= sizeof o->host) {
        return bad(detail, "--listen %s: the host is too long", text);
    }
    memcpy(o->host, host.data, host.len);
    o->host[host.len] = '\0';
    o->port = (uint16_t)port;
    return ERR_OK;
}

static void replace(char **at, const char *text)
{
    mem_free(*at);
    *at = mem_strdup(text);
}

/* A switch, which has a value in a file alone. */
static bool is_on(const char *value)
{
    return value == NULL || strcmp(value, "true") == 0;
}

static bool is_visible(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return len > 0 && len <= JOIN_TOKEN_BYTES_MAX;
}

static enum err set_address(char **at, const char *name, const char *value,
                            char detail[OPTIONS_DETAIL_BYTES])
{
    if (!member_address_is_valid(slice_of_str(value))) {
        return bad(detail, "--%s %s: not HOST:PORT with a port from 1 to 65535", name, value);
    }
    replace(at, value);
    return ERR_OK;
}

/* Kept in the data directory, so it must not depend on where the program was started. */
static enum err set_certs(struct options *o, const char *value, char detail[OPTIONS_DETAIL_BYTES])
{
    char *cwd = value[0] != '/' ? get_current_dir_name() : NULL;
    struct buf path = {0};
    if (cwd != NULL) {
        buf_printf(&path, "%s/", cwd);
    }
    buf_append_str(&path, value);
    buf_append_byte(&path, 0);
    free(cwd);
    bool is_valid = value[0] != '\0' && cluster_certs_is_valid((const char *)path.data);
    if (is_valid) {
        replace(&o->cluster_certs, (const char *)path.data);
    }
    buf_done(&path);
    return is_valid ? ERR_OK
                    : bad(detail, "--cluster-certs %s: not a directory of at most %d bytes", value,
                          CLUSTER_CERTS_BYTES - 1);
}

static enum err set_cors(struct options *o, const char *value, char detail[OPTIONS_DETAIL_BYTES])
{
    const char *why = "";
    cors_done(&o->cors);
    return cors_parse(&o->cors, value, &why) == ERR_OK
               ? ERR_OK
               : bad(detail, "--cors-origins %s: %s", value, why);
}

static enum err set_cluster_flag(struct options *o, int flag, const char *name, const char *value,
                                 char detail[OPTIONS_DETAIL_BYTES])
{
    switch (flag) {
    case FLAG_CLUSTER_INIT:
        o->cluster_init = is_on(value);
        return ERR_OK;
    case FLAG_CLUSTER_CERTS:
        return set_certs(o, value, detail);
    case FLAG_NODE_ID:
        return parse_number(value, 1, UINT32_MAX, &o->node_id)
                   ? ERR_OK
                   : bad(detail, "--node-id %s: not a number from 1 to %" PRIu32, value,
                         UINT32_MAX);
    case FLAG_PEER_LISTEN:
        return set_address(&o->peer_listen, name, value, detail);
    case FLAG_JOIN:
        return set_address(&o->join, name, value, detail);
    case FLAG_JOIN_TOKEN:
        replace(&o->join_token, value);
        return is_visible(value) ? ERR_OK : bad(detail, "--join-token: not a token");
    default:
        return bad(detail, "%s: not for a config file", name);
    }
}

/* Limits that the operator does without; other layers are never given up. */
static enum err set_without(struct options *o, const char *value, char detail[OPTIONS_DETAIL_BYTES])
{
    static const struct {
        const char *name;
        enum launch_sandbox_need need;
    } names[] = {{"memory_limit", SANDBOX_NEEDS_MEMORY},
                 {"pids_limit", SANDBOX_NEEDS_PIDS},
                 {"cpu_limit", SANDBOX_NEEDS_CPU}};
    o->sandbox_without = 0;
    for (const char *at = value;; at++) {
        size_t len = strcspn(at, ",");
        size_t i = 0;
        while (i < 3 && !slice_equal_str(slice_of(at, len), names[i].name)) {
            i++;
        }
        if (i == 3) {
            return bad(detail, "--sandbox-without %s: not of memory_limit, pids_limit, cpu_limit",
                       value);
        }
        o->sandbox_without |= 1U << names[i].need;
        at += len;
        if (*at == '\0') {
            return ERR_OK;
        }
    }
}

/* Beside the program, as in a build; else where they are installed. */
static bool is_domain(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.");
    return n > 0 && n <= 200 && text[n] == '\0' && text[0] != '.' && text[n - 1] != '.';
}

static void default_image_dir(struct options *o)
{
    char path[SANDBOX_PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "/images");
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    if (slash != NULL) {
        memcpy(slash, "/images", sizeof "/images");
    }
    replace(&o->image_dir, slash != NULL && access(path, R_OK | X_OK) == 0 ? path : IMAGE_DIR);
}

/* One flag with its value; the same for the command line and the file. */
static enum err set_flag(struct options *o, int flag, const char *name, const char *value,
                         char detail[OPTIONS_DETAIL_BYTES])
{
    switch (flag) {
    case FLAG_DATA:
        replace(&o->data, value);
        return *value != '\0' ? ERR_OK : bad(detail, "--data: the directory has no name");
    case FLAG_LISTEN:
        return parse_listen(o, value, detail);
    case FLAG_SHARDS:
        return parse_number(value, 1, DATA_SHARDS_MAX, &o->shards)
                   ? ERR_OK
                   : bad(detail, "--shards %s: not a number from 1 to %d", value, DATA_SHARDS_MAX);
    case FLAG_WORKERS:
        if (!parse_number(value, 1, DATA_WORKERS_MAX, &o->workers)) {
            return bad(detail, "--workers %s: not a number from 1 to %d", value, DATA_WORKERS_MAX);
        }
        return ERR_OK;
    case FLAG_MEMORY:
        return parse_bytes(value, &o->memory) && o->memory >= MEMORY_BYTES_MIN
                   ? ERR_OK
                   : bad(detail, "--memory %s: not a size of at least 64M", value);
    case FLAG_MAX_DISK:
        return parse_bytes(value, &o->max_disk) && o->max_disk >= engine_quota_bytes_min(1)
                   ? ERR_OK
                   : bad(detail, "--max-disk %s: not a size of at least 256M", value);
    case FLAG_PRIVATE:
        o->allow_private_targets = is_on(value);
        return ERR_OK;
    case FLAG_CORS_ORIGINS:
        return set_cors(o, value, detail);
    case FLAG_TLS_CERT:
        replace(&o->tls_cert, value);
        return ERR_OK;
    case FLAG_TLS_KEY:
        replace(&o->tls_key, value);
        return ERR_OK;
    case FLAG_PREVIEW_DOMAIN:
        replace(&o->preview_domain, value);
        return is_domain(value) ? ERR_OK : bad(detail, "--preview-domain: not a domain");
    case FLAG_IMAGE_DIR:
        replace(&o->image_dir, value);
        return *value != '\0' && strlen(value) < SANDBOX_PATH_BYTES
                   ? ERR_OK
                   : bad(detail, "--image-dir: not a directory");
    case FLAG_SANDBOX_WITHOUT:
        return set_without(o, value, detail);
    default:
        return set_cluster_flag(o, flag, name, value, detail);
    }
}

static const struct option *find_flag(const char *name)
{
    for (const struct option *f = flags; f->name != NULL; f++) {
        if (strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

/* Each name stands in a file once: of two values one would be lost in silence. */
struct seen {
    bool flags[sizeof flags / sizeof flags[0]];
};

static enum err parse_line(struct options *o, struct seen *seen, char *line,
                           char detail[OPTIONS_DETAIL_BYTES])
{
    char *name;
    char *value;
    const char *why;
    if (config_line(line, &name, &value, &why) != ERR_OK) {
        return bad(detail, "%s", why);
    }
    if (name == NULL) {
        return ERR_OK;
    }
    const struct option *flag = find_flag(name);
    if (flag == NULL) {
        return bad(detail, "unknown name `%s`", name);
    }
    if (seen->flags[flag - flags]) {
        return bad(detail, "%s is given a second time", name);
    }
    seen->flags[flag - flags] = true;
    bool is_switch = flag->val == FLAG_PRIVATE || flag->val == FLAG_CLUSTER_INIT;
    if (is_switch && strcmp(value, "true") != 0 && strcmp(value, "false") != 0) {
        return bad(detail, "%s is true or false", name);
    }
    return set_flag(o, flag->val, name, value, detail);
}

static enum err parse_file(struct options *o, const char *path, char detail[OPTIONS_DETAIL_BYTES])
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return bad(detail, "%s: %s", path, strerror(errno));
    }
    char line[CONFIG_LINE_BYTES];
    char why[OPTIONS_DETAIL_BYTES];
    struct seen seen = {{false}};
    enum err err = ERR_OK;
    for (int number = 1; err == ERR_OK && fgets(line, sizeof line, file) != NULL; number++) {
        if (strchr(line, '\n') == NULL && !feof(file)) {
            err = bad(detail, "%s:%d: the line is too long", path, number);
        } else if (parse_line(o, &seen, line, why) != ERR_OK) {
            err = bad(detail, "%.200s:%d: %.200s", path, number, why);
        }
    }
    if (err == ERR_OK && ferror(file)) {
        err = bad(detail, "%s: %s", path, strerror(errno));
    }
    (void)fclose(file);
    return err;
}

/* The file first, so that flags win whatever their order. */
static enum err read_config_of(struct options *o, int argc, char **argv,
                               char detail[OPTIONS_DETAIL_BYTES])
{
    int flag;
    optind = 0;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (flag == FLAG_CONFIG || flag == FLAG_CHECK_CONFIG) {
            replace(&o->config, optarg);
        }
        if (flag == FLAG_CHECK_CONFIG) {
            o->action = RUN_CHECK_CONFIG;
        }
    }
    return o->config != NULL ? parse_file(o, o->config, detail) : ERR_OK;
}

static enum err read_flags(struct options *o, int argc, char **argv,
                           char detail[OPTIONS_DETAIL_BYTES])
{
    int flag;
    int at = 0;
    optind = 0;
    opterr = 0;
    while ((flag = getopt_long(argc, argv, "", flags, &at)) != -1) {
        switch (flag) {
        case FLAG_CONFIG:
        case FLAG_CHECK_CONFIG:
            break; /* was read before */
        case FLAG_CHECK:
            o->action = RUN_CHECK;
            replace(&o->data, optarg);
            break;
        case FLAG_VERSION:
            o->action = SHOW_VERSION;
            return ERR_OK;
        case FLAG_HELP:
            o->action = SHOW_HELP;
            return ERR_OK;
        case '?':
            return bad(detail, "%s: unknown, or its value is missing; see --help",
                       argv[optind - 1]);
        default: {
            enum err err = set_flag(o, flag, flags[at].name, optarg, detail);
            if (err != ERR_OK) {
                return err;
            }
        }
        }
    }
    return optind < argc ? bad(detail, "%s: not a flag; see --help", argv[optind]) : ERR_OK;
}

enum err options_check_disk(const struct options *o, uint32_t worker_count,
                            char ret_detail[OPTIONS_DETAIL_BYTES])
{
    uint64_t least_bytes = engine_quota_bytes_min(worker_count);
    if (o->max_disk == 0 || o->max_disk >= least_bytes) {
        return ERR_OK;
    }
    return bad(ret_detail,
               "--max-disk %" PRIu64 ": the logs of %u workers and some data need at least %" PRIu64
               "M; fewer --workers need less",
               o->max_disk, worker_count, least_bytes >> 20);
}

/* Without what the data directory says. */
static enum err check_cluster(const struct options *o, char detail[OPTIONS_DETAIL_BYTES])
{
    if (o->cluster_init && o->join != NULL) {
        return bad(detail,
                   "--cluster-init begins a cluster and --join enters one: give one of them");
    }
    if (o->cluster_init && o->node_id > 1) {
        return bad(detail, "--node-id %" PRIu32 ": a cluster begins with node 1", o->node_id);
    }
    if (o->join != NULL && o->node_id == 1) {
        return bad(detail, "--node-id 1: the cluster began with it; nodes that join have others");
    }
    return ERR_OK;
}

/* What flags are to each other, once all are known. */
static enum err check_together(const struct options *o, char detail[OPTIONS_DETAIL_BYTES])
{
    if (o->action == RUN_NODE && o->data == NULL) {
        return bad(detail, "--data DIR is needed; see --help");
    }
    if ((o->tls_cert == NULL) != (o->tls_key == NULL)) {
        return bad(detail, "--tls-cert and --tls-key are given together; --tls-%s is missing",
                   o->tls_cert == NULL ? "cert" : "key");
    }
    enum err err = check_cluster(o, detail);
    if (err != ERR_OK) {
        return err;
    }
    bool has_tokens = true; /* the data knows, see node_run */
    return exposure_check(o->host, o->tls_cert != NULL, has_tokens, detail, OPTIONS_DETAIL_BYTES);
}

/* The command line is there for every user of the machine to see. */
static enum err read_environment(struct options *o, char detail[OPTIONS_DETAIL_BYTES])
{
    const char *token = getenv("DORMOUSE_JOIN_TOKEN");
    if (o->join_token != NULL || token == NULL || token[0] == '\0') {
        return ERR_OK;
    }
    replace(&o->join_token, token);
    return is_visible(token) ? ERR_OK : bad(detail, "DORMOUSE_JOIN_TOKEN: not a token");
}

enum err options_parse(struct options *o, int argc, char **argv,
                       char ret_detail[OPTIONS_DETAIL_BYTES])
{
    *o = (struct options){.host = "127.0.0.1", .port = PORT_DEFAULT};
    default_image_dir(o);
    replace(&o->preview_domain, "preview.localhost");
    opterr = 0;
    enum err err = read_config_of(o, argc, argv, ret_detail);
    if (err == ERR_OK) {
        err = read_flags(o, argc, argv, ret_detail);
    }
    if (err == ERR_OK) {
        err = read_environment(o, ret_detail);
    }
    if (err == ERR_OK) {
        err = check_together(o, ret_detail);
    }
    if (err == ERR_OK && o->workers != 0) {
        err = options_check_disk(o, o->workers, ret_detail);
    }
    if (err != ERR_OK) {
        options_done(o);
    }
    return err;
}

static void forget(char **at)
{
    mem_free(*at);
    *at = NULL;
}

void options_done(struct options *o)
{
    if (o->join_token != NULL) {
        explicit_bzero(o->join_token, strlen(o->join_token));
    }
    forget(&o->data);
    forget(&o->config);
    forget(&o->tls_cert);
    forget(&o->tls_key);
    forget(&o->join);
    forget(&o->join_token);
    forget(&o->peer_listen);
    forget(&o->cluster_certs);
    cors_done(&o->cors);
    forget(&o->image_dir);
    forget(&o->preview_domain);
}
