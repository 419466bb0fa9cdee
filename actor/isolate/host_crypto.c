#include "actor/isolate/host_crypto.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/invariant.h"

struct digest {
    const char *name;         /* as the Web Cryptography API has it */
    const char *library_name; /* as libcrypto has it */
    EVP_MD *method;           /* fetched once, in the zygote */
};

static struct digest digests[] = {
    {"SHA-1", "SHA1", NULL},     {"SHA-256", "SHA256", NULL}, {"SHA-384", "SHA384", NULL},
    {"SHA-512", "SHA512", NULL}, {"MD5", "MD5", NULL},
};
enum { DIGESTS = sizeof digests / sizeof digests[0] };

void host_crypto_init(void)
{
    /* No file of the system changes what isolates compute. */
    int is_up = OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    INVARIANT(is_up == 1);
    for (size_t i = 0; i < DIGESTS; i++) {
        digests[i].method = EVP_MD_fetch(NULL, digests[i].library_name, NULL);
    }
}

static const EVP_MD *find_digest(struct slice name)
{
    for (size_t i = 0; i < DIGESTS; i++) {
        if (slice_equal_str(name, digests[i].name)) {
            return digests[i].method;
        }
    }
    return NULL;
}

/* digest(name, bytes): the digest. */
static void host_digest(struct engine_call *c, void *context)
{
    (void)context;
    struct buf name = {0};
    uint8_t *data;
    size_t len;
    if (!engine_arg_text(c, 0, &name)) {
        return;
    }
    const EVP_MD *method = find_digest(buf_slice(&name));
    buf_done(&name);
    if (!engine_arg_bytes(c, 1, &data, &len)) {
        return;
    }
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned out_len = 0;
    if (method == NULL || EVP_Digest(data == NULL ? (const uint8_t *)"" : data, len, out, &out_len,
                                     method, NULL) != 1) {
        engine_throw(c, "Error", "there is no such digest");
        return;
    }
    engine_return_bytes(c, slice_of(out, out_len));
}

void host_crypto_add(struct engine *e)
{
    static const struct engine_host functions[] = {
        {"digest", host_digest},
    };
    engine_host_add(e, functions, sizeof functions / sizeof functions[0], NULL);
}
