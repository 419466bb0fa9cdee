/* Host functions on libcrypto. */
#ifndef ACTOR_ISOLATE_HOST_CRYPTO_H
#define ACTOR_ISOLATE_HOST_CRYPTO_H

#include "actor/isolate/engine.h"

/* In the zygote: what libcrypto sets up on first use is set up here, once, before any fork. */
void host_crypto_init(void);
void host_crypto_add(struct engine *e);

#endif
