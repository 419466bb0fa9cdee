#include "actor/egress_rules.h"

#include <string.h>

#include "actor/egress_policy.h"
#include "rpc/http_field.h"
#include "rpc/value.h"

static const char opening[] = "{{secret:";
static const char closing[] = "}}";

enum { SECRET_NAME_BYTES_MAX = 64 };

/* Templates */

static const uint8_t *find(struct slice text, const char *part)
{
    return text.len == 0 ? NULL : memmem(text.data, text.len, part, strlen(part));
}

bool egress_template_next(struct slice *rest, struct slice *ret_text, struct slice *ret_secret)
{
    *ret_secret = (struct slice){0};
    if (rest->len == 0) {
        return false;
    }
    const uint8_t *begin = find(*rest, opening);
    *ret_text = *rest;
    if (begin == NULL) {
        *rest = (struct slice){0};
        return true;
    }
    ret_text->len = (size_t)(begin - rest->data);
    struct slice name = slice_skip(*rest, ret_text->len + sizeof opening - 1);
    const uint8_t *end = find(name, closing);
    if (end == NULL) { /* egress_rules_check has not seen it */
        *rest = (struct slice){0};
        return true;
    }
    *ret_secret = slice_of(name.data, (size_t)(end - name.data));
    *rest = slice_skip(name, ret_secret->len + sizeof closing - 1);
    return true;
}

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* As node/secret.h names them. */
static bool is_secret_name(struct slice name)
{
    bool valid = name.len >= 1 && name.len <= SECRET_NAME_BYTES_MAX;
    for (size_t i = 0; valid && i < name.len; i++) {
        uint8_t c = name.data[i];
        valid = is_word(c) || (i > 0 && (c == '-' || c == '.'));
    }
    return valid;
}

/* Visible ASCII and spaces: what is injected means the same to everybody. */
static bool is_text(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] >= 0x7f) {
            return false;
        }
    }
    return find(text, "{{") == NULL && find(text, "}}") == NULL;
}

static bool is_template(struct slice rest)
{
    struct slice text;
    struct slice secret;
    if (rest.len == 0 || rest.len > EGRESS_TEMPLATE_BYTES_MAX) {
        return false;
    }
    while (rest.len > 0) {
        bool names_one = find(rest, opening) != NULL;
        if (!egress_template_next(&rest, &text, &secret) || !is_text(text) ||
            (names_one && !is_secret_name(secret))) {
            return false;
        }
    }
    return true;
}

/* What frames a request, says where it goes, or is of the connection, is nobody's to inject. */
static bool is_injectable(struct slice name)
{
    static const char *const never[] = {"host", "content-length", "expect",
                                        "te",   "trailer",        "http2-settings"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (http_equal_any_case(name, never[i])) {
            return false;
        }
    }
    bool is_of_proxy = name.len >= 6 && http_equal_any_case(slice_of(name.data, 6), "proxy-");
    return http_name_is_valid(name) && !is_of_proxy && !http_name_is_of_connection(name);
}

/* Checks */

static const char *check_fields(struct slice fields)
{
    struct slice name;
    struct slice value;
    struct slice text;
    if (value_type(fields) != VALUE_MAP) {
        return "inject has a host whose fields are not an object";
    }
    if (value_count(fields) > EGRESS_INJECT_FIELDS_MAX) {
        return "inject has a host with more than 16 fields";
    }
    for (struct value_iter it = value_entries(fields); value_next_entry(&it, &name, &value);) {
        if (!is_injectable(name)) {
            return "inject has a name that is no header's, or one of the connection";
        }
        if (!value_get_str(value, &text) || !is_template(text)) {
            return "inject has a value that is not text with {{secret:NAME}}";
        }
    }
    return NULL;
}

struct names {
    struct slice found[EGRESS_RULES_SECRETS_MAX + 1];
    size_t count;
};

static void note_name(void *ctx, struct slice name)
{
    struct names *n = ctx;
    if (n->count <= EGRESS_RULES_SECRETS_MAX) {
        n->found[n->count++] = name;
    }
}

static const char *check_inject(struct slice rules, struct slice inject)
{
    struct slice host;
    struct slice fields;
    struct names names = {.count = 0};
    const char *detail = NULL;
    if (value_type(inject) != VALUE_MAP) {
        return "inject is not an object";
    }
    if (value_count(inject) > EGRESS_INJECT_HOSTS_MAX) {
        return "inject has more than 64 hosts";
    }
    for (struct value_iter it = value_entries(inject);
         detail == NULL && value_next_entry(&it, &host, &fields);) {
        bool is_any = host.len > 0 && host.data[0] == '*' && !slice_has_prefix(host, SLICE("*."));
        if (is_any || egress_pattern_check(host, &detail) != ERR_OK) {
            return "inject has a host that is neither `host`, `host:port`, `*.name` nor "
                   "`*.name:port`";
        }
        detail = check_fields(fields);
    }
    if (detail == NULL) {
        egress_rules_secrets(rules, note_name, &names);
    }
    return names.count > EGRESS_RULES_SECRETS_MAX ? "inject names more than 32 secrets" : detail;
}

static const char *check_member(struct slice rules, struct slice name, struct slice value)
{
    const char *detail = NULL;
    uint64_t rate;
    if (slice_equal_str(name, "allow")) {
        return egress_list_check(value, &detail) == ERR_OK ? NULL : detail;
    }
    if (slice_equal_str(name, "inject")) {
        return check_inject(rules, value);
    }
    if (slice_equal_str(name, "requests_per_minute")) {
        return value_get_uint(value, &rate) && rate >= 1 && rate <= EGRESS_RATE_MAX
                   ? NULL
                   : "requests_per_minute is not a whole number from 1 to 1000000";
    }
    return "egress has a member other than allow, inject and requests_per_minute";
}

enum err egress_rules_check(struct slice rules, const char **ret_detail)
{
    struct slice name;
    struct slice value;
    const char *detail = NULL;
    if (rules.len == 0 || value_type(rules) == VALUE_NIL) {
        return ERR_OK;
    }
    if (value_type(rules) != VALUE_MAP) {
        detail = "egress is not an object";
    } else if (rules.len > EGRESS_RULES_BYTES_MAX) {
        detail = "egress has more than 64 KiB";
    }
    for (struct value_iter it = value_entries(rules);
         detail == NULL && value_next_entry(&it, &name, &value);) {
        detail = check_member(rules, name, value);
    }
    if (detail != NULL) {
        *ret_detail = detail;
        return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

/* Use */

static struct slice member(struct slice rules, const char *name)
{
    struct slice doc;
    return rules.len > 0 && value_member(rules, name, &doc) ? doc : (struct slice){0};
}

struct slice egress_rules_allow(struct slice rules)
{
    return member(rules, "allow");
}

struct slice egress_rules_inject(struct slice rules)
{
    return member(rules, "inject");
}

uint32_t egress_rules_rate(struct slice rules)
{
    struct slice doc = member(rules, "requests_per_minute");
    uint64_t rate = 0;
    return doc.len > 0 && value_get_uint(doc, &rate) ? (uint32_t)rate : 0;
}

static bool is_known(const struct names *known, struct slice name)
{
    for (size_t i = 0; i < known->count; i++) {
        if (slice_equal(known->found[i], name)) {
            return true;
        }
    }
    return false;
}

static void each_of_template(struct slice rest, struct names *known,
                             void (*each)(void *ctx, struct slice name), void *ctx)
{
    struct slice text;
    struct slice secret;
    while (egress_template_next(&rest, &text, &secret)) {
        if (secret.len > 0 && !is_known(known, secret)) {
            note_name(known, secret);
            each(ctx, secret);
        }
    }
}

void egress_rules_secrets(struct slice rules, void (*each)(void *ctx, struct slice name), void *ctx)
{
    struct slice inject = egress_rules_inject(rules);
    struct names known = {.count = 0};
    struct slice host;
    struct slice fields;
    struct slice name;
    struct slice value;
    struct slice text;
    if (inject.len == 0) {
        return;
    }
    for (struct value_iter it = value_entries(inject); value_next_entry(&it, &host, &fields);) {
        for (struct value_iter f = value_entries(fields); value_next_entry(&f, &name, &value);) {
            if (value_get_str(value, &text)) {
                each_of_template(text, &known, each, ctx);
            }
        }
    }
}

bool egress_inject_matches(struct slice pattern, struct slice host, uint16_t port)
{
    return egress_pattern_matches(pattern, host, port, true);
}
