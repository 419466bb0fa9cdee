#include "rpc/peer_link.h"

#include "base/mem.h"
#include "base/random.h"
#include "tests/lib/peer_certs.h"
#include "tests/lib/test.h"

#define MS UINT64_C(1000)

enum { MESSAGES_MAX = 64, MIB = 1 << 20, CLUSTER = 0xc1 };

/* One end of a link and its owner. */
struct end {
    struct peer_link *link;
    struct peer_hello hello; /* of the other side, from on_up */
    bool is_up;
    bool refuses;                  /* nobody is admitted */
    uint32_t groups[MESSAGES_MAX]; /* of the messages that came */
    size_t bytes[MESSAGES_MAX];
    size_t message_count;
    size_t output_count;
};

static struct tls_cert ca;
static struct tls_cert other_ca;
static struct tls_context *node1;
static struct tls_context *node2;
static struct tls_context *node2_of_other_ca;
static struct tls_context *node2_of_other_cluster; /* under the same CA */
static struct tls_context *nobody;                 /* names the CA's cluster and no node */

static struct end a; /* dials */
static struct end b;
static uint64_t now_us;
static struct peer_limits limits;
static uint8_t room[PEER_ROOM_BYTES];
static struct peer_link_options dial;
static struct peer_link_options accept_options;

static int make_contexts(void **state)
{
    (void)state;
    ca = peer_ca();
    other_ca = peer_ca();
    node1 = peer_context(&ca, &ca, "dormouse://c/node/1");
    node2 = peer_context(&ca, &ca, "dormouse://c/node/2");
    node2_of_other_ca = peer_context(&other_ca, &ca, "dormouse://c/node/2");
    node2_of_other_cluster = peer_context(&ca, &ca, "dormouse://d/node/2");
    nobody = peer_context(&ca, &ca, "dormouse://c");
    return 0;
}

static int free_contexts(void **state)
{
    (void)state;
    tls_context_unref(node1);
    tls_context_unref(node2);
    tls_context_unref(node2_of_other_ca);
    tls_context_unref(node2_of_other_cluster);
    tls_context_unref(nobody);
    tls_cert_done(&ca);
    tls_cert_done(&other_ca);
    return 0;
}

static bool admits(void *ctx, const struct peer_hello *hello)
{
    (void)hello;
    return !((struct end *)ctx)->refuses;
}

static void on_up(void *ctx, const struct peer_hello *hello)
{
    struct end *e = ctx;
    assert_false(e->is_up);
    e->is_up = true;
    e->hello = *hello;
}

static void on_message(void *ctx, const struct peer_message *m)
{
    struct end *e = ctx;
    assert_true(e->message_count < MESSAGES_MAX);
    e->groups[e->message_count] = m->group;
    e->bytes[e->message_count++] = m->payload.len;
}

static void on_output(void *ctx)
{
    ((struct end *)ctx)->output_count++;
}

static const struct peer_link_hooks hooks = {admits, on_up, on_message, on_output};

static int setup(void **state)
{
    (void)state;
    now_us = 1000 * MS;
    limits = peer_limits_default;
    a = (struct end){0};
    b = (struct end){0};
    dial = (struct peer_link_options){
        .side = PEER_DIALLED,
        .own = {.cluster_id = CLUSTER, .node = 1, .worker = 3, .workers = 4, .term = 17},
        .wanted_node = 2,
        .limits = &limits,
        .hooks = &hooks,
        .ctx = &a,
        .room = room};
    accept_options =
        (struct peer_link_options){.side = PEER_ACCEPTED,
                                   .own = {.cluster_id = CLUSTER, .node = 2, .workers = 1},
                                   .limits = &limits,
                                   .hooks = &hooks,
                                   .ctx = &b,
                                   .room = room};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_link_free(a.link);
    peer_link_free(b.link);
    return 0;
}

/* One way, at most `max` bytes; the sender's outputs come in pieces. */
static size_t carry(struct end *from, struct end *to, size_t max)
{
    size_t total = 0;
    struct slice out;
    while (total < max && (out = peer_link_output(from->link, now_us)).len > 0) {
        size_t n = out.len < 5000 ? out.len : 5000;
        n = n < max - total ? n : max - total;
        peer_link_recv(to->link, slice_of(out.data, n), now_us);
        peer_link_sent(from->link, n, now_us);
        total += n;
    }
    return total;
}

static void converse(void)
{
    while (carry(&a, &b, SIZE_MAX) + carry(&b, &a, SIZE_MAX) > 0) {
    }
}

static void open_links(struct tls_context *of_a, struct tls_context *of_b)
{
    a.link = peer_link_new(&dial, of_a, now_us);
    b.link = peer_link_new(&accept_options, of_b, now_us);
    assert_non_null(a.link);
    assert_non_null(b.link);
}

static void be_up(void)
{
    open_links(node1, node2);
    converse();
    assert_int_equal(peer_link_state(a.link), LINK_UP);
    assert_int_equal(peer_link_state(b.link), LINK_UP);
}

static struct peer_message message_of(uint32_t group, struct slice payload)
{
    return (struct peer_message){.kind = 1,
                                 .group = group,
                                 .from = UINT64_C(1) << 32 | 5,
                                 .to = UINT64_C(2) << 32 | 6,
                                 .payload = payload};
}

static enum err send_to_b(uint32_t group, struct slice payload)
{
    const struct peer_message m = message_of(group, payload);
    return peer_link_send(a.link, &m);
}

/* Ticks both whenever they want it, until then. */
static void let_time_pass(uint64_t us, bool carries)
{
    uint64_t end_us = now_us + us;
    for (;;) {
        uint64_t next_us = peer_link_next_us(a.link);
        uint64_t next_b_us = peer_link_next_us(b.link);
        next_us = next_us < next_b_us ? next_us : next_b_us;
        if (next_us > end_us) {
            break;
        }
        now_us = next_us > now_us ? next_us : now_us;
        peer_link_tick(a.link, now_us);
        peer_link_tick(b.link, now_us);
        assert_true(peer_link_next_us(a.link) > now_us && peer_link_next_us(b.link) > now_us);
        if (carries) {
            converse();
        }
    }
    now_us = end_us;
}

static void expect_reason(const struct end *e, const char *part)
{
    if (strstr(peer_link_reason(e->link), part) == NULL) {
        fail_msg("\"%s\" without \"%s\"", peer_link_reason(e->link), part);
    }
}

/* Greetings */

static void two_nodes_greet_each_other(void **state)
{
    (void)state;
    dial.own.channel = PEER_BULK;
    be_up();
    assert_true(a.is_up && b.is_up);
    assert_int_equal(b.hello.node, 1);
    assert_int_equal(b.hello.worker, 3);
    assert_int_equal(b.hello.workers, 4);
    assert_int_equal(b.hello.channel, PEER_BULK);
    assert_int_equal(b.hello.term, 17);
    assert_int_equal(a.hello.node, 2);
    assert_int_equal(a.hello.version, PEER_VERSION);
}

/* Both know why, and neither was up. */
static void expect_refused(const char *why)
{
    converse();
    assert_false(a.is_up || b.is_up);
    assert_int_equal(peer_link_state(a.link), LINK_OVER);
    assert_int_equal(peer_link_state(b.link), LINK_OVER);
    expect_reason(&a, why);
    expect_reason(&b, why);
}

static void data_of_another_cluster_is_refused(void **state)
{
    (void)state;
    dial.own.cluster_id = 0xd1;
    open_links(node1, node2);
    expect_refused("its data is of cluster 00000000000000d1, not 00000000000000c1");
}

static void a_node_that_is_not_admitted_is_refused(void **state)
{
    (void)state;
    b.refuses = true;
    open_links(node1, node2);
    expect_refused("node 1 is not a member of the cluster");
}

static void a_node_that_claims_anothers_id_is_refused(void **state)
{
    (void)state;
    dial.own.node = 7;
    open_links(node1, node2);
    expect_refused("it says that it is node 7, its certificate that it is 1");
}

static void a_node_that_answers_under_anothers_id_is_refused(void **state)
{
    (void)state;
    accept_options.own.node = 7;
    open_links(node1, node2);
    converse();
    assert_false(a.is_up);
    expect_reason(&a, "it says that it is node 7, its certificate that it is 2");
}

static void a_node_does_not_talk_to_itself(void **state)
{
    (void)state;
    accept_options.own.node = 1;
    dial.wanted_node = 1;
    open_links(node1, node1);
    expect_refused("which is this one");
}

static void a_node_that_was_not_dialled_is_left(void **state)
{
    (void)state;
    dial.wanted_node = 3;
    open_links(node1, node2);
    converse();
    assert_false(a.is_up || b.is_up);
    expect_reason(&a, "the certificate is that of node 2, not 3");
}

static void a_certificate_of_another_ca_is_not_let_in(void **state)
{
    (void)state;
    open_links(node1, node2_of_other_ca);
    converse();
    assert_false(a.is_up || b.is_up);
    expect_reason(&a, "TLS: ");
    peer_link_free(a.link);
    peer_link_free(b.link);
    dial.own.node = 2;
    dial.wanted_node = 1;
    accept_options.own.node = 1;
    open_links(node2_of_other_ca, node1);
    converse();
    assert_false(a.is_up || b.is_up);
    expect_reason(&b, "TLS: ");
}

static void a_certificate_of_another_cluster_under_the_same_ca_is_not_let_in(void **state)
{
    (void)state;
    open_links(node1, node2_of_other_cluster);
    converse();
    assert_false(a.is_up || b.is_up);
    expect_reason(&a, "the certificate is of cluster d, not c");
}

static void a_certificate_that_names_no_node_is_not_let_in(void **state)
{
    (void)state;
    open_links(nobody, node2);
    converse();
    assert_false(a.is_up || b.is_up);
    expect_reason(&b, "does not name a node");
}

static void what_is_not_tls_ends_the_link(void **state)
{
    (void)state;
    open_links(node1, node2);
    peer_link_recv(b.link, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), now_us);
    expect_reason(&b, "TLS: ");
    (void)carry(&b, &a, SIZE_MAX);
    assert_true(peer_link_wants_close(b.link));
}

static void a_greeting_has_its_time(void **state)
{
    (void)state;
    open_links(node1, node2);
    (void)carry(&a, &b, 100); /* and then nothing */
    assert_int_equal(peer_link_next_us(a.link), now_us + limits.greeting_ms * MS);
    now_us += limits.greeting_ms * MS;
    peer_link_tick(a.link, now_us);
    peer_link_tick(b.link, now_us);
    expect_reason(&a, "took too long");
    expect_reason(&b, "took too long");
    (void)peer_link_output(a.link, now_us);
    assert_true(peer_link_wants_close(b.link) || peer_link_output(b.link, now_us).len == 0);
}

/* Messages */

static void messages_go_from_the_side_that_dialled(void **state)
{
    (void)state;
    be_up();
    uint8_t *large = mem_zalloc(2 * MIB);
    expect_err(send_to_b(1, SLICE("first")), ERR_OK);
    expect_err(send_to_b(2, slice_of(large, 2 * MIB)), ERR_OK);
    expect_err(send_to_b(3, (struct slice){0}), ERR_OK);
    assert_true(peer_link_queued_bytes(a.link) > 2 * MIB);
    converse();
    assert_int_equal(b.message_count, 3);
    assert_int_equal(b.groups[0], 1);
    assert_int_equal(b.bytes[0], 5);
    assert_int_equal(b.groups[1], 3); /* it did not wait */
    assert_int_equal(b.groups[2], 2);
    assert_int_equal(b.bytes[2], 2 * MIB);
    assert_int_equal(peer_link_queued_bytes(a.link), 0);
    struct peer_counts of_a = peer_link_counts(a.link);
    struct peer_counts of_b = peer_link_counts(b.link);
    assert_int_equal(of_a.messages_out, 3);
    assert_int_equal(of_b.messages_in, 3);
    assert_int_equal(of_a.bytes_out, of_b.bytes_in);
    assert_int_equal(of_a.bytes_in, of_b.bytes_out);
    assert_int_equal(of_a.dropped, 0);
    mem_free(large);
}

static void before_it_is_up_and_behind_its_end_messages_are_dropped_and_counted(void **state)
{
    (void)state;
    open_links(node1, node2);
    expect_err(send_to_b(1, SLICE("too early")), ERR_UNAVAILABLE);
    converse();
    expect_err(send_to_b(1, SLICE("waits")), ERR_OK);
    expect_err(send_to_b(2, SLICE("waits too")), ERR_OK);
    peer_link_recv_end(a.link, now_us);
    expect_reason(&a, "closed by the peer");
    expect_err(send_to_b(1, SLICE("too late")), ERR_UNAVAILABLE);
    assert_int_equal(peer_link_counts(a.link).dropped, 4);
    converse();
    assert_int_equal(b.message_count, 0);
}

/* A reader that takes nothing: what waits for it is bounded, and others are told at once. */
static void a_full_queue_drops_and_goes_on_when_there_is_room(void **state)
{
    (void)state;
    be_up();
    uint8_t *large = mem_zalloc(MIB);
    enum err err;
    size_t taken = 0;
    while ((err = send_to_b(1, slice_of(large, MIB))) == ERR_OK) {
        taken++;
    }
    expect_err(err, ERR_OVERLOADED);
    assert_in_range(taken, 30, 32);
    assert_true(peer_link_queued_bytes(a.link) <= limits.queue_bytes_max);
    assert_int_equal(peer_link_counts(a.link).dropped, 1);
    converse();
    assert_int_equal(b.message_count, taken);
    expect_err(send_to_b(1, SLICE("again")), ERR_OK);
    converse();
    assert_int_equal(b.message_count, taken + 1);
    mem_free(large);
}

/* Keepalive */

static void an_idle_link_stays_up_and_measures_the_way(void **state)
{
    (void)state;
    be_up();
    let_time_pass(60 * 1000 * MS, true);
    assert_int_equal(peer_link_state(a.link), LINK_UP);
    assert_int_equal(peer_link_state(b.link), LINK_UP);
    peer_link_tick(a.link, peer_link_next_us(a.link));
    now_us = peer_link_next_us(a.link) - limits.ping_ms * MS;
    (void)carry(&a, &b, SIZE_MAX);
    now_us += 800;
    (void)carry(&b, &a, SIZE_MAX);
    assert_in_range(peer_link_counts(a.link).rtt_us, 1, 800);
}

static void a_peer_that_falls_silent_is_dead(void **state)
{
    (void)state;
    be_up();
    uint64_t heard_us = now_us;
    while (peer_link_state(a.link) == LINK_UP || peer_link_state(b.link) == LINK_UP) {
        let_time_pass(limits.ping_ms * MS, false);
        assert_true(now_us < heard_us + 2 * limits.dead_ms * MS);
    }
    assert_true(now_us >= heard_us + limits.dead_ms * MS);
    expect_reason(&a, "nothing was heard for 3000 ms");
    expect_reason(&b, "nothing was heard for 3000 ms");
    assert_true(peer_link_wants_close(a.link) && peer_link_wants_close(b.link));
}

/* Our own loop was held up for longer than that: what the peer sent meanwhile counts. */
static void silence_of_our_own_making_is_not_death(void **state)
{
    (void)state;
    be_up();
    now_us += 10 * limits.dead_ms * MS;
    peer_link_tick(b.link, now_us);
    assert_int_equal(peer_link_state(b.link), LINK_UP);
    peer_link_tick(a.link, now_us);
    peer_link_tick(a.link, now_us + 1); /* a PING */
    converse();
    let_time_pass(limits.dead_ms * MS - 1, true);
    assert_int_equal(peer_link_state(b.link), LINK_UP);
    assert_int_equal(peer_link_state(a.link), LINK_UP);
}

/* Slow, but it takes bytes and answers: no message is lost, the link stays. */
static void a_slow_reader_that_answers_is_not_dead(void **state)
{
    (void)state;
    be_up();
    uint8_t *large = mem_zalloc(20 * MIB);
    expect_err(send_to_b(1, slice_of(large, 20 * MIB)), ERR_OK);
    for (int i = 0; b.message_count == 0; i++) {
        assert_true(i < 10000);
        now_us += 10 * MS;
        if (peer_link_next_us(a.link) <= now_us) {
            peer_link_tick(a.link, now_us);
        }
        if (peer_link_next_us(b.link) <= now_us) {
            peer_link_tick(b.link, now_us);
        }
        (void)carry(&a, &b, 16 * 1024);
        (void)carry(&b, &a, 1000);
    }
    assert_int_equal(peer_link_state(a.link), LINK_UP);
    assert_int_equal(b.bytes[0], 20 * MIB);
    mem_free(large);
}

/* Ends */

static void an_owner_may_end_it_and_the_other_side_hears(void **state)
{
    (void)state;
    be_up();
    peer_link_end(a.link, "no longer a member", now_us);
    converse();
    assert_true(peer_link_wants_close(a.link));
    expect_reason(&a, "no longer a member");
    expect_reason(&b, "closed by the peer");
}

static void last_words_that_nobody_takes_are_not_waited_for(void **state)
{
    (void)state;
    be_up();
    peer_link_end(a.link, "done", now_us);
    assert_true(peer_link_output(a.link, now_us).len > 0);
    now_us = peer_link_next_us(a.link);
    peer_link_tick(a.link, now_us);
    assert_true(peer_link_wants_close(a.link));
}

static void bytes_that_were_changed_end_the_link(void **state)
{
    (void)state;
    be_up();
    expect_err(send_to_b(1, SLICE("hello")), ERR_OK);
    struct slice out = peer_link_output(a.link, now_us);
    uint8_t *copy = mem_alloc(out.len);
    memcpy(copy, out.data, out.len);
    copy[out.len - 1] ^= 1;
    peer_link_recv(b.link, slice_of(copy, out.len), now_us);
    expect_reason(&b, "TLS: ");
    assert_int_equal(b.message_count, 0);
    mem_free(copy);
}

/* Rogues: nodes of the cluster whose programs do not do as they should */

static struct tls *rogue; /* under the certificate of node 1, dials b */

static void recv_from_rogue(void)
{
    struct slice out;
    while ((out = tls_output(rogue)).len > 0) {
        peer_link_recv(b.link, out, now_us);
        tls_sent(rogue, out.len);
    }
}

/* What b says goes to the rogue, which reads it all. */
static void send_to_rogue(struct buf *ret_plain)
{
    struct slice out;
    while ((out = peer_link_output(b.link, now_us)).len > 0) {
        size_t n;
        tls_feed(rogue, out);
        while (tls_read(rogue, room, sizeof room, &n) == ERR_OK) {
            buf_append(ret_plain, room, n);
        }
        peer_link_sent(b.link, out.len, now_us);
    }
}

static void dial_as_rogue(void)
{
    struct buf plain = {0};
    b.link = peer_link_new(&accept_options, node2, now_us);
    rogue = tls_new(node1, TLS_CLIENT);
    for (int i = 0; i < 3; i++) {
        recv_from_rogue();
        send_to_rogue(&plain);
    }
    assert_int_equal(tls_state(rogue), TLS_OPEN);
    assert_int_equal(peer_link_state(b.link), LINK_GREETING);
    buf_done(&plain);
}

static void say(struct buf *frames)
{
    expect_err(tls_write(rogue, buf_slice(frames)), ERR_OK);
    buf_done(frames);
    recv_from_rogue();
}

/* b's answer to this greeting. */
static struct peer_frame greet(uint16_t newest, uint16_t oldest)
{
    static struct buf plain;
    struct buf frames = {0};
    struct peer_hello h = dial.own;
    struct peer_frame answer;
    h.version = newest;
    h.version_oldest = oldest;
    peer_put_hello(&frames, PEER_HELLO, &h);
    say(&frames);
    buf_done(&plain);
    send_to_rogue(&plain);
    size_t n;
    expect_err(peer_frame_bytes(buf_slice(&plain), &n), ERR_OK);
    expect_err(peer_frame_decode(slice_of(plain.data, n), &answer), ERR_OK);
    return answer;
}

static void a_newer_node_is_spoken_to_in_the_version_of_both(void **state)
{
    (void)state;
    dial_as_rogue();
    struct peer_frame answer = greet(PEER_VERSION + 1, PEER_VERSION);
    assert_int_equal(answer.type, PEER_WELCOME);
    assert_int_equal(answer.hello.version, PEER_VERSION);
    assert_int_equal(answer.hello.node, 2);
    tls_free(rogue);
}

static void a_node_without_a_version_in_common_is_told_so(void **state)
{
    (void)state;
    dial_as_rogue();
    struct peer_frame answer = greet(PEER_VERSION + 2, PEER_VERSION + 1);
    assert_int_equal(answer.type, PEER_REFUSE);
    assert_int_equal(answer.refusal, PEER_NO_VERSION);
    expect_str(answer.text, "it speaks versions 2 to 3, this node 1 to 1");
    tls_free(rogue);
}

static void expect_left(void)
{
    expect_reason(&b, "what it sent is not what a peer sends");
    assert_int_equal(b.message_count, 0);
    tls_free(rogue);
}

static void a_message_before_the_greeting_ends_the_link(void **state)
{
    (void)state;
    struct buf frames = {0};
    struct peer_message m = message_of(1, SLICE("x"));
    dial_as_rogue();
    peer_put_message(&frames, &m);
    say(&frames);
    expect_left();
}

static void a_message_in_the_name_of_another_node_ends_the_link(void **state)
{
    (void)state;
    struct buf frames = {0};
    struct peer_message m = message_of(1, SLICE("x"));
    m.from = UINT64_C(3) << 32;
    dial_as_rogue();
    (void)greet(PEER_VERSION, PEER_VERSION);
    assert_true(b.is_up);
    peer_put_message(&frames, &m);
    say(&frames);
    expect_left();
}

static void a_second_greeting_ends_the_link(void **state)
{
    (void)state;
    struct buf frames = {0};
    dial_as_rogue();
    (void)greet(PEER_VERSION, PEER_VERSION);
    peer_put_hello(&frames, PEER_HELLO, &dial.own);
    say(&frames);
    expect_left();
}

static void pings_whose_answers_nobody_reads_are_bounded(void **state)
{
    (void)state;
    dial_as_rogue();
    (void)greet(PEER_VERSION, PEER_VERSION);
    for (int i = 0; peer_link_state(b.link) == LINK_UP; i++) {
        struct buf frames = {0};
        assert_true(i < 10000);
        peer_put_stamp(&frames, PEER_PING, (uint64_t)i);
        say(&frames);
    }
    expect_left();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    test_begin();
    const struct CMUnitTest tests[] = {
        T(two_nodes_greet_each_other),
        T(data_of_another_cluster_is_refused),
        T(a_node_that_is_not_admitted_is_refused),
        T(a_node_that_claims_anothers_id_is_refused),
        T(a_node_that_answers_under_anothers_id_is_refused),
        T(a_node_does_not_talk_to_itself),
        T(a_node_that_was_not_dialled_is_left),
        T(a_certificate_of_another_ca_is_not_let_in),
        T(a_certificate_of_another_cluster_under_the_same_ca_is_not_let_in),
        T(a_certificate_that_names_no_node_is_not_let_in),
        T(what_is_not_tls_ends_the_link),
        T(a_greeting_has_its_time),
        T(messages_go_from_the_side_that_dialled),
        T(before_it_is_up_and_behind_its_end_messages_are_dropped_and_counted),
        T(a_full_queue_drops_and_goes_on_when_there_is_room),
        T(an_idle_link_stays_up_and_measures_the_way),
        T(a_peer_that_falls_silent_is_dead),
        T(silence_of_our_own_making_is_not_death),
        T(a_slow_reader_that_answers_is_not_dead),
        T(an_owner_may_end_it_and_the_other_side_hears),
        T(last_words_that_nobody_takes_are_not_waited_for),
        T(bytes_that_were_changed_end_the_link),
        T(a_newer_node_is_spoken_to_in_the_version_of_both),
        T(a_node_without_a_version_in_common_is_told_so),
        T(a_message_before_the_greeting_ends_the_link),
        T(a_message_in_the_name_of_another_node_ends_the_link),
        T(a_second_greeting_ends_the_link),
        T(pings_whose_answers_nobody_reads_are_bounded),
    };
    return cmocka_run_group_tests(tests, make_contexts, free_contexts);
}
