#include "rpc/peer_name.h"

#include <inttypes.h>
#include <stdio.h>

#include "rpc/uri.h"

static const char scheme[] = "dormouse://";
static const char infix[] = "/node/";

static bool is_cluster_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* One way to write a number alone: two names that mean the same would be two names. */
static bool parse_node(struct slice text, uint32_t *ret)
{
    uint64_t n;
    if (text.len == 0 || text.data[0] == '0' || !parse_uint(text, &n) || n > UINT32_MAX) {
        return false;
    }
    *ret = (uint32_t)n;
    return true;
}

enum err peer_name_parse(struct slice uri, struct peer_name *ret_name)
{
    struct peer_name name = {.node = 0};
    if (!slice_has_prefix(uri, SLICE(scheme))) {
        return ERR_BAD_REQUEST;
    }
    struct slice rest = slice_skip(uri, sizeof scheme - 1);
    size_t len = 0;
    while (len < rest.len && is_cluster_char(rest.data[len])) {
        len++;
    }
    if (len == 0 || len >= sizeof name.cluster) {
        return ERR_BAD_REQUEST;
    }
    memcpy(name.cluster, rest.data, len);
    rest = slice_skip(rest, len);
    if (rest.len > 0 && (!slice_has_prefix(rest, SLICE(infix)) ||
                         !parse_node(slice_skip(rest, sizeof infix - 1), &name.node))) {
        return ERR_BAD_REQUEST;
    }
    *ret_name = name;
    return ERR_OK;
}

void peer_name_format(const struct peer_name *name, char ret_uri[PEER_NAME_BYTES])
{
    if (name->node == 0) {
        (void)snprintf(ret_uri, PEER_NAME_BYTES, "%s%s", scheme, name->cluster);
    } else {
        (void)snprintf(ret_uri, PEER_NAME_BYTES, "%s%s%s%" PRIu32, scheme, name->cluster, infix,
                       name->node);
    }
}
