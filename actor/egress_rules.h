/* The rules of egress (API section 5): of a namespace's deployment and of a sandbox.
 *
 *     {"allow":  ["api.github.com", "*.example.org", "10.0.0.7:8080"],      actor/egress_policy.h
 *      "inject": {"api.github.com": {"Authorization": "Bearer {{secret:GITHUB_TOKEN}}"}},
 *      "requests_per_minute": 600}
 *
 * Every member may be absent: without `allow` nothing leaves. A host of `inject` is a pattern as those of
 * `allow` are, but not `*`; without a port it covers every port that is allowed. A template is text with any
 * number of {{secret:NAME}} in it. Pure. */
#ifndef ACTOR_EGRESS_RULES_H
#define ACTOR_EGRESS_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    EGRESS_INJECT_HOSTS_MAX = 64,
    EGRESS_INJECT_FIELDS_MAX = 16, /* of one host */
    EGRESS_TEMPLATE_BYTES_MAX = 1024,
    EGRESS_RULES_SECRETS_MAX = 32, /* different ones */
    EGRESS_RATE_MAX = 1000 * 1000, /* a minute */
    EGRESS_RULES_BYTES_MAX = 64 * 1024,
};

/* Of a checked document, or an empty slice; nil is as absent. ERR_BAD_REQUEST, and one clause that begins with
 * the member it is about. */
enum err egress_rules_check(struct slice rules, const char **ret_detail) MUST_CHECK;

/* Of rules that have passed: the list of hosts (empty: there is none), what is injected (likewise), and how many
 * requests a minute may have; 0: no rule says. */
struct slice egress_rules_allow(struct slice rules);
struct slice egress_rules_inject(struct slice rules);
uint32_t egress_rules_rate(struct slice rules);

/* The parts of a template: text, and the name of the secret behind it, empty at the end. False: no more.
 * Of a template that has passed. */
bool egress_template_next(struct slice *rest, struct slice *ret_text, struct slice *ret_secret);

/* Calls `each` once for every secret that is named. */
void egress_rules_secrets(struct slice rules, void (*each)(void *ctx, struct slice name),
                          void *ctx);

/* Whether the host and port get fields of an entry of `inject`: as egress_pattern_matches. */
bool egress_inject_matches(struct slice pattern, struct slice host, uint16_t port);

#endif
