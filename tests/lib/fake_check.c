/* The check of code as a test wants it: no isolate, no JavaScript. Linked with node/main.c it makes a dormoused
 * that takes deploys wherever it runs.
 *
 *     export class NAME [extends BASE]    is exported, an object, or a workflow where BASE says so, or "other"
 *     var NAME = class [extends BASE]     likewise: so a bundler writes it
 *     export default                      is one
 *     @@MESSAGE                           is a syntax error, here
 */
#include <string.h>

#include "base/buf.h"
#include "node/code_check.h"
#include "rpc/value.h"

struct found {
    struct buf classes;
    uint32_t class_count;
    struct buf modules;
    uint32_t module_count;
    bool has_default;
};

static struct slice word_after(struct slice text, const char *before)
{
    size_t len = strlen(before);
    const uint8_t *at = memmem(text.data, text.len, before, len);
    if (at == NULL) {
        return (struct slice){0};
    }
    struct slice rest = slice_skip(text, (size_t)(at - text.data) + len);
    size_t n = 0;
    while (n < rest.len && strchr(" {(\n", rest.data[n]) == NULL) {
        n++;
    }
    return slice_of(rest.data, n);
}

static void take_class(struct slice line, struct found *f)
{
    struct slice name = word_after(line, "export class ");
    struct slice base = word_after(line, " extends ");
    if (name.len == 0 && word_after(line, " = clas").len > 0) {
        name = word_after(line, "var ");
    }
    if (name.len == 0) {
        return;
    }
    f->class_count++;
    value_put_map(&f->classes, 3);
    value_put_text(&f->classes, "name");
    value_put_str(&f->classes, name);
    value_put_text(&f->classes, "kind");
    value_put_text(&f->classes, slice_equal_str(base, "DurableObject")        ? "object"
                                : slice_equal_str(base, "WorkflowEntrypoint") ? "workflow"
                                                                              : "other");
    value_put_text(&f->classes, "methods");
    value_put_array(&f->classes, 0);
}

static void put_number(struct buf *out, const char *name, size_t number)
{
    value_put_text(out, name);
    value_put_uint(out, number);
}

static void fail(struct code_check *c, struct slice file, size_t line, size_t column,
                 struct slice message)
{
    struct buf fault = {0};
    value_put_map(&fault, 5);
    value_put_text(&fault, "name");
    value_put_text(&fault, "SyntaxError");
    value_put_text(&fault, "message");
    value_put_str(&fault, message);
    value_put_text(&fault, "file");
    value_put_str(&fault, file);
    put_number(&fault, "line", line);
    put_number(&fault, "column", column);
    c->fault = bytes_new(buf_slice(&fault));
    buf_done(&fault);
    (void)decode_fail(&c->error, ERR_INVALID_CODE, NULL);
}

/* Whether it has no error. */
static bool read_source(struct code_check *c, struct slice name, struct slice source,
                        struct found *f)
{
    size_t number = 1;
    for (struct slice rest = source; rest.len > 0; number++) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        struct slice line = slice_of(rest.data, end != NULL ? (size_t)(end - rest.data) : rest.len);
        rest = slice_skip(rest, line.len + (end != NULL ? 1 : 0));
        const uint8_t *wrong = memmem(line.data, line.len, "@@", 2);
        if (wrong != NULL) {
            size_t at = (size_t)(wrong - line.data);
            fail(c, name, number, at + 1, slice_skip(line, at + 2));
            return false;
        }
        if (slice_equal(name, c->main)) {
            take_class(line, f);
            f->has_default = f->has_default || slice_has_prefix(line, SLICE("export default"));
        }
    }
    return true;
}

static void tell(struct code_check *c, struct found *f)
{
    struct buf found = {0};
    value_put_map(&found, 3);
    value_put_text(&found, "modules");
    value_put_array(&found, f->module_count);
    buf_append_slice(&found, buf_slice(&f->modules));
    value_put_text(&found, "classes");
    value_put_array(&found, f->class_count);
    buf_append_slice(&found, buf_slice(&f->classes));
    value_put_text(&found, "has_default");
    value_put_bool(&found, f->has_default);
    c->found = bytes_new(buf_slice(&found));
    buf_done(&found);
}

void code_check(struct worker *w, struct code_check *c)
{
    struct value_iter it = value_entries(c->modules);
    struct found f = {.class_count = 0};
    struct slice name;
    struct slice doc;
    struct slice source;
    bool is_right = true;
    (void)w;
    while (is_right && value_next_entry(&it, &name, &doc) && value_get_str(doc, &source)) {
        is_right = read_source(c, name, source, &f);
        value_put_array(&f.modules, 2);
        value_put_str(&f.modules, name);
        value_put_str(&f.modules, source);
        f.module_count++;
    }
    if (is_right) {
        tell(c, &f);
    }
    buf_done(&f.modules);
    buf_done(&f.classes);
    c->done(c);
}
