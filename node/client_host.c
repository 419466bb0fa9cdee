#include "node/client_host.h"

#include <netinet/in.h>

#include "base/invariant.h"
#include "base/mem.h"

static void make_key(const struct sockaddr_storage *address, uint8_t ret_key[CLIENT_HOST_KEY_BYTES])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memset(ret_key, 0, CLIENT_HOST_KEY_BYTES);
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        ret_key[0] = 4;
        memcpy(ret_key + 1, &v4->sin_addr, 4);
        return;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    bool is_mapped = memcmp(&v6->sin6_addr, mapped, sizeof mapped) == 0;
    ret_key[0] = is_mapped ? 4 : 6;
    memcpy(ret_key + 1, (const uint8_t *)&v6->sin6_addr + (is_mapped ? 12 : 0), is_mapped ? 4 : 8);
}

static struct client_host *find(const struct client_hosts *p,
                                const uint8_t key[CLIENT_HOST_KEY_BYTES], uint64_t hash)
{
    for (struct map_node *n = map_find(&p->by_key, hash); n != NULL; n = map_next_same(n)) {
        struct client_host *host = CONTAINER_OF(n, struct client_host, node);
        if (memcmp(host->key, key, CLIENT_HOST_KEY_BYTES) == 0) {
            return host;
        }
    }
    return NULL;
}

struct client_host *client_host_join(struct client_hosts *p, const struct sockaddr_storage *address)
{
    uint8_t key[CLIENT_HOST_KEY_BYTES];
    make_key(address, key);
    uint64_t hash = hash_of(slice_of(key, CLIENT_HOST_KEY_BYTES));
    struct client_host *host = find(p, key, hash);
    if (host == NULL) {
        host = MEM_NEW(struct client_host);
        memcpy(host->key, key, CLIENT_HOST_KEY_BYTES);
        rota_party_init(&host->readers);
        rota_party_init(&host->writers);
        rota_party_init(&host->sidework);
        host->load.whole = &p->load;
        map_add(&p->by_key, &host->node, hash);
    }
    host->conn_count++;
    return host;
}

void client_host_leave(struct client_hosts *p, struct client_host *host)
{
    PRE(host->conn_count > 0);
    if (--host->conn_count == 0) {
        INVARIANT(list_is_empty(&host->readers.members) && list_is_empty(&host->writers.members));
        INVARIANT(list_is_empty(&host->sidework.members));
        map_remove(&p->by_key, &host->node);
        mem_free(host);
    }
}

void client_hosts_done(struct client_hosts *p)
{
    PRE(p->by_key.count == 0);
    map_done(&p->by_key);
}
