/* The command line `dormouse`: what all commands share.
 *
 *     main ---> command's run(argc, argv) ---> cli_parse (argp) ---> cli_connect ---> SDK calls
 *                                                                        |
 *     exit code <--- cli_fail(error), or what the command found <--------+
 *
 * Commands use the public SDK header and libc, nothing else of ours. Each returns an exit code.
 * Results go to standard output, everything else to standard error; with --json both are JSON. */
#ifndef SDK_C_CLI_CLI_H
#define SDK_C_CLI_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "sdk-c/dormouse.h"

/* Documented in dormouse(1); scripts rely on them. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_ANSWER = 1,      /* the server said no, or the output could not be written */
    EXIT_USAGE = 2,       /* arguments; nothing was sent */
    EXIT_NOT_FOUND = 3,   /* what was addressed is not there */
    EXIT_CONDITION = 4,   /* a condition, check or lease did not hold */
    EXIT_UNREACHABLE = 5, /* no connection, no owner, or the time was up */
};

enum { POSITIONALS_MAX = 34 }; /* an actor, a method and 32 arguments for it */

struct cli {
    const char *url; /* options of every command */
    const char *token;
    const char *ca_file;
    uint32_t deadline_ms; /* 0: the SDK's */
    bool json;
    bool http2;

    const char *positionals[POSITIONALS_MAX]; /* of the command; NULL where not given */
    int positional_count;

    struct dormouse *d; /* after cli_connect; cli_done frees it, and the next */
    char *actor_text;   /* after cli_actor, whose result points in here */
};

/* What a command wants parsed. `option` is given each of its own options: 0, or ARGP_ERR_UNKNOWN. */
struct syntax {
    const char *usage; /* "ACTOR KEY [VALUE]" */
    const char *help;
    int positionals_min;
    int positionals_max;
    const struct argp_option *options; /* closed by {0}; or NULL */
    error_t (*option)(void *data, int key, char *arg, struct argp_state *state);
    void *data;
};

/* Fills `cli`, or ends the program: --help and --version with 0, mistakes with EXIT_USAGE.
 * Options of every command may stand before the command, too. */
void cli_parse(struct cli *cli, int argc, char **argv, const struct syntax *syntax);

/* EXIT_OK, or the exit code of a failure that it has reported. */
int cli_connect(struct cli *cli);
struct dormouse_options cli_options(const struct cli *cli);
const char *cli_url(const struct cli *cli);
void cli_done(struct cli *cli);

/* Splits NS/CLASS/ID at the first two slashes; EXIT_USAGE where it has not got them. One actor at
 * a time. */
int cli_actor(struct cli *cli, const char *text, struct dormouse_actor *ret_actor);

/* Reports, and says which exit code that is. */
int cli_fail(const struct cli *cli, const struct dormouse_error *error);
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "500ms", "90s", "10m", "24h", "7d" */
bool duration_parse(const char *text, uint64_t *ret_ms);
bool number_parse(const char *text, uint64_t *ret);

/* The common part of subcommands (`timers set`): runs the one that argv[1] names. */
struct command {
    const char *name;
    const char *summary;
    int (*run)(struct cli *cli, int argc, char **argv);
};
int cli_dispatch(struct cli *cli, const char *parent, const struct command *commands, int argc,
                 char **argv);

int cluster_certs(struct cli *cli, int argc, char **argv);
int cluster_move_shard(struct cli *cli, int argc, char **argv);
int cluster_rebalance(struct cli *cli, int argc, char **argv);
int command_actors(struct cli *cli, int argc, char **argv);
int command_bench(struct cli *cli, int argc, char **argv);
int command_call(struct cli *cli, int argc, char **argv);
int command_cluster(struct cli *cli, int argc, char **argv);
int command_delete(struct cli *cli, int argc, char **argv);
int command_deploy(struct cli *cli, int argc, char **argv);
int command_dev(struct cli *cli, int argc, char **argv);
int command_execute(struct cli *cli, int argc, char **argv);
int command_get(struct cli *cli, int argc, char **argv);
int command_hibernate(struct cli *cli, int argc, char **argv);
int command_list(struct cli *cli, int argc, char **argv);
int command_logs(struct cli *cli, int argc, char **argv);
int command_put(struct cli *cli, int argc, char **argv);
int command_request(struct cli *cli, int argc, char **argv);
int command_rollback(struct cli *cli, int argc, char **argv);
int command_status(struct cli *cli, int argc, char **argv);
int command_steps(struct cli *cli, int argc, char **argv);
int command_timers(struct cli *cli, int argc, char **argv);
int command_secret(struct cli *cli, int argc, char **argv);
int command_token(struct cli *cli, int argc, char **argv);
int command_txn(struct cli *cli, int argc, char **argv);
int command_versions(struct cli *cli, int argc, char **argv);
int command_watch(struct cli *cli, int argc, char **argv);

#endif
