#include "base/err.h"

#include "base/invariant.h"

static const struct err_info infos[ERR_COUNT] = {
#define X(name, status, code, retryable, maybe_applied, text) \
    {#name, status, code, retryable, maybe_applied, text},
#include "base/err.def"
#undef X
};

const struct err_info *err_info(enum err err)
{
    PRE(err >= 0 && err < ERR_COUNT);
    return &infos[err];
}
