#include "tests/lib/peer_certs.h"

#include <stdio.h>

#include "base/clock.h"
#include "tests/lib/test.h"

enum { PATH_BYTES = 4096 };

struct tls_cert peer_ca(void)
{
    return tls_cert_make(NULL, &(struct tls_cert_options){.is_ca = true});
}

struct tls_context *peer_context(const struct tls_cert *ca, const struct tls_cert *trusts,
                                 const char *uri)
{
    char names[128];
    char paths[3][PATH_BYTES];
    char detail[TLS_DETAIL_BYTES];
    static const char *const files[] = {"cert", "key", "ca"};
    char *dir = test_make_dir();
    (void)snprintf(names, sizeof names, "URI:%s", uri);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(paths[i], PATH_BYTES, "%s/%s", dir, files[i]);
    }
    struct tls_cert c = tls_cert_make(ca, &(struct tls_cert_options){.names = names});
    tls_cert_save(&c, dir, "cert");
    tls_cert_save_key(&c, dir, "key", NULL);
    tls_cert_save(trusts, dir, "ca");
    if (trusts != ca) { /* or the context would refuse itself */
        tls_cert_append(ca, dir, "ca");
    }
    tls_cert_done(&c);
    const struct tls_files named = {.cert = paths[0], .key = paths[1], .ca = paths[2]};
    struct tls_context *context = NULL;
    if (tls_context_new(TLS_FOR_PEERS, &named, clock_wall_ms(), &context, detail) != ERR_OK) {
        fail_msg("%s", detail);
    }
    test_remove_dir(dir);
    return context;
}
