#include "node/cluster_plan.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/lib/test.h"

enum { ARGUMENTS_MAX = 24 };

/* "node peer_listen certs seed", "-" for an empty one; "": there is no file. */
static bool take_file(const char *text, struct cluster_file *ret)
{
    char certs[CLUSTER_CERTS_BYTES];
    char seed[MEMBER_ADDRESS_BYTES];
    *ret = (struct cluster_file){0};
    if (*text == '\0') {
        return false;
    }
    assert_int_equal(
        sscanf(text, "%u %261s %1023s %261s", &ret->node, ret->peer_listen, certs, seed), 4);
    (void)snprintf(ret->certs, sizeof ret->certs, "%s", strcmp(certs, "-") != 0 ? certs : "");
    (void)snprintf(ret->seed, sizeof ret->seed, "%s", strcmp(seed, "-") != 0 ? seed : "");
    return true;
}

static void parse(struct options *o, const char *line, char detail[OPTIONS_DETAIL_BYTES])
{
    char *copy = mem_strdup(line);
    char words[] = "--data\0DIR";
    char *argv[ARGUMENTS_MAX] = {words, words, words + sizeof "--data"};
    int argc = 3;
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < ARGUMENTS_MAX - 1);
        argv[argc++] = word;
    }
    if (options_parse(o, argc, argv, detail) != ERR_OK) {
        fail_msg("%s: %s", line, detail);
    }
    mem_free(copy);
}

static enum err plan(const char *flags, bool has_data, const char *file, struct cluster_plan *ret,
                     char detail[OPTIONS_DETAIL_BYTES])
{
    struct options o;
    struct cluster_file there;
    bool has_file = take_file(file, &there);
    parse(&o, flags, detail);
    detail[0] = '\0';
    enum err err = cluster_plan(&o, has_data, has_file ? &there : NULL, ret, detail);
    options_done(&o);
    return err;
}

#define BEGAN  "1 a:1 - -"
#define JOINED "2 b:1 /c a:1"
#define INIT_A "--cluster-init --node-id 1 --peer-listen a:1"
#define JOIN_B "--join a:1 --node-id 2 --peer-listen b:1 --cluster-certs /c"
#define TOKEN  " --join-token t"

enum { EMPTY, DATA };

static void flags_and_data_make_a_plan(void **state)
{
    (void)state;
    static const struct {
        const char *flags;
        int data;
        const char *file;
        enum cluster_role role;
        const char *wanted;
        bool writes;
    } rows[] = {
        {"", EMPTY, "", CLUSTER_SINGLE, "", false},
        {"", DATA, "", CLUSTER_SINGLE, "", false},
        {"--join-token t", DATA, "", CLUSTER_SINGLE, "", false}, /* as the environment may have */
        {INIT_A, EMPTY, "", CLUSTER_INIT, BEGAN, true},
        {INIT_A, DATA, "", CLUSTER_INIT, BEGAN, true},
        {INIT_A " --cluster-certs /c", DATA, "", CLUSTER_INIT, "1 a:1 /c -", true},
        {JOIN_B TOKEN, EMPTY, "", CLUSTER_JOIN, JOINED, true},

        /* started before, and cut short before there was data */
        {INIT_A, EMPTY, BEGAN, CLUSTER_INIT, BEGAN, false},
        {"", EMPTY, BEGAN, CLUSTER_INIT, BEGAN, false},
        {JOIN_B TOKEN, EMPTY, JOINED, CLUSTER_JOIN, JOINED, false},
        {TOKEN, EMPTY, JOINED, CLUSTER_JOIN, JOINED, false},
        {"--node-id 2" TOKEN, EMPTY, JOINED, CLUSTER_JOIN, JOINED, false},
        {"--join z:9 --node-id 3 --peer-listen b:1" TOKEN, EMPTY, JOINED, CLUSTER_JOIN,
         "3 b:1 - z:9", true},
        {INIT_A, EMPTY, JOINED, CLUSTER_INIT, BEGAN, true},

        /* a member */
        {"", DATA, BEGAN, CLUSTER_MEMBER, BEGAN, false},
        {INIT_A, DATA, BEGAN, CLUSTER_MEMBER, BEGAN, false},
        {"--cluster-init", DATA, BEGAN, CLUSTER_MEMBER, BEGAN, false},
        {"--peer-listen a:1", DATA, BEGAN, CLUSTER_MEMBER, BEGAN, false},
        {"", DATA, JOINED, CLUSTER_MEMBER, JOINED, false},
        {JOIN_B TOKEN, DATA, JOINED, CLUSTER_MEMBER, JOINED, false},
        {JOIN_B, DATA, JOINED, CLUSTER_MEMBER, JOINED, false}, /* no token is needed any more */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char detail[OPTIONS_DETAIL_BYTES];
        struct cluster_plan p;
        struct cluster_file wanted;
        (void)take_file(rows[i].wanted, &wanted);
        if (plan(rows[i].flags, rows[i].data == DATA, rows[i].file, &p, detail) != ERR_OK) {
            fail_msg("row %zu: %s", i, detail);
        }
        if (p.role != rows[i].role || p.writes_file != rows[i].writes ||
            p.file.node != wanted.node || strcmp(p.file.peer_listen, wanted.peer_listen) != 0 ||
            strcmp(p.file.certs, wanted.certs) != 0 || strcmp(p.file.seed, wanted.seed) != 0) {
            fail_msg("row %zu: role %d, writes %d, node %u, %s, %s, %s", i, p.role, p.writes_file,
                     p.file.node, p.file.peer_listen, p.file.certs, p.file.seed);
        }
    }
}

static void flags_that_do_not_fit_are_refused_in_one_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *flags;
        int data;
        const char *file;
        const char *part;
    } rows[] = {
        {"--node-id 2", DATA, "",
         "--node-id is given with --cluster-init or --join, and DIR is in no"},
        {"--peer-listen a:1", EMPTY, "", "--peer-listen is given with"},
        {"--cluster-certs /c", EMPTY, "", "--cluster-certs is given with"},
        {"--cluster-init", EMPTY, "", "--node-id is missing"},
        {"--cluster-init --node-id 1", DATA, "", "--peer-listen is missing"},
        {"--join a:1 --node-id 2" TOKEN, EMPTY, "", "--join needs --node-id and --peer-listen"},
        {JOIN_B, EMPTY, "", "--join needs --join-token"},
        {JOIN_B TOKEN, DATA, "", "DIR: has data of its own, and --join begins without"},

        {"", EMPTY, JOINED, "has not joined by a:1 yet: give --join-token"},
        {JOIN_B, EMPTY, JOINED, "--join needs --join-token"},
        {"--node-id 3" TOKEN, EMPTY, JOINED, "--node-id 3: the data directory says 2"},

        {"--node-id 2", DATA, BEGAN, "--node-id 2: the data directory says 1"},
        {"--peer-listen a:2", DATA, BEGAN, "--peer-listen a:2: the data directory says a:1"},
        {"--cluster-certs /c", DATA, BEGAN,
         "--cluster-certs /c: the data directory says certs in itself"},
        {"--cluster-certs /d", DATA, JOINED, "--cluster-certs /d: the data directory says /c"},
        {"--cluster-init", DATA, JOINED,
         "--cluster-init: the data directory says that the node joined by a:1"},
        {"--join a:1", DATA, BEGAN,
         "--join a:1: the data directory says that the node began its cluster"},
        {"--join z:1", DATA, JOINED,
         "--join z:1: the data directory says that the node joined by a:1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char detail[OPTIONS_DETAIL_BYTES];
        struct cluster_plan p = {.role = CLUSTER_MEMBER};
        enum err err = plan(rows[i].flags, rows[i].data == DATA, rows[i].file, &p, detail);
        if (err != ERR_BAD_REQUEST || strstr(detail, rows[i].part) == NULL ||
            strchr(detail, '\n') != NULL) {
            fail_msg("row %zu: %s \"%s\"", i, err_info(err)->name, detail);
        }
        assert_int_equal(p.role, CLUSTER_MEMBER); /* written on success alone */
    }
}

TEST_MAIN(cmocka_unit_test(flags_and_data_make_a_plan),
          cmocka_unit_test(flags_that_do_not_fit_are_refused_in_one_sentence))
