/* POST .../txn: checks and operations as one step (API section 3).
 *
 * The body is read through the value cursor, so JSON and msgpack clients share this code. The first
 * pass checks the form of everything and asks for every row that will be read; the second decides
 * and acts. */
#include "actor/actor.h"
#include "actor/ops.h"
#include "base/address.h"
#include "base/invariant.h"
#include "rpc/value.h"

struct txn {
    struct turn *turn;
    struct request *request;
    struct slice checks; /* arrays; empty slices where absent */
    struct slice actions;
    struct buf results;
};

static enum err bad(struct request *r, const char *list, uint32_t at, const char *what)
{
    return reply_fail(&r->reply, ERR_BAD_REQUEST, "%s[%u]: %s", list, at, what);
}

/* A key: a string of 1 to 480 bytes. */
static enum err read_key(struct txn *x, const char *list, uint32_t at, struct slice doc,
                         struct slice *ret_key)
{
    if (!value_get_str(doc, ret_key)) {
        return bad(x->request, list, at, "the key is not a string");
    }
    if (ret_key->len == 0) {
        return bad(x->request, list, at, "the key is empty");
    }
    if (ret_key->len > KV_KEY_BYTES_MAX) {
        return reply_too_large(&x->request->reply, "key_bytes", KV_KEY_BYTES_MAX);
    }
    return ERR_OK;
}

/* The members of one map, by name; an unknown name is an error that says so. */
struct member {
    const char *name;
    struct slice doc; /* data is NULL where it is absent */
};

static enum err read_members(struct txn *x, const char *list, uint32_t at, struct slice map,
                             struct member *members, size_t count)
{
    if (value_type(map) != VALUE_MAP) {
        return bad(x->request, list, at, "this is not an object");
    }
    struct value_iter it = value_entries(map);
    struct slice key;
    struct slice doc;
    while (value_next_entry(&it, &key, &doc)) {
        size_t i = 0;
        while (i < count && !slice_equal_str(key, members[i].name)) {
            i++;
        }
        if (i == count) {
            return reply_fail(&x->request->reply, ERR_BAD_REQUEST,
                              "%s[%u]: unknown member \"%.*s\"", list, at,
                              (int)(key.len < 64 ? key.len : 64), (const char *)key.data);
        }
        members[i].doc = doc;
    }
    return ERR_OK;
}

/* Checks */

enum { CHECK_KEY, CHECK_VERSION, CHECK_EXISTS, CHECK_EQUALS, CHECK_MEMBERS };

static enum err read_check(struct txn *x, uint32_t at, struct slice doc,
                           struct member m[CHECK_MEMBERS], struct slice *ret_key)
{
    static const char *const names[CHECK_MEMBERS] = {"key", "version", "exists", "equals"};
    for (int i = 0; i < CHECK_MEMBERS; i++) {
        m[i] = (struct member){.name = names[i]};
    }
    enum err err = read_members(x, "if", at, doc, m, CHECK_MEMBERS);
    if (err != ERR_OK) {
        return err;
    }
    int conditions = (m[CHECK_VERSION].doc.data != NULL) + (m[CHECK_EXISTS].doc.data != NULL) +
                     (m[CHECK_EQUALS].doc.data != NULL);
    if (m[CHECK_KEY].doc.data == NULL || conditions == 0) {
        return bad(x->request, "if", at, "a check has a key and version, exists or equals");
    }
    uint64_t version;
    bool exists;
    if (m[CHECK_VERSION].doc.data != NULL && !value_get_uint(m[CHECK_VERSION].doc, &version)) {
        return bad(x->request, "if", at, "version is not a positive integer");
    }
    if (m[CHECK_EXISTS].doc.data != NULL && !value_get_bool(m[CHECK_EXISTS].doc, &exists)) {
        return bad(x->request, "if", at, "exists is not a boolean");
    }
    return read_key(x, "if", at, m[CHECK_KEY].doc, ret_key);
}

static bool check_holds(const struct member m[CHECK_MEMBERS], const struct row *row)
{
    uint64_t version;
    if (m[CHECK_VERSION].doc.data != NULL && value_get_uint(m[CHECK_VERSION].doc, &version) &&
        (row == NULL || row->version != version)) {
        return false;
    }
    bool exists;
    if (m[CHECK_EXISTS].doc.data != NULL && value_get_bool(m[CHECK_EXISTS].doc, &exists) &&
        exists != (row != NULL)) {
        return false;
    }
    return m[CHECK_EQUALS].doc.data == NULL ||
           (row != NULL && value_equal(bytes_slice(row->value), m[CHECK_EQUALS].doc));
}

static enum err run_checks(struct txn *x)
{
    struct value_iter it = value_items(x->checks);
    struct slice doc;
    for (uint32_t at = 0; value_next(&it, &doc); at++) {
        struct member m[CHECK_MEMBERS];
        struct slice key;
        const struct row *row;
        enum err err = read_check(x, at, doc, m, &key);
        if (err == ERR_OK) {
            err = turn_get(x->turn, ROW_KV, key, &row);
        }
        if (err != ERR_OK) {
            return err;
        }
        if (!check_holds(m, row)) {
            (void)reply_fail(&x->request->reply, ERR_CONFLICT, "Check %u did not hold.", at);
            x->request->reply.failed = at;
            return ERR_CONFLICT;
        }
    }
    return ERR_OK;
}

/* Operations */

enum action_verb { DO_PUT, DO_DELETE, DO_ADD, DO_APPEND, DO_GET, DO_LIST, DO_VERBS };
enum { ARG_VALUE = DO_VERBS, ARG_BY, ARG_ITEMS, ACTION_MEMBERS };

struct action {
    enum action_verb verb;
    struct slice key;      /* all but list */
    struct slice argument; /* value, by or items; data is NULL where absent */
    struct slice list;     /* of list */
};

static enum err read_action(struct txn *x, uint32_t at, struct slice doc, struct action *ret)
{
    static const char *const names[ACTION_MEMBERS] = {"put",  "delete", "add", "append", "get",
                                                      "list", "value",  "by",  "items"};
    static const int argument_of[DO_VERBS] = {ARG_VALUE, -1, ARG_BY, ARG_ITEMS, -1, -1};
    struct member m[ACTION_MEMBERS];
    for (int i = 0; i < ACTION_MEMBERS; i++) {
        m[i] = (struct member){.name = names[i]};
    }
    enum err err = read_members(x, "do", at, doc, m, ACTION_MEMBERS);
    if (err != ERR_OK) {
        return err;
    }
    int verb = -1;
    for (int i = 0; i < DO_VERBS; i++) {
        if (m[i].doc.data != NULL) {
            if (verb >= 0) {
                return bad(x->request, "do", at, "one operation at a time");
            }
            verb = i;
        }
    }
    if (verb < 0) {
        return bad(x->request, "do", at, "no operation: put, delete, add, append, get or list");
    }
    for (int i = ARG_VALUE; i < ACTION_MEMBERS; i++) {
        if (m[i].doc.data != NULL && i != argument_of[verb]) {
            return bad(x->request, "do", at, "a member that does not go with the operation");
        }
    }
    *ret = (struct action){.verb = (enum action_verb)verb};
    if (argument_of[verb] >= 0) {
        ret->argument = m[argument_of[verb]].doc;
    }
    if (verb == DO_LIST) {
        ret->list = m[DO_LIST].doc;
        return ERR_OK;
    }
    if (verb == DO_PUT && ret->argument.data == NULL) {
        return bad(x->request, "do", at, "put needs a value");
    }
    if (verb == DO_APPEND &&
        (ret->argument.data == NULL || value_type(ret->argument) != VALUE_ARRAY)) {
        return bad(x->request, "do", at, "append needs an array of items");
    }
    return read_key(x, "do", at, m[verb].doc, &ret->key);
}

/* What a stored value must be, before it is stored. */
static enum err check_value(struct txn *x, uint32_t at, struct slice doc)
{
    if (doc.len > VALUE_BYTES_MAX) {
        return reply_too_large(&x->request->reply, "value_bytes", VALUE_BYTES_MAX);
    }
    const char *reason;
    if (value_check(doc, VALUE_DEPTH_MAX, &reason) != ERR_OK) {
        return reply_fail(&x->request->reply, ERR_INVALID_VALUE, "do[%u]: %s", at, reason);
    }
    return ERR_OK;
}

static enum err put_value(struct txn *x, struct slice key, const struct row *old, struct slice doc)
{
    struct bytes *value = bytes_new(doc);
    enum err err = turn_put_key(x->turn, key, old, value);
    bytes_unref(value);
    return err;
}

static enum err put_checked(struct txn *x, uint32_t at, struct slice key, const struct row *old,
                            struct slice doc)
{
    enum err err = check_value(x, at, doc);
    return err == ERR_OK ? put_value(x, key, old, doc) : err;
}

static enum err do_put(struct txn *x, const struct action *a, const struct row *old)
{
    enum err err = put_value(x, a->key, old, a->argument);
    if (err == ERR_OK) {
        value_put_map(&x->results, 1);
        value_put_text(&x->results, "version");
        value_put_uint(&x->results, turn_version(x->turn));
    }
    return err;
}

static void do_delete(struct txn *x, const struct action *a, const struct row *old)
{
    value_put_map(&x->results, 1);
    value_put_text(&x->results, "existed");
    value_put_bool(&x->results, old != NULL);
    if (old != NULL) {
        turn_delete_key(x->turn, a->key, old);
    }
}

static enum err do_add(struct txn *x, uint32_t at, const struct action *a, const struct row *old)
{
    struct buf zero = {0};
    struct buf one = {0};
    struct buf sum = {0};
    value_put_int(&zero, 0);
    value_put_int(&one, 1);
    struct slice left = old != NULL ? bytes_slice(old->value) : buf_slice(&zero);
    struct slice by = a->argument.data != NULL ? a->argument : buf_slice(&one);
    enum err err = value_add(left, by, &sum);
    if (err != ERR_OK) {
        (void)reply_fail(&x->request->reply, err,
                         "do[%u]: add needs two numbers, and a sum within 64 bits", at);
        goto free_bufs;
    }
    err = put_checked(x, at, a->key, old, buf_slice(&sum));
    if (err == ERR_OK) {
        value_put_map(&x->results, 1);
        value_put_text(&x->results, "value");
        value_put_raw(&x->results, buf_slice(&sum));
    }
free_bufs:
    buf_done(&zero);
    buf_done(&one);
    buf_done(&sum);
    return err;
}

static void append_items(struct buf *out, struct slice array)
{
    struct value_iter it = value_items(array);
    struct slice item;
    while (value_next(&it, &item)) {
        value_put_raw(out, item);
    }
}

static enum err do_append(struct txn *x, uint32_t at, const struct action *a, const struct row *old)
{
    struct slice present = old != NULL ? bytes_slice(old->value) : (struct slice){0};
    if (old != NULL && value_type(present) != VALUE_ARRAY) {
        return reply_fail(&x->request->reply, ERR_INVALID_VALUE,
                          "do[%u]: the key holds no array to append to", at);
    }
    uint32_t length = (old != NULL ? value_count(present) : 0) + value_count(a->argument);
    struct buf joined = {0};
    value_put_array(&joined, length);
    if (old != NULL) {
        append_items(&joined, present);
    }
    append_items(&joined, a->argument);
    enum err err = put_checked(x, at, a->key, old, buf_slice(&joined));
    buf_done(&joined);
    if (err == ERR_OK) {
        value_put_map(&x->results, 1);
        value_put_text(&x->results, "length");
        value_put_uint(&x->results, length);
    }
    return err;
}

static void do_get(struct txn *x, const struct row *row)
{
    if (row == NULL) {
        value_put_nil(&x->results);
        return;
    }
    value_put_map(&x->results, 2);
    value_put_text(&x->results, "value");
    value_put_raw(&x->results, bytes_slice(row->value));
    value_put_text(&x->results, "version");
    value_put_uint(&x->results, row->version);
}

static void free_list(struct list_params *p)
{
    bytes_unref(p->prefix);
    bytes_unref(p->start);
    bytes_unref(p->start_after);
    bytes_unref(p->end);
}

/* The listing's parameters; absent ones keep their defaults. */
static enum err read_list(struct txn *x, uint32_t at, struct slice map, struct list_params *ret)
{
    enum { PREFIX, START, START_AFTER, END, LIMIT, REVERSE, VALUES, COUNT };
    static const char *const names[COUNT] = {"prefix", "start",   "startAfter", "end",
                                             "limit",  "reverse", "values"};
    struct member m[COUNT];
    for (int i = 0; i < COUNT; i++) {
        m[i] = (struct member){.name = names[i]};
    }
    enum err err = read_members(x, "do", at, map, m, COUNT);
    if (err != ERR_OK) {
        return err;
    }
    struct bytes **texts[] = {&ret->prefix, &ret->start, &ret->start_after, &ret->end};
    for (int i = PREFIX; i <= END; i++) {
        struct slice text;
        if (m[i].doc.data == NULL) {
            continue;
        }
        if (!value_get_str(m[i].doc, &text)) {
            return bad(x->request, "do", at, "a bound of list is not a string");
        }
        *texts[i] = bytes_new(text);
    }
    uint64_t limit = LIST_LIMIT_DEFAULT;
    if (m[LIMIT].doc.data != NULL &&
        (!value_get_uint(m[LIMIT].doc, &limit) || limit < 1 || limit > LIST_LIMIT_MAX)) {
        return bad(x->request, "do", at, "limit is not within 1 to 1000");
    }
    ret->limit = (uint32_t)limit;
    if ((m[REVERSE].doc.data != NULL && !value_get_bool(m[REVERSE].doc, &ret->reverse)) ||
        (m[VALUES].doc.data != NULL && !value_get_bool(m[VALUES].doc, &ret->values))) {
        return bad(x->request, "do", at, "reverse and values are booleans");
    }
    return ERR_OK;
}

static enum err do_list(struct txn *x, uint32_t at, const struct action *a)
{
    struct list_params params = {.values = true, .has_no_next = true};
    struct buf entries = {0};
    struct buf next = {0};
    enum err err = read_list(x, at, a->list, &params);
    if (err == ERR_OK) {
        err = list_page(x->turn, &params, &entries, &next);
    }
    /* There is no cursor to go on with: a page that ended by its bytes would be a part in disguise. */
    if (err == ERR_OK && next.len > 0 && value_count(buf_slice(&entries)) < params.limit) {
        err = reply_too_large(&x->request->reply, "txn_result_bytes", PAGE_BYTES_MAX);
    }
    if (err == ERR_OK) {
        value_put_map(&x->results, 1);
        value_put_text(&x->results, "entries");
        value_put_raw(&x->results, buf_slice(&entries));
    }
    free_list(&params);
    buf_done(&entries);
    buf_done(&next);
    return err;
}

static enum err run_action(struct txn *x, uint32_t at, const struct action *a)
{
    if (a->verb == DO_LIST) {
        return do_list(x, at, a);
    }
    const struct row *row;
    enum err err = turn_get(x->turn, ROW_KV, a->key, &row);
    if (err != ERR_OK) {
        return err;
    }
    switch (a->verb) {
    case DO_PUT:
        return do_put(x, a, row);
    case DO_DELETE:
        do_delete(x, a, row);
        return ERR_OK;
    case DO_ADD:
        return do_add(x, at, a, row);
    case DO_APPEND:
        return do_append(x, at, a, row);
    case DO_GET:
        do_get(x, row);
        return ERR_OK;
    case DO_LIST:
    case DO_VERBS:
        break;
    }
    UNREACHABLE();
}

static enum err run_actions(struct txn *x)
{
    struct value_iter it = value_items(x->actions);
    struct slice doc;
    for (uint32_t at = 0; value_next(&it, &doc); at++) {
        struct action a;
        enum err err = read_action(x, at, doc, &a);
        if (err == ERR_OK) {
            err = run_action(x, at, &a);
        }
        if (err != ERR_OK) {
            return err;
        }
        if (x->results.len > PAGE_BYTES_MAX) {
            return reply_too_large(&x->request->reply, "txn_result_bytes", PAGE_BYTES_MAX);
        }
    }
    return ERR_OK;
}

/* What an operation says, as far as that shows without the actor's rows. */
static enum err check_action(struct txn *x, uint32_t at, const struct action *a)
{
    if (a->verb == DO_PUT) {
        return check_value(x, at, a->argument);
    }
    if (a->verb == DO_LIST) {
        struct list_params params = {.values = true};
        enum err err = read_list(x, at, a->list, &params);
        free_list(&params);
        return err;
    }
    return ERR_OK;
}

/* Form first: a malformed transaction is 400 whatever its checks would say. */
static enum err check_form(struct txn *x)
{
    struct value_iter it = value_items(x->checks);
    struct slice doc;
    for (uint32_t at = 0; value_next(&it, &doc); at++) {
        struct member m[CHECK_MEMBERS];
        struct slice key;
        enum err err = read_check(x, at, doc, m, &key);
        if (err != ERR_OK) {
            return err;
        }
        turn_want(x->turn, ROW_KV, key);
    }
    it = value_items(x->actions);
    for (uint32_t at = 0; value_next(&it, &doc); at++) {
        struct action a;
        enum err err = read_action(x, at, doc, &a);
        if (err == ERR_OK) {
            err = check_action(x, at, &a);
        }
        if (err != ERR_OK) {
            return err;
        }
        if (a.verb != DO_LIST) {
            turn_want(x->turn, ROW_KV, a.key);
        }
    }
    return x->turn->want_count > 0 ? ERR_COLD : ERR_OK;
}

static enum err read_body(struct txn *x)
{
    struct slice body = bytes_slice(x->request->body);
    struct reply *reply = &x->request->reply;
    if (body.len == 0 || value_type(body) != VALUE_MAP) {
        return reply_fail(reply, ERR_BAD_REQUEST, "The body is not an object.");
    }
    struct value_iter it = value_entries(body);
    struct slice key;
    struct slice doc;
    while (value_next_entry(&it, &key, &doc)) {
        struct slice *list = slice_equal_str(key, "if")   ? &x->checks
                             : slice_equal_str(key, "do") ? &x->actions
                                                          : NULL;
        if (list == NULL || value_type(doc) != VALUE_ARRAY) {
            return reply_fail(reply, ERR_BAD_REQUEST,
                              "The body has the members if and do, both arrays.");
        }
        *list = doc;
    }
    uint32_t count = (x->checks.data != NULL ? value_count(x->checks) : 0) +
                     (x->actions.data != NULL ? value_count(x->actions) : 0);
    if (count > TXN_OPERATIONS_MAX) {
        return reply_too_large(reply, "txn_operations", TXN_OPERATIONS_MAX);
    }
    return ERR_OK;
}

static void put_result(struct txn *x, struct buf *out)
{
    const struct turn *t = x->turn;
    uint64_t version = turn_writes(t) ? t->version : t->meta.version;
    value_put_map(out, 3);
    value_put_text(out, "committed");
    value_put_bool(out, true);
    value_put_text(out, "version");
    if (version != 0) {
        value_put_uint(out, version);
    } else {
        value_put_nil(out);
    }
    value_put_text(out, "results");
    value_put_array(out, x->actions.data != NULL ? value_count(x->actions) : 0);
    buf_append_slice(out, buf_slice(&x->results));
}

enum err op_txn(struct turn *t, struct request *r)
{
    static const uint8_t empty_array[] = {0x90};
    struct txn x = {.turn = t,
                    .request = r,
                    .checks = slice_of(empty_array, sizeof empty_array),
                    .actions = slice_of(empty_array, sizeof empty_array)};
    enum err err = read_body(&x);
    if (err == ERR_OK) {
        err = check_form(&x);
    }
    if (err == ERR_OK) {
        err = run_checks(&x);
    }
    if (err == ERR_OK) {
        err = run_actions(&x);
    }
    if (err == ERR_OK) {
        struct buf body = {0};
        put_result(&x, &body);
        reply_body(&r->reply, 200, &body);
    }
    buf_done(&x.results);
    return err;
}
