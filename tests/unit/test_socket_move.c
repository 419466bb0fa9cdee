/* Sockets whose owner moves, crashes and comes back, over connections that break: a world of three nodes in
 * memory, with clients on each, an actor whose shard is now here and now there, and chance.
 *
 * Whatever happens, what a client says is done once and in order, and what the actor says arrives so; a socket
 * of which that cannot be held is closed, and the client told. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/random.h"
#include "node/socket_line.h"
#include "node/socket_owner.h"
#include "tests/lib/test.h"

enum { NODES = 3, CLIENTS = 6, SHARD = 5, TAKEN_MAX = 64, STEP_MS = 20 };

struct posted {
    struct list link;
    bool is_up;
    struct buf wire;
};

struct node {
    struct socket_owner owner;
    struct socket_lines lines;
};

struct client {
    uint32_t node;
    struct socket_line *line;
    bool is_open; /* an actor has accepted it */
    bool is_lost;
    bool is_closed; /* by itself */
    bool got_close; /* from the actor */
    int said;
    struct buf heard;    /* what the actor said, each followed by '|' */
    struct buf done;     /* what the actor did, likewise */
    struct list untaken; /* letters that it has not read yet */
};

static struct node nodes[NODES + 1]; /* by id */
static struct list wires[NODES + 1][NODES + 1];
static bool is_cut[NODES + 1][NODES + 1];
static struct client clients[CLIENTS];
static uint32_t leader;                       /* 0: nobody */
static struct socket_event *taken[TAKEN_MAX]; /* the code host's, of the leader */
static size_t taken_count;
static uint64_t now_ms;
static unsigned random_state;
static struct identity identity;
static const struct address address = {.ns = {(const uint8_t *)"app", 3},
                                       .class = {(const uint8_t *)"Room", 4},
                                       .id = {(const uint8_t *)"lobby", 5}};

static unsigned draw(unsigned below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

/* The net */

static uint32_t node_of(void *ctx)
{
    return (uint32_t)(uintptr_t)ctx;
}

static bool net_send(void *ctx, uint32_t to, bool is_up, const struct socket_mail *m)
{
    uint32_t from = node_of(ctx);
    if (is_cut[from][to]) {
        return false;
    }
    struct posted *p = MEM_NEW(struct posted);
    p->is_up = is_up;
    socket_mail_encode(m, true, &p->wire);
    list_init(&p->link);
    list_append(&wires[from][to], &p->link);
    return true;
}

static uint32_t net_leader_of(void *ctx, uint32_t shard)
{
    (void)ctx;
    (void)shard;
    return leader;
}

static size_t net_piece_bytes(void *ctx, uint32_t to)
{
    return to == node_of(ctx) ? SIZE_MAX : 4;
}

static const struct socket_net net = {net_send, net_leader_of, net_piece_bytes};

static void drop(struct posted *p)
{
    list_remove(&p->link);
    buf_done(&p->wire);
    mem_free(p);
}

static void deliver(uint32_t from, uint32_t to)
{
    struct posted *p = LIST_FIRST(&wires[from][to], struct posted, link);
    struct socket_mail m;
    if (p == NULL) {
        return;
    }
    expect_err(socket_mail_decode(buf_slice(&p->wire), NULL, &m), ERR_OK);
    m.shard = SHARD;
    if (p->is_up) {
        expect_err(socket_owner_take(&nodes[to].owner, from, &m), ERR_OK);
    } else {
        expect_err(socket_lines_take(&nodes[to].lines, from, &m), ERR_OK);
    }
    drop(p);
}

static void empty_wire(uint32_t from, uint32_t to)
{
    struct posted *p;
    while ((p = LIST_FIRST(&wires[from][to], struct posted, link)) != NULL) {
        drop(p);
    }
}

static void break_wires(uint32_t a, uint32_t b)
{
    empty_wire(a, b);
    empty_wire(b, a);
    socket_owner_on_lost(&nodes[a].owner, b);
    socket_lines_on_lost(&nodes[a].lines, b);
    socket_owner_on_lost(&nodes[b].owner, a);
    socket_lines_on_lost(&nodes[b].lines, a);
}

/* The actor: it writes down what it is told, and answers each. */

static struct client *client_of(const struct actor_socket *s)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i].line != NULL && clients[i].line->id == s->ref.id) {
            return &clients[i];
        }
    }
    return NULL;
}

static void commit(struct actor_socket *s, struct slice text)
{
    struct client *c = client_of(s);
    if (c != NULL) {
        buf_append_slice(&c->done, text);
        buf_append_str(&c->done, "|");
    }
}

static void do_event(struct socket_event *e)
{
    struct actor_socket *s = e->socket;
    if (e->kind == SOCKET_MESSAGE) {
        commit(s, bytes_slice(e->data));
        socket_send(s, true, e->data);
        expect_err(socket_attach(s, bytes_slice(e->data)), ERR_OK);
    }
    socket_event_done(e);
}

static struct socket_set *set_of_leader(void)
{
    return leader == 0 ? NULL : socket_sets_find(&nodes[leader].owner.sets, &identity);
}

static void take_events(void)
{
    struct socket_set *set = set_of_leader();
    while (set != NULL && taken_count < TAKEN_MAX && draw(3) != 0) {
        struct socket_event *e = socket_set_next(set);
        if (e == NULL) {
            return;
        }
        taken[taken_count++] = e;
    }
}

static void do_events(void)
{
    while (taken_count > 0 && draw(4) != 0) {
        struct socket_event *e = taken[0];
        memmove(&taken[0], &taken[1], --taken_count * sizeof taken[0]);
        do_event(e);
    }
}

/* Some of what the isolate had was begun, and may have been done; what comes behind that was not. */
static void give_up_events(void)
{
    size_t begun = taken_count > 0 ? draw((unsigned)taken_count + 1) : 0;
    while (taken_count > begun) {
        socket_event_back(taken[--taken_count]);
    }
    bool was_done = true;
    for (size_t i = 0; i < begun; i++) {
        was_done = was_done && draw(2) == 0;
        if (was_done && taken[i]->kind == SOCKET_MESSAGE) {
            commit(taken[i]->socket, bytes_slice(taken[i]->data));
        }
        socket_event_lost(taken[i]);
    }
    taken_count = 0;
}

static void crash_isolate(void)
{
    give_up_events();
    if (set_of_leader() != NULL) {
        socket_set_isolate_gone(set_of_leader());
    }
}

/* Faults */

static void move_to(uint32_t next)
{
    if (leader != 0) {
        give_up_events();
        socket_owner_depose(&nodes[leader].owner, SHARD);
    }
    leader = next;
}

static void open_node(uint32_t id)
{
    void *ctx = (void *)(uintptr_t)id;
    socket_owner_init(&nodes[id].owner, &net, ctx, id);
    socket_lines_init(&nodes[id].lines, &net, ctx, id, id);
    socket_owner_tick(&nodes[id].owner, now_ms, now_ms);
    socket_lines_tick(&nodes[id].lines, now_ms);
}

/* The node's process dies, with its clients, and begins anew. */
static void crash_node(uint32_t id)
{
    if (leader == id) {
        give_up_events();
        leader = 0;
    }
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        if (c->node == id && c->line != NULL) {
            c->is_lost = true;
            socket_line_close(c->line);
            c->line = NULL;
        }
    }
    for (uint32_t other = 1; other <= NODES; other++) {
        empty_wire(id, other);
        empty_wire(other, id);
    }
    socket_owner_done(&nodes[id].owner);
    socket_lines_done(&nodes[id].lines);
    open_node(id);
    for (uint32_t other = 1; other <= NODES; other++) {
        if (other != id) {
            break_wires(id, other);
        }
    }
}

/* Clients */

static void on_owned(void *ctx)
{
    struct client *c = ctx;
    c->is_open = true;
}

static void on_letter(void *ctx, struct socket_letter *letter)
{
    struct client *c = ctx;
    list_append(&c->untaken, &letter->link);
}

static void on_room(void *ctx)
{
    (void)ctx;
}

static void on_lost(void *ctx)
{
    struct client *c = ctx;
    c->is_lost = true;
}

static const struct socket_line_hooks line_hooks = {on_owned, on_letter, on_room, on_lost};

static void read_letters(struct client *c)
{
    struct socket_letter *letter;
    while (draw(4) != 0 && (letter = LIST_FIRST(&c->untaken, struct socket_letter, link)) != NULL) {
        if (letter->head.kind == SOCKET_LETTER_CLOSE) {
            c->got_close = true;
        } else {
            buf_append_slice(&c->heard, bytes_slice(letter->data));
            buf_append_str(&c->heard, "|");
        }
        socket_letter_free(letter);
        if (c->line != NULL) {
            socket_line_take(c->line);
        }
    }
}

static void say(struct client *c)
{
    char text[24];
    (void)snprintf(text, sizeof text, "message %d", c->said++);
    struct bytes *data = bytes_new(slice_of_str(text));
    const struct socket_letter_head head = {.kind = SOCKET_LETTER_TEXT};
    socket_line_put(c->line, &head, data);
    bytes_unref(data);
}

static bool is_talking(const struct client *c)
{
    return c->is_open && !c->is_lost && !c->is_closed && !c->got_close;
}

static void close_client(struct client *c)
{
    const struct socket_letter_head head = {
        .kind = SOCKET_LETTER_CLOSE, .code = 1000, .was_clean = true};
    if (c->line == NULL) {
        return;
    }
    if (!c->is_lost) {
        socket_line_put(c->line, &head, NULL);
    }
    c->is_closed = true;
    socket_line_close(c->line);
    c->line = NULL;
}

/* What a request does that asks for a socket: it is offered to the owner and accepted. */
static void open_client(int i)
{
    struct client *c = &clients[i];
    uint32_t node = 1 + (uint32_t)i % NODES;
    struct socket_line *line = socket_line_new(&nodes[node].lines, &line_hooks, c);
    *c = (struct client){.node = node, .line = line};
    list_init(&c->untaken);
    struct socket_ref ref = {.id = line->id, .node = node};
    struct socket_sets *sets = &nodes[leader].owner.sets;
    expect_err(socket_offer(sets, &identity, &address, SHARD, ref), ERR_OK);
    struct slice tag = SLICE("tag");
    struct actor_socket *s = socket_set_find(socket_sets_find(sets, &identity), ref.id);
    expect_err(socket_accept(s, &tag, 1, true), ERR_OK);
}

/* The world */

static void tick(void)
{
    now_ms += STEP_MS;
    for (uint32_t id = 1; id <= NODES; id++) {
        socket_owner_tick(&nodes[id].owner, now_ms, now_ms);
        socket_lines_tick(&nodes[id].lines, now_ms);
        socket_owner_flush(&nodes[id].owner);
        socket_lines_flush(&nodes[id].lines);
    }
}

static void step(void)
{
    for (int i = 0; i < 40; i++) {
        deliver(1 + draw(NODES), 1 + draw(NODES));
    }
    take_events();
    do_events();
    for (int i = 0; i < CLIENTS; i++) {
        read_letters(&clients[i]);
    }
    tick();
}

/* Everything that can still happen does, without faults. */
static void settle(void)
{
    memset(is_cut, 0, sizeof is_cut);
    if (leader == 0) {
        leader = 1;
    }
    for (int i = 0; i < 4000; i++) {
        for (uint32_t from = 1; from <= NODES; from++) {
            for (uint32_t to = 1; to <= NODES; to++) {
                deliver(from, to);
            }
        }
        step();
    }
}

static bool is_prefix(const struct buf *part, const struct buf *whole)
{
    return slice_has_prefix(buf_slice(whole), buf_slice(part));
}

static void check_client(const struct client *c)
{
    struct buf said = {0};
    for (int i = 0; i < c->said; i++) {
        buf_printf(&said, "message %d|", i);
    }
    bool is_right = is_prefix(&c->done, &said) && is_prefix(&c->heard, &c->done);
    if (is_talking(c)) {
        is_right = is_right && c->done.len == said.len && c->heard.len == said.len;
    }
    if (!is_right) {
        fail_msg("seed %u: said %d, done \"%.*s\", heard \"%.*s\", lost %d", random_state, c->said,
                 (int)c->done.len, (const char *)c->done.data, (int)c->heard.len,
                 (const char *)c->heard.data, c->is_lost);
    }
    buf_done(&said);
}

static void open_all(unsigned seed)
{
    random_state = seed;
    now_ms = 1000;
    taken_count = 0;
    memset(&identity, 9, sizeof identity);
    memset(is_cut, 0, sizeof is_cut);
    for (uint32_t id = 1; id <= NODES; id++) {
        for (uint32_t to = 1; to <= NODES; to++) {
            list_init(&wires[id][to]);
        }
        open_node(id);
    }
    leader = 1;
    for (int i = 0; i < CLIENTS; i++) {
        open_client(i);
    }
}

static void close_all(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        close_client(c);
        while (!list_is_empty(&c->untaken)) {
            socket_letter_free(LIST_FIRST(&c->untaken, struct socket_letter, link));
        }
    }
    settle();
    for (uint32_t id = 1; id <= NODES; id++) {
        assert_int_equal(nodes[id].owner.count, 0); /* nothing is left behind */
        assert_int_equal(nodes[id].owner.sets.socket_count, 0);
        assert_int_equal(nodes[id].lines.count, 0);
        socket_owner_done(&nodes[id].owner);
        socket_lines_done(&nodes[id].lines);
        for (uint32_t to = 1; to <= NODES; to++) {
            empty_wire(id, to);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        buf_done(&clients[i].heard);
        buf_done(&clients[i].done);
    }
}

static int lost_count(void)
{
    int count = 0;
    for (int i = 0; i < CLIENTS; i++) {
        count += clients[i].is_lost || clients[i].got_close;
    }
    return count;
}

/* Tests */

static void converse(int steps)
{
    for (int i = 0; i < steps; i++) {
        struct client *c = &clients[draw(CLIENTS)];
        if (is_talking(c) && draw(3) == 0) {
            say(c);
        }
        step();
    }
}

static void a_conversation_without_faults_loses_nothing(void **state)
{
    (void)state;
    open_all(1);
    converse(2000);
    settle();
    assert_int_equal(lost_count(), 0);
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(clients[i].said > 20);
        check_client(&clients[i]);
    }
    close_all();
}

static void sockets_stay_open_while_their_owner_moves(void **state)
{
    (void)state;
    open_all(2);
    for (int round = 0; round < 30; round++) {
        converse(60);
        /* What was begun is finished, as for a leadership that is handed over. */
        while (taken_count > 0) {
            do_events();
        }
        move_to(round % 4 == 3 ? 0 : 1 + (uint32_t)round % NODES);
        if (leader == 0) {
            converse(20);
            leader = 1 + (uint32_t)round % NODES;
        }
    }
    settle();
    assert_int_equal(lost_count(), 0);
    for (int i = 0; i < CLIENTS; i++) {
        check_client(&clients[i]);
        assert_int_equal(clients[i].line->state, LINE_SERVED);
    }
    /* The next owner knows what the last one said of them. */
    struct socket_set *set = set_of_leader();
    assert_int_equal(set->count, CLIENTS);
    LIST_FOREACH (link, &set->sockets) {
        const struct actor_socket *s = LIST_ENTRY(link, struct actor_socket, link);
        char last[24];
        (void)snprintf(last, sizeof last, "message %d", client_of(s)->said - 1);
        expect_str(bytes_slice(s->attachment), last);
        expect_str(bytes_slice(s->tags[0]), "tag");
    }
    close_all();
}

static void connections_that_break_lose_nothing(void **state)
{
    (void)state;
    open_all(3);
    for (int round = 0; round < 60; round++) {
        converse(40);
        uint32_t a = 1 + draw(NODES);
        uint32_t b = 1 + (a + draw(NODES - 1)) % NODES;
        break_wires(a, b);
        is_cut[a][b] = is_cut[b][a] = true;
        converse(20);
        is_cut[a][b] = is_cut[b][a] = false;
    }
    settle();
    assert_int_equal(lost_count(), 0);
    for (int i = 0; i < CLIENTS; i++) {
        check_client(&clients[i]);
    }
    close_all();
}

static void an_owner_that_is_gone_without_a_word_loses_its_sockets_and_they_know(void **state)
{
    (void)state;
    open_all(4);
    converse(200);
    crash_node(1);
    leader = 2;
    settle();
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(clients[i].is_lost);
        check_client(&clients[i]);
    }
    close_all();
}

static void what_was_begun_and_not_finished_ends_its_socket(void **state)
{
    (void)state;
    open_all(5);
    say(&clients[0]);
    say(&clients[1]);
    for (int i = 0; i < 40 && taken_count < 2; i++) {
        for (uint32_t from = 1; from <= NODES; from++) {
            deliver(from, leader);
            deliver(leader, from);
        }
        take_events();
        tick();
        if (clients[0].is_open && clients[0].said == 0) {
            say(&clients[0]);
        }
    }
    assert_int_equal(taken_count, 2);
    struct client *begun = client_of(taken[0]->socket);
    struct client *other = client_of(taken[1]->socket);
    socket_event_back(taken[1]);
    socket_event_lost(taken[0]);
    taken_count = 0;
    socket_owner_depose(&nodes[leader].owner, SHARD);
    leader = 3;
    settle();
    assert_true(begun->is_lost);
    assert_false(other->is_lost);
    check_client(begun);
    check_client(other);
    close_all();
}

static void run_with_faults(unsigned seed)
{
    open_all(seed);
    for (int round = 0; round < 25; round++) {
        converse(30);
        uint32_t a = 1 + draw(NODES);
        uint32_t b = 1 + draw(NODES);
        switch (draw(7)) {
        case 0:
            move_to(a);
            break;
        case 1:
            move_to(0);
            break;
        case 2:
            if (a != b) {
                break_wires(a, b);
                is_cut[a][b] = is_cut[b][a] = draw(2) == 0;
            }
            break;
        case 3:
            memset(is_cut, 0, sizeof is_cut);
            break;
        case 4:
            crash_isolate();
            break;
        case 5:
            if (draw(6) == 0) {
                crash_node(a);
            }
            break;
        case 6:
            close_client(&clients[draw(CLIENTS)]);
            break;
        }
        if (leader == 0 && draw(2) == 0) {
            leader = b;
        }
    }
    settle();
    for (int i = 0; i < CLIENTS; i++) {
        check_client(&clients[i]);
    }
    close_all();
}

static void whatever_happens_nothing_is_lost_in_silence(void **state)
{
    (void)state;
    const char *seeds = getenv("SEEDS");
    unsigned count = seeds != NULL ? (unsigned)strtoul(seeds, NULL, 10) : 60;
    for (unsigned seed = 1; seed <= count; seed++) {
        run_with_faults(seed);
    }
}

static int begin(void **state)
{
    (void)state;
    random_init();
    return 0;
}

#define T(name) cmocka_unit_test_setup(name, begin)

TEST_MAIN(T(a_conversation_without_faults_loses_nothing),
          T(sockets_stay_open_while_their_owner_moves), T(connections_that_break_lose_nothing),
          T(an_owner_that_is_gone_without_a_word_loses_its_sockets_and_they_know),
          T(what_was_begun_and_not_finished_ends_its_socket),
          T(whatever_happens_nothing_is_lost_in_silence))
