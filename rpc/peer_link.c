#include "rpc/peer_link.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/invariant.h"
#include "base/mem.h"

enum {
    CONTROL_BYTES_MAX = 16 * 1024, /* answers to pings that the peer does not take */
    DOUBT_US = 100 * 1000,         /* before silence is death: our own loop may have been held up */
    US_PER_MS = 1000,
};

const struct peer_limits peer_limits_default = {
    .greeting_ms = 5000, .ping_ms = 500, .dead_ms = 3000, .queue_bytes_max = PEER_QUEUE_BYTES_MAX};

struct peer_link {
    struct peer_link_options o;
    enum peer_link_state state;
    struct tls *tls;
    struct peer_name own_name;
    struct peer_name name;   /* from GREETING on: of the other side's certificate */
    struct peer_hello hello; /* UP: of the other side */
    struct peer_queue queue;
    struct peer_inbox inbox;
    struct buf control; /* frames that go before the queue's */
    struct buf plain;   /* while it is sealed */
    struct peer_counts counts;

    uint64_t now_us;
    uint64_t deadline_us; /* of the greeting, or of last words */
    uint64_t heard_us;
    uint64_t ping_us;   /* dialled: when the next is due */
    uint64_t pinged_us; /* stamp of the last */
    bool is_doubted;
    char reason[PEER_REASON_BYTES];
};

static void link_move(struct peer_link *l, enum peer_link_state to)
{
    INVARIANT(to > l->state);
    l->state = to;
}

static void tell_output(struct peer_link *l)
{
    l->o.hooks->on_output(l->o.ctx);
}

/* Lifetime */

/* A context for peers has a name; whether it is that of the own node is the owner's to see to. */
static struct peer_name name_of_context(const struct tls_context *tls)
{
    struct peer_name name = {.node = 0};
    enum err err = peer_name_parse(slice_of_str(tls_context_uri(tls)), &name);
    PRE(err == ERR_OK);
    return name;
}

struct peer_link *peer_link_new(const struct peer_link_options *options, struct tls_context *tls,
                                uint64_t now_us)
{
    PRE(options->side == PEER_DIALLED || options->wanted_node == 0);
    struct tls *session = tls_new(tls, options->side == PEER_DIALLED ? TLS_CLIENT : TLS_SERVER);
    if (session == NULL) {
        return NULL;
    }
    struct peer_link *l = MEM_NEW(struct peer_link);
    *l = (struct peer_link){.o = *options,
                            .tls = session,
                            .own_name = name_of_context(tls),
                            .now_us = now_us,
                            .heard_us = now_us,
                            .deadline_us = now_us + options->limits->greeting_ms * US_PER_MS};
    l->o.own.version = PEER_VERSION;
    l->o.own.version_oldest = PEER_VERSION_OLDEST;
    peer_queue_init(&l->queue, options->limits->queue_bytes_max);
    peer_inbox_init(&l->inbox, options->limits->queue_bytes_max);
    return l;
}

void peer_link_free(struct peer_link *l)
{
    if (l == NULL) {
        return;
    }
    tls_free(l->tls);
    peer_queue_done(&l->queue);
    peer_inbox_done(&l->inbox);
    buf_done(&l->control);
    buf_done(&l->plain);
    mem_free(l);
}

enum peer_link_state peer_link_state(const struct peer_link *l)
{
    return l->state;
}

const struct peer_hello *peer_link_hello(const struct peer_link *l)
{
    PRE(l->state == LINK_UP);
    return &l->hello;
}

struct peer_counts peer_link_counts(const struct peer_link *l)
{
    return l->counts;
}

const char *peer_link_reason(const struct peer_link *l)
{
    return l->reason;
}

size_t peer_link_queued_bytes(const struct peer_link *l)
{
    return peer_queue_bytes(&l->queue);
}

/* Ends */

static void set_reason(struct peer_link *l, const char *format, ...) PRINTF_LIKE(2, 3);

static void set_reason(struct peer_link *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(l->reason, sizeof l->reason, format, args);
    va_end(args);
}

static void drop_queue(struct peer_link *l)
{
    l->counts.dropped += l->queue.message_count;
    peer_queue_done(&l->queue);
}

/* With last words, where there are any; the reason is set. */
static void end_link(struct peer_link *l)
{
    drop_queue(l);
    link_move(l, LINK_ENDING);
    l->deadline_us = l->now_us + PEER_LAST_WORDS_MS * US_PER_MS;
    tell_output(l);
}

static void be_over(struct peer_link *l)
{
    drop_queue(l);
    link_move(l, LINK_OVER);
    tell_output(l);
}

static void refuse(struct peer_link *l, enum peer_refusal refusal, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void refuse(struct peer_link *l, enum peer_refusal refusal, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(l->reason, sizeof l->reason, format, args);
    va_end(args);
    peer_put_refuse(&l->control, refusal, l->reason);
    end_link(l);
}

void peer_link_end(struct peer_link *l, const char *reason, uint64_t now_us)
{
    l->now_us = now_us;
    if (l->state < LINK_ENDING) {
        set_reason(l, "%s", reason);
        end_link(l);
    }
}

/* Greetings */

/* The certificate is of the CA; it names a node of this cluster, too, and the one that was dialled. */
static void check_certificate(struct peer_link *l)
{
    char uri[TLS_URI_BYTES] = "";
    bool is_named = tls_protocol(l->tls) == TLS_PEER && tls_peer_uri(l->tls, uri) == ERR_OK &&
                    peer_name_parse(slice_of_str(uri), &l->name) == ERR_OK && l->name.node != 0;
    if (!is_named) {
        set_reason(l, "the certificate does not name a node: \"%s\"", uri);
        end_link(l);
    } else if (strcmp(l->name.cluster, l->own_name.cluster) != 0) {
        refuse(l, PEER_OTHER_CLUSTER, "the certificate is of cluster %s, not %s", l->name.cluster,
               l->own_name.cluster);
    } else if (l->o.wanted_node != 0 && l->name.node != l->o.wanted_node) {
        refuse(l, PEER_OTHER_NODE, "the certificate is that of node %" PRIu32 ", not %" PRIu32,
               l->name.node, l->o.wanted_node);
    } else {
        link_move(l, LINK_GREETING);
        if (l->o.side == PEER_DIALLED) {
            peer_put_hello(&l->control, PEER_HELLO, &l->o.own);
            tell_output(l);
        }
    }
}

static void be_up(struct peer_link *l, const struct peer_hello *hello)
{
    l->hello = *hello;
    l->ping_us = l->now_us;
    link_move(l, LINK_UP);
    l->o.hooks->on_up(l->o.ctx, &l->hello);
}

/* What either side says of itself. False: it has been refused. */
static bool check_hello(struct peer_link *l, const struct peer_hello *h)
{
    bool has_data = h->cluster_id != 0 && l->o.own.cluster_id != 0;
    if (has_data && h->cluster_id != l->o.own.cluster_id) {
        refuse(l, PEER_OTHER_CLUSTER, "its data is of cluster %016" PRIx64 ", not %016" PRIx64,
               h->cluster_id, l->o.own.cluster_id);
    } else if (h->node != l->name.node) {
        refuse(l, PEER_OTHER_NODE,
               "it says that it is node %" PRIu32 ", its certificate that it is %" PRIu32, h->node,
               l->name.node);
    } else if (h->node == l->o.own.node) {
        refuse(l, PEER_OTHER_NODE, "it says that it is node %" PRIu32 ", which is this one",
               h->node);
    } else {
        return true;
    }
    return false;
}

static void take_hello(struct peer_link *l, const struct peer_hello *h)
{
    struct peer_hello own = l->o.own;
    own.version =
        peer_version_of_both(PEER_VERSION, PEER_VERSION_OLDEST, h->version, h->version_oldest);
    if (own.version == 0) {
        refuse(l, PEER_NO_VERSION, "it speaks versions %u to %u, this node %d to %d",
               h->version_oldest, h->version, PEER_VERSION_OLDEST, PEER_VERSION);
        return;
    }
    if (!check_hello(l, h)) {
        return;
    }
    if (!l->o.hooks->admits(l->o.ctx, h)) {
        refuse(l, PEER_NOT_ADMITTED, "node %" PRIu32 " is not a member of the cluster", h->node);
        return;
    }
    own.version_oldest = PEER_VERSION_OLDEST;
    own.channel = h->channel;
    peer_put_hello(&l->control, PEER_WELCOME, &own);
    tell_output(l);
    be_up(l, h);
}

static void take_welcome(struct peer_link *l, const struct peer_hello *h)
{
    if (h->version > PEER_VERSION || h->version < PEER_VERSION_OLDEST) {
        refuse(l, PEER_NO_VERSION, "it chose version %u", h->version);
    } else if (check_hello(l, h)) {
        be_up(l, h);
    }
}

static void take_refusal(struct peer_link *l, struct slice text)
{
    char plain[PEER_TEXT_BYTES_MAX + 1];
    size_t len = 0;
    for (size_t i = 0; i < text.len && len < PEER_TEXT_BYTES_MAX; i++) {
        plain[len++] = text.data[i] >= ' ' && text.data[i] < 0x7f ? (char)text.data[i] : '?';
    }
    plain[len] = '\0';
    set_reason(l, "refused by the peer: %s", plain);
    end_link(l);
}

/* Frames */

static enum err take_greeting(struct peer_link *l, const struct peer_frame *f)
{
    bool is_accepted = l->o.side == PEER_ACCEPTED;
    if (f->type == PEER_HELLO && is_accepted) {
        take_hello(l, &f->hello);
    } else if (f->type == PEER_WELCOME && !is_accepted) {
        take_welcome(l, &f->hello);
    } else if (f->type == PEER_REFUSE && !is_accepted) {
        take_refusal(l, f->text);
    } else {
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

/* It speaks for replicas of its own alone. */
static enum err take_message(struct peer_link *l, const struct peer_message *m)
{
    if (m->from >> 32 != l->hello.node) {
        return ERR_CORRUPT;
    }
    l->counts.messages_in++;
    l->o.hooks->on_message(l->o.ctx, m);
    return ERR_OK;
}

static enum err take_ping(struct peer_link *l, uint64_t stamp)
{
    if (l->control.len > CONTROL_BYTES_MAX) {
        return ERR_CORRUPT;
    }
    peer_put_stamp(&l->control, PEER_PONG, stamp);
    tell_output(l);
    return ERR_OK;
}

static enum err take_pong(struct peer_link *l, uint64_t stamp)
{
    if (stamp != l->pinged_us) {
        return ERR_OK; /* of one before it */
    }
    uint64_t took_us = l->now_us - stamp;
    took_us = took_us > 0 ? took_us : 1;
    l->counts.rtt_us = l->counts.rtt_us == 0 ? took_us : (7 * l->counts.rtt_us + took_us) / 8;
    return ERR_OK;
}

static enum err take_frame(void *ctx, const struct peer_frame *f)
{
    struct peer_link *l = ctx;
    bool is_accepted = l->o.side == PEER_ACCEPTED;
    switch (l->state) {
    case LINK_GREETING:
        return take_greeting(l, f);
    case LINK_UP:
        if (f->type == PEER_MESSAGE && is_accepted) {
            return take_message(l, &f->message);
        }
        if (f->type == PEER_PING && is_accepted) {
            return take_ping(l, f->stamp);
        }
        if (f->type == PEER_PONG && !is_accepted) {
            return take_pong(l, f->stamp);
        }
        if (f->type == PEER_REFUSE && !is_accepted) {
            take_refusal(l, f->text);
            return ERR_OK;
        }
        return ERR_CORRUPT;
    case LINK_ENDING:
    case LINK_OVER:
        return ERR_CLOSED; /* what comes behind a refusal */
    case LINK_HANDSHAKE:
        break;
    }
    UNREACHABLE();
}

/* Input */

/* One step of what was fed; false: there is no more of it. */
static bool unseal(struct peer_link *l)
{
    size_t n = 0;
    enum err err = tls_read(l->tls, l->o.room, PEER_ROOM_BYTES, &n);
    if (l->state == LINK_HANDSHAKE && tls_state(l->tls) == TLS_OPEN) {
        check_certificate(l);
    }
    if (l->state >= LINK_ENDING) {
        return false;
    }
    if (err == ERR_OK) {
        err = peer_inbox_feed(&l->inbox, slice_of(l->o.room, n), take_frame, l);
        if (err != ERR_OK && l->state < LINK_ENDING) {
            set_reason(l, err == ERR_NO_MEMORY ? "there is no memory for a message"
                                               : "what it sent is not what a peer sends");
            end_link(l);
        }
        return l->state < LINK_ENDING;
    }
    if (err == ERR_CLOSED) {
        set_reason(l, "closed by the peer");
        end_link(l);
    } else if (err != ERR_MORE) {
        set_reason(l, "TLS: %s", tls_reason(l->tls));
        end_link(l);
    }
    return false;
}

void peer_link_recv(struct peer_link *l, struct slice in, uint64_t now_us)
{
    l->now_us = now_us;
    if (l->state >= LINK_ENDING) {
        return;
    }
    l->counts.bytes_in += in.len;
    l->heard_us = now_us;
    l->is_doubted = false;
    tls_feed(l->tls, in);
    while (unseal(l)) {
    }
    if (tls_output_bytes(l->tls) > 0) {
        tell_output(l);
    }
}

void peer_link_recv_end(struct peer_link *l, uint64_t now_us)
{
    l->now_us = now_us;
    if (l->state < LINK_ENDING) {
        set_reason(l, "closed by the peer");
    }
    if (l->state != LINK_OVER) {
        be_over(l);
    }
}

/* Output */

enum err peer_link_send(struct peer_link *l, const struct peer_message *m)
{
    PRE(l->o.side == PEER_DIALLED && m->from >> 32 == l->o.own.node);
    enum err err = l->state == LINK_UP ? peer_queue_push(&l->queue, m) : ERR_UNAVAILABLE;
    if (err != ERR_OK) {
        l->counts.dropped++;
        return err;
    }
    l->counts.messages_out++;
    tell_output(l);
    return ERR_OK;
}

static bool is_sealable(const struct peer_link *l)
{
    enum tls_state state = tls_state(l->tls);
    return l->state >= LINK_GREETING && l->state < LINK_OVER &&
           (state == TLS_OPEN || state == TLS_ENDED);
}

/* Everything before it has been sent: the next of it, control frames first. */
static void seal(struct peer_link *l)
{
    buf_clear(&l->plain);
    buf_append_slice(&l->plain, buf_slice(&l->control));
    buf_clear(&l->control);
    if (l->state == LINK_UP && l->plain.len < PEER_SEAL_BYTES) {
        peer_queue_fill(&l->queue, PEER_SEAL_BYTES - l->plain.len, &l->plain);
    }
    if (l->plain.len > 0 && tls_write(l->tls, buf_slice(&l->plain)) != ERR_OK) {
        set_reason(l, "TLS: %s", tls_reason(l->tls));
        be_over(l);
        return;
    }
    if (l->plain.len == 0) {
        buf_done(&l->plain); /* idle */
        if (l->state == LINK_ENDING) {
            tls_close(l->tls);
        }
    }
}

struct slice peer_link_output(struct peer_link *l, uint64_t now_us)
{
    l->now_us = now_us;
    if (tls_output_bytes(l->tls) == 0 && is_sealable(l)) {
        seal(l);
    }
    if (l->state == LINK_ENDING && tls_output_bytes(l->tls) == 0) {
        link_move(l, LINK_OVER);
    }
    return l->state == LINK_OVER ? (struct slice){0} : tls_output(l->tls);
}

void peer_link_sent(struct peer_link *l, size_t n, uint64_t now_us)
{
    l->now_us = now_us;
    l->counts.bytes_out += n;
    tls_sent(l->tls, n);
}

/* Time */

bool peer_link_wants_close(const struct peer_link *l)
{
    return l->state == LINK_OVER;
}

static uint64_t dead_us(const struct peer_link *l)
{
    return l->heard_us + l->o.limits->dead_ms * US_PER_MS + (l->is_doubted ? DOUBT_US : 0);
}

uint64_t peer_link_next_us(const struct peer_link *l)
{
    switch (l->state) {
    case LINK_HANDSHAKE:
    case LINK_GREETING:
    case LINK_ENDING:
        return l->deadline_us;
    case LINK_UP:
        return l->o.side == PEER_DIALLED && l->ping_us < dead_us(l) ? l->ping_us : dead_us(l);
    case LINK_OVER:
        return UINT64_MAX;
    }
    UNREACHABLE();
}

static void tick_up(struct peer_link *l)
{
    if (l->now_us >= dead_us(l) && !l->is_doubted) {
        l->is_doubted = true; /* what it sent may lie in our socket: let the loop look once */
        l->heard_us = l->now_us - l->o.limits->dead_ms * US_PER_MS;
    }
    if (l->now_us >= dead_us(l)) {
        set_reason(l, "nothing was heard for %" PRIu64 " ms", l->o.limits->dead_ms);
        be_over(l);
        return;
    }
    if (l->o.side == PEER_DIALLED && l->now_us >= l->ping_us) {
        l->pinged_us = l->now_us;
        l->ping_us = l->now_us + l->o.limits->ping_ms * US_PER_MS;
        peer_put_stamp(&l->control, PEER_PING, l->now_us);
        tell_output(l);
    }
}

void peer_link_tick(struct peer_link *l, uint64_t now_us)
{
    l->now_us = now_us;
    switch (l->state) {
    case LINK_HANDSHAKE:
    case LINK_GREETING:
        if (now_us >= l->deadline_us) {
            set_reason(l, "the greeting took too long");
            end_link(l);
        }
        return;
    case LINK_UP:
        tick_up(l);
        return;
    case LINK_ENDING:
        if (now_us >= l->deadline_us) {
            be_over(l);
        }
        return;
    case LINK_OVER:
        return;
    }
}
