#include "node/agent_path.h"

#include "rpc/uri.h"

static const char prefix[] = "/agents/";

bool agent_path_is_one(struct slice path)
{
    return slice_has_prefix(path, slice_of(prefix, sizeof prefix - 1));
}

static bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_all_upper(struct slice name)
{
    bool has_letter = false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (c >= 'a' && c <= 'z') {
            return false;
        }
        has_letter = has_letter || is_upper(c);
    }
    return has_letter;
}

/* "MyCounter" is "my-counter", "COUNTER" is "counter", "my_counter" is "my-counter"; "_" at the end goes. */
bool agent_path_is_kebab_of(struct slice kebab, struct slice class)
{
    bool all_upper = is_all_upper(class);
    uint8_t text[2 * CLASS_BYTES_MAX];
    size_t len = 0;
    if (class.len > CLASS_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < class.len; i++) {
        uint8_t c = class.data[i];
        if (is_upper(c) && !all_upper && len > 0) {
            text[len++] = '-';
        }
        text[len++] = is_upper(c) ? (uint8_t)(c + ('a' - 'A')) : c == '_' ? '-' : c;
    }
    len -= !all_upper && len > 0 && text[len - 1] == '-' ? 1 : 0;
    return slice_equal(kebab, slice_of(text, len));
}

static const struct deployed_class *class_of(const struct deployment *d, struct slice kebab)
{
    for (size_t i = 0; d != NULL && i < d->class_count; i++) {
        if (d->classes[i].kind == CLASS_OBJECT &&
            agent_path_is_kebab_of(kebab, d->classes[i].name)) {
            return &d->classes[i];
        }
    }
    return NULL;
}

struct found {
    const struct deployment *deployment;
    const struct deployed_class *class;
    size_t count;
};

static void look_everywhere(const struct cluster_view *v, struct slice kebab, struct found *ret)
{
    const struct deployments *all = &v->deployments;
    const struct deployment *last = NULL;
    for (size_t i = 0; i < all->release_count; i++) {
        struct deployment *d = deployments_find(all, slice_of_str(all->releases[i].ns));
        const struct deployed_class *class = d != last ? class_of(d, kebab) : NULL;
        last = d;
        if (class != NULL) {
            *ret = (struct found){d, class, ret->count + 1};
        }
    }
}

static enum err find(const struct cluster_view *v, struct slice query, struct slice kebab,
                     struct found *ret, const char **ret_detail)
{
    struct query q;
    struct slice ns;
    *ret = (struct found){0};
    if (query_init(&q, query) != ERR_OK) {
        *ret_detail = "The query is malformed.";
        return ERR_BAD_REQUEST;
    }
    if (query_find(&q, "ns", &ns)) {
        ret->deployment = cluster_view_deployment(v, ns);
        ret->class = class_of(ret->deployment, kebab);
        ret->count = ret->class != NULL ? 1 : 0;
    } else {
        look_everywhere(v, kebab, ret);
    }
    query_done(&q);
    if (ret->count > 1) {
        *ret_detail = "Several namespaces have such a class: say which with ?ns=.";
        return ERR_BAD_REQUEST;
    }
    *ret_detail = ret->count == 0 ? "No class that is deployed has this name in kebab case." : "";
    return ret->count == 0 ? ERR_NO_SUCH_CLASS : ERR_OK;
}

enum err agent_path_resolve(const struct cluster_view *v, struct slice path, struct slice query,
                            bool wants_socket, struct buf *out, const char **ret_detail)
{
    struct slice rest = slice_skip(path, sizeof prefix - 2);
    struct slice kebab;
    struct slice name;
    struct found found;
    if (!path_next(&rest, &kebab) || !path_next(&rest, &name) || name.len == 0) {
        *ret_detail = "An agent is /agents/{class}/{name}.";
        return ERR_NOT_FOUND;
    }
    enum err err = find(v, query, kebab, &found, ret_detail);
    if (err != ERR_OK) {
        return err;
    }
    buf_printf(out, "/v1/%s/", found.deployment->ns);
    buf_append_slice(out, found.class->name);
    buf_append_byte(out, '/');
    buf_append_slice(out, name);
    buf_append_str(out, wants_socket ? "/ws" : "/fetch");
    buf_append_slice(out, path);
    if (query.len > 0) {
        buf_append_byte(out, '?');
        buf_append_slice(out, query);
    }
    return ERR_OK;
}
