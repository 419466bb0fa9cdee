#include "node/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/lib/test.h"

enum { ARGUMENTS_MAX = 24, PATH_BYTES = 4096 };

struct fixture {
    char *dir;
    char config[PATH_BYTES];
    char detail[OPTIONS_DETAIL_BYTES];
    struct options options;
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    f->dir = test_make_dir();
    (void)snprintf(f->config, sizeof f->config, "%s/config", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    options_done(&f->options);
    test_remove_dir(f->dir);
    mem_free(f);
    return 0;
}

/* Words separated by single spaces; @ stands for the config file. */
static enum err parse(struct fixture *f, const char *line)
{
    char *copy = mem_strdup(line);
    char *argv[ARGUMENTS_MAX] = {mem_strdup("dormoused")};
    int argc = 1;
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < ARGUMENTS_MAX - 1);
        argv[argc++] = mem_strdup(strcmp(word, "@") == 0 ? f->config : word);
    }
    options_done(&f->options);
    f->detail[0] = '\0';
    enum err err = options_parse(&f->options, argc, argv, f->detail);
    for (int i = 0; i < ARGUMENTS_MAX; i++) {
        mem_free(argv[i]); /* getopt moves them about */
    }
    mem_free(copy);
    return err;
}

static void write_config(struct fixture *f, const char *text)
{
    FILE *file = fopen(f->config, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    (void)fclose(file);
}

static void expect_ok(struct fixture *f, const char *line)
{
    enum err err = parse(f, line);
    if (err != ERR_OK) {
        fail_msg("%s: %s", line, f->detail);
    }
}

static void expect_bad(struct fixture *f, const char *line, const char *part)
{
    enum err err = parse(f, line);
    if (err != ERR_BAD_REQUEST || strstr(f->detail, part) == NULL) {
        fail_msg("%s: %s \"%s\" without \"%s\"", line, err_info(err)->name, f->detail, part);
    }
    assert_null(f->options.data);
    assert_null(f->options.config);
}

static void data_alone_is_a_complete_command(void **state)
{
    struct fixture *f = *state;
    expect_ok(f, "--data d");
    assert_int_equal(f->options.action, RUN_NODE);
    assert_string_equal(f->options.data, "d");
    assert_string_equal(f->options.host, "127.0.0.1");
    assert_int_equal(f->options.port, 7420);
    assert_int_equal(f->options.shards, 0);
    assert_true(f->options.memory == 0 && f->options.max_disk == 0);
    assert_false(f->options.allow_private_targets);
}

static void every_flag_is_taken(void **state)
{
    struct fixture *f = *state;
    expect_ok(f, "--data=d --listen [::1]:1 --shards 4096 --workers 1 --memory 64M --max-disk 1T "
                 "--allow-private-targets --tls-cert c --tls-key k");
    assert_string_equal(f->options.host, "::1");
    assert_int_equal(f->options.port, 1);
    assert_int_equal(f->options.shards, 4096);
    assert_int_equal(f->options.workers, 1);
    assert_true(f->options.memory == UINT64_C(64) << 20);
    assert_true(f->options.max_disk == UINT64_C(1) << 40);
    assert_true(f->options.allow_private_targets);
    assert_string_equal(f->options.tls_cert, "c");
    assert_string_equal(f->options.tls_key, "k");
    expect_ok(f, "--data d --max-disk 512M --workers 3");
    expect_ok(f, "--data d --listen localhost:0");
    assert_null(f->options.tls_cert);
    assert_string_equal(f->options.host, "127.0.0.1");
    assert_int_equal(f->options.port, 0);
}

static void flags_of_clusters_are_taken(void **state)
{
    struct fixture *f = *state;
    expect_ok(f, "--data d --cluster-init --node-id 1 --peer-listen [::1]:7421 --cluster-certs /c");
    assert_true(f->options.cluster_init);
    assert_int_equal(f->options.node_id, 1);
    assert_string_equal(f->options.peer_listen, "[::1]:7421");
    assert_string_equal(f->options.cluster_certs, "/c");
    assert_null(f->options.join);
    assert_null(f->options.join_token);
    expect_ok(f, "--data d --join h:7421 --join-token dm_x --node-id 4294967295");
    assert_false(f->options.cluster_init);
    assert_string_equal(f->options.join, "h:7421");
    assert_string_equal(f->options.join_token, "dm_x");
    assert_true(f->options.node_id == UINT32_MAX);
    assert_null(f->options.peer_listen);
    write_config(
        f, "cluster-init = true\nnode-id = 1\npeer-listen = h:1 # here\ncluster-certs = '/a b'\n");
    expect_ok(f, "--data d --config @ --peer-listen h:2");
    assert_true(f->options.cluster_init);
    assert_string_equal(f->options.peer_listen, "h:2");
    assert_string_equal(f->options.cluster_certs, "/a b");
    write_config(f, "cluster-init = false\njoin = h:1\njoin-token = dm_y\n");
    expect_ok(f, "--data d --config @");
    assert_string_equal(f->options.join_token, "dm_y");
}

/* The data directory keeps it, and the next start may be from another one. */
static void certificates_are_told_from_the_root_on(void **state)
{
    struct fixture *f = *state;
    char want[PATH_BYTES];
    char cwd[PATH_BYTES - 16];
    assert_non_null(getcwd(cwd, sizeof cwd));
    (void)snprintf(want, sizeof want, "%s/c/node-1", cwd);
    expect_ok(f, "--data d --cluster-certs c/node-1");
    assert_string_equal(f->options.cluster_certs, want);
}

static void a_token_to_join_with_may_come_from_the_environment(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(setenv("DORMOUSE_JOIN_TOKEN", "dm_env", 1), 0);
    expect_ok(f, "--data d --join h:1");
    assert_string_equal(f->options.join_token, "dm_env");
    expect_ok(f, "--data d --join h:1 --join-token dm_flag");
    assert_string_equal(f->options.join_token, "dm_flag");
    assert_int_equal(setenv("DORMOUSE_JOIN_TOKEN", "a b", 1), 0);
    expect_bad(f, "--data d --join h:1", "DORMOUSE_JOIN_TOKEN: not a token");
    assert_int_equal(setenv("DORMOUSE_JOIN_TOKEN", "", 1), 0);
    expect_ok(f, "--data d --join h:1");
    assert_null(f->options.join_token);
    assert_int_equal(unsetenv("DORMOUSE_JOIN_TOKEN"), 0);
}

static void other_things_to_do_need_no_data(void **state)
{
    struct fixture *f = *state;
    write_config(f, "shards = 3\n");
    expect_ok(f, "--version");
    assert_int_equal(f->options.action, SHOW_VERSION);
    expect_ok(f, "--help");
    assert_int_equal(f->options.action, SHOW_HELP);
    expect_ok(f, "--check d");
    assert_int_equal(f->options.action, RUN_CHECK);
    assert_string_equal(f->options.data, "d");
    expect_ok(f, "--check-config @");
    assert_int_equal(f->options.action, RUN_CHECK_CONFIG);
}

static void what_is_wrong_is_told_by_its_name(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *line;
        const char *part;
    } rows[] = {
        {"", "--data"},
        {"--data", "--data"},
        {"--nonsense", "--nonsense"},
        {"-d d", "-d"},
        {"d", "d: not a flag"},
        {"--data d e", "e: not a flag"},
        {"--data d --listen 7420", "HOST:PORT"},
        {"--data d --listen 127.0.0.1:", "HOST:PORT"},
        {"--data d --listen 127.0.0.1:65536", "HOST:PORT"},
        {"--data d --listen 127.0.0.1:-1", "HOST:PORT"},
        {"--data d --listen 0.0.0.0:7420", "loopback"},
        {"--data d --listen example.com:7420", "loopback"},
        {"--data d --listen :7420", "loopback"},
        {"--data d --shards 0", "1 to 4096"},
        {"--data d --shards 4097", "1 to 4096"},
        {"--data d --shards 1K", "1 to 4096"},
        {"--data d --shards 4x", "1 to 4096"},
        {"--data d --shards 18446744073709551617", "1 to 4096"},
        {"--data d --workers 0", "--workers"},
        {"--data d --memory 63M", "64M"},
        {"--data d --memory -1", "64M"},
        {"--data d --memory 1P", "64M"},
        {"--data d --memory 1MB", "64M"},
        {"--data d --memory 16777216T", "64M"},
        {"--data d --memory 99999999999999999999", "64M"},
        {"--data d --max-disk 255M", "256M"},
        {"--data d --max-disk 511M --workers 3", "3 workers and some data need at least 512M"},
        {"--data d --workers 64 --max-disk 8G", "at least 8320M"},
        {"--data d --tls-cert x", "--tls-key is missing"},
        {"--data d --tls-key x", "--tls-cert is missing"},
        {"--data d --listen ::1:80", "brackets"},
        {"--data d --listen [::]:80", "loopback"},
        {"--data d --cluster-init --join h:1", "give one of them"},
        {"--data d --cluster-init --node-id 2", "begins with node 1"},
        {"--data d --join h:1 --node-id 1", "nodes that join have others"},
        {"--data d --node-id 0", "1 to 4294967295"},
        {"--data d --node-id 4294967296", "1 to 4294967295"},
        {"--data d --node-id 1K", "1 to 4294967295"},
        {"--data d --peer-listen h", "--peer-listen h: not HOST:PORT"},
        {"--data d --peer-listen h:0", "--peer-listen h:0: not HOST:PORT"},
        {"--data d --join http://h:1", "--join http://h:1: not HOST:PORT"},
        {"--data d --join-token=", "--join-token: not a token"},
        {"--data d --join-token \x7f", "--join-token: not a token"},
        {"--data d --cluster-certs=", "--cluster-certs : not a directory"},
        {"--data d --cluster-certs a\nb", "not a directory"},
        {"--data d --config missing", "missing"},
        {"--data d --config /", "/"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_bad(f, rows[i].line, rows[i].part);
    }
}

static void a_config_file_is_read_under_the_flags(void **state)
{
    struct fixture *f = *state;
    write_config(f, "# a node\n\n  data = \"/var/lib/d\"  \nlisten=127.0.0.2:80\n\tshards =\t5\n"
                    "memory = 128M\nallow-private-targets = true");
    expect_ok(f, "--config @");
    assert_string_equal(f->options.data, "/var/lib/d");
    assert_string_equal(f->options.host, "127.0.0.2");
    assert_int_equal(f->options.port, 80);
    assert_int_equal(f->options.shards, 5);
    assert_true(f->options.memory == UINT64_C(128) << 20);
    assert_true(f->options.allow_private_targets);
    expect_ok(f, "--shards 6 --config @ --data d"); /* flags win, wherever they stand */
    assert_int_equal(f->options.shards, 6);
    assert_string_equal(f->options.data, "d");
}

static void a_value_is_written_as_in_toml(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *line;
        const char *data;
    } rows[] = {
        {"data = d", "d"},
        {"data=d", "d"},
        {"  data\t =\t d e \t", "d e"},
        {"data = d # e", "d"},
        {"data = d\t#e", "d"},
        {"data = d#e", "d#e"},
        {"data = \"d\"", "d"},
        {"data = 'd'", "d"},
        {"data = \" d \" # e", " d "},
        {"data = \"d # e\"", "d # e"},
        {"data = 'd \"e\"'#f", "d \"e\""},
        {"data = \"it's\"", "it's"},
        {"data = d=e", "d=e"},
        {"data = d\r\n", "d"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_config(f, rows[i].line);
        expect_ok(f, "--config @");
        assert_string_equal(f->options.data, rows[i].data);
    }
}

static void a_config_file_is_checked_with_line_numbers(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        const char *part;
    } rows[] = {
        {"shards = 1\nnonsense = 2\n", ":2: unknown name `nonsense`"},
        {"shards\n", ":1: not `name = value`"},
        {"\n\nshards = x\n", ":3: --shards x"},
        {"allow-private-targets = yes\n", ":1: allow-private-targets is true or false"},
        {"config = other\n", ":1: config: not for a config file"},
        {"help = true\n", ":1: help: not for a config file"},
        {"version = 1\n", ":1: version: not for a config file"},
        {"check = d\n", ":1: check: not for a config file"},
        {"= 1\n", ":1: unknown name ``"},
        {"shards = 1\nmemory = 1G\nshards = 1\n", ":3: shards is given a second time"},
        {"data =\n", ":1: there is no value"},
        {"data = # d\n", ":1: there is no value"},
        {"data = ''\n", ":1: there is no value"},
        {"\ndata = \"d\n", ":2: a quote is not closed"},
        {"data = 'd\"\n", ":1: a quote is not closed"},
        {"data = \"d\" e\n", ":1: there is more after the quoted value"},
        {"data = 'd''e'\n", ":1: there is more after the quoted value"},
        {"[node]\n", ":1: not `name = value`"},
        {"max_disk = 1G\n", ":1: unknown name `max_disk`"},
        {"cluster-init = x\n", ":1: cluster-init is true or false"},
        {"\nnode-id = x\n", ":2: --node-id x"},
        {"join = x\n", ":1: --join x: not HOST:PORT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_config(f, rows[i].text);
        expect_bad(f, "--data d --config @", rows[i].part);
        expect_bad(f, "--check-config @", rows[i].part);
    }
}

static void a_config_file_is_checked_as_a_whole_too(void **state)
{
    struct fixture *f = *state;
    write_config(f, "tls-key = x\n");
    expect_bad(f, "--check-config @", "--tls-cert is missing");
    expect_ok(f, "--data d --config @ --tls-cert c");
    write_config(f, "listen = 0.0.0.0:1\n");
    expect_bad(f, "--check-config @", "loopback");
}

static void a_line_that_is_too_long_is_told(void **state)
{
    struct fixture *f = *state;
    enum { LONG = 8192 };
    char *text = mem_zalloc(LONG + 1);
    memset(text, 'x', LONG);
    write_config(f, text);
    mem_free(text);
    expect_bad(f, "--data d --config @", ":1: the line is too long");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(data_alone_is_a_complete_command), TEST(every_flag_is_taken),
          TEST(flags_of_clusters_are_taken), TEST(certificates_are_told_from_the_root_on),
          TEST(a_token_to_join_with_may_come_from_the_environment),
          TEST(other_things_to_do_need_no_data), TEST(what_is_wrong_is_told_by_its_name),
          TEST(a_config_file_is_read_under_the_flags), TEST(a_value_is_written_as_in_toml),
          TEST(a_config_file_is_checked_with_line_numbers),
          TEST(a_config_file_is_checked_as_a_whole_too), TEST(a_line_that_is_too_long_is_told))
