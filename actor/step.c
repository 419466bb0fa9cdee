#include "actor/step.h"

#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"

enum {
    STEP_FORMAT = 1,
    STEP_HEAD_BYTES = 1 + 1 + 4 + 4 + STEP_LEASE_BYTES + 8 + 8 + 8 + 4, /* then input, result */
};

static bool is_held(const struct step *s, uint64_t now_ms)
{
    return s->state == STEP_RUNNING && now_ms < s->until_ms;
}

enum step_state step_shown_state(const struct step *s, uint64_t now_ms)
{
    return s->state == STEP_RUNNING && !is_held(s, now_ms) ? STEP_WAITING : s->state;
}

enum step_answer step_begin(struct step *s, const uint8_t lease[STEP_LEASE_BYTES],
                            uint64_t lease_ms, uint64_t now_ms, uint64_t *ret_retry_after_ms)
{
    PRE(lease_ms >= STEP_LEASE_MS_MIN && lease_ms <= STEP_LEASE_MS_MAX);

    if (s->state == STEP_DONE) {
        return STEP_IS_DONE;
    }
    if (s->state == STEP_FAILED) {
        return STEP_HAS_FAILED;
    }
    if (s->attempts > 0 && now_ms < s->until_ms) {
        *ret_retry_after_ms = s->until_ms - now_ms;
        return STEP_IS_BUSY;
    }
    if (s->attempts == 0) {
        s->started_ms = now_ms;
    }
    s->state = STEP_RUNNING;
    s->attempts++;
    s->until_ms = now_ms + lease_ms;
    memcpy(s->lease, lease, STEP_LEASE_BYTES);
    return STEP_MAY_RUN;
}

static bool holds(const struct step *s, struct slice lease_text, uint64_t now_ms)
{
    char text[STEP_LEASE_TEXT_BYTES + 1];
    step_lease_text(s->lease, text);
    return is_held(s, now_ms) && slice_equal_str(lease_text, text);
}

static void end_attempt(struct step *s, enum step_state state, struct slice result)
{
    s->state = state;
    s->result = result;
    if (state != STEP_WAITING) {
        s->input = (struct slice){0}; /* nobody will run it again */
    }
    s->until_ms = 0;
    memset(s->lease, 0, sizeof s->lease);
}

enum err step_finish(struct step *s, struct slice lease_text, struct slice output, uint64_t now_ms)
{
    PRE(output.len > 0);
    if (!holds(s, lease_text, now_ms)) {
        return ERR_LEASE_LOST;
    }
    end_attempt(s, STEP_DONE, output);
    s->ended_ms = now_ms;
    return ERR_OK;
}

enum err step_fail(struct step *s, struct slice lease_text, struct slice error, uint64_t now_ms)
{
    PRE(error.len > 0);
    if (!holds(s, lease_text, now_ms)) {
        return ERR_LEASE_LOST;
    }
    end_attempt(s, STEP_FAILED, error);
    s->ended_ms = now_ms;
    return ERR_OK;
}

enum err step_retry(struct step *s, struct slice lease_text, struct slice error,
                    uint64_t retry_in_ms, uint64_t now_ms)
{
    PRE(error.len > 0 && retry_in_ms <= STEP_RETRY_MS_MAX);
    if (!holds(s, lease_text, now_ms)) {
        return ERR_LEASE_LOST;
    }
    end_attempt(s, STEP_WAITING, error);
    s->until_ms = now_ms + retry_in_ms;
    return ERR_OK;
}

enum err step_extend(struct step *s, struct slice lease_text, uint64_t extend_ms, uint64_t now_ms)
{
    PRE(extend_ms >= STEP_LEASE_MS_MIN && extend_ms <= STEP_LEASE_MS_MAX);
    if (!holds(s, lease_text, now_ms)) {
        return ERR_LEASE_LOST;
    }
    if (now_ms + extend_ms > s->until_ms) {
        s->until_ms = now_ms + extend_ms;
    }
    return ERR_OK;
}

void step_lease_text(const uint8_t lease[STEP_LEASE_BYTES],
                     char ret_text[STEP_LEASE_TEXT_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < STEP_LEASE_BYTES; i++) {
        ret_text[2 * i] = digits[lease[i] >> 4];
        ret_text[2 * i + 1] = digits[lease[i] & 15];
    }
    ret_text[STEP_LEASE_TEXT_BYTES] = '\0';
}

void step_encode(const struct step *s, struct buf *out)
{
    PRE(s->attempts > 0);

    buf_append_byte(out, STEP_FORMAT);
    buf_append_byte(out, (uint8_t)s->state);
    buf_append_u32(out, s->attempts);
    buf_append_u32(out, s->order);
    buf_append(out, s->lease, sizeof s->lease);
    buf_append_u64(out, s->until_ms);
    buf_append_u64(out, s->started_ms);
    buf_append_u64(out, s->ended_ms);
    buf_append_u32(out, (uint32_t)s->input.len);
    buf_append_slice(out, s->input);
    buf_append_slice(out, s->result);
}

enum err step_decode(struct slice payload, struct step *ret_step)
{
    const uint8_t *at = payload.data;
    if (payload.len < STEP_HEAD_BYTES || at[0] != STEP_FORMAT || at[1] < STEP_RUNNING ||
        at[1] > STEP_FAILED) {
        return ERR_CORRUPT;
    }
    struct slice rest = slice_skip(payload, STEP_HEAD_BYTES);
    uint32_t input_bytes = get_be32(at + 50);
    if (input_bytes > rest.len || get_be32(at + 2) == 0) {
        return ERR_CORRUPT;
    }
    *ret_step = (struct step){
        .state = (enum step_state)at[1],
        .attempts = get_be32(at + 2),
        .order = get_be32(at + 6),
        .until_ms = get_be64(at + 26),
        .started_ms = get_be64(at + 34),
        .ended_ms = get_be64(at + 42),
        .input = slice_of(rest.data, input_bytes),
        .result = slice_skip(rest, input_bytes),
    };
    memcpy(ret_step->lease, at + 10, STEP_LEASE_BYTES);
    return ERR_OK;
}
