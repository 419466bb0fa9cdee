/* dormouse: the command line of a Dormouse cluster. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/output.h"

static const struct command commands[] = {
    {"status", "is the node well; members and shards of its cluster", command_status},
    {"get", "show a value, or what an actor is", command_get},
    {"put", "store a value", command_put},
    {"delete", "remove a key, or a whole actor", command_delete},
    {"list", "list keys and values of an actor", command_list},
    {"txn", "run a transaction", command_txn},
    {"watch", "follow what happens to an actor", command_watch},
    {"timers", "list, show, set and delete timers", command_timers},
    {"steps", "list, begin and end steps of a run", command_steps},
    {"deploy", "bundle code and deploy it", command_deploy},
    {"versions", "list the versions of a namespace's code", command_versions},
    {"rollback", "bring an earlier version back", command_rollback},
    {"dev", "deploy whenever a file changes, and show the logs", command_dev},
    {"logs", "show what code logs", command_logs},
    {"call", "call a method of an actor", command_call},
    {"execute", "run code once, bound to an actor", command_execute},
    {"actors", "list the actors of a namespace", command_actors},
    {"cluster", "members of the cluster, tokens to join, certificates", command_cluster},
    {"token", "create, list and revoke access tokens", command_token},
    {"secret", "set, list and remove secrets of a namespace", command_secret},
    {"hibernate", "put an actor to sleep", command_hibernate},
    {"request", "send any request", command_request},
    {"bench", "measure durable writes and reads", command_bench},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    static char version[64];
    static char name[] = "dormouse";
    snprintf(version, sizeof(version), "dormouse %s", dormouse_version());
    argp_program_version = version;
    argp_err_exit_status = EXIT_USAGE;
    argv[0] = name;
    setlocale(LC_CTYPE, "");
    struct cli cli = {.url = getenv("DORMOUSE_URL"),
                      .token = getenv("DORMOUSE_TOKEN"),
                      .ca_file = getenv("DORMOUSE_CA")};
    int code = cli_dispatch(&cli, "dormouse", commands, argc, argv);
    cli_done(&cli);
    if (!output_is_written()) {
        return code == EXIT_OK ? EXIT_ANSWER : code;
    }
    return code;
}
