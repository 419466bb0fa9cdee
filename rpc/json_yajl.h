/* What rpc/json_in.c and rpc/json_out.c share about yajl and libc; nobody else includes it. */
#ifndef RPC_JSON_YAJL_H
#define RPC_JSON_YAJL_H

#include <locale.h>

#include <yajl/yajl_common.h>

/* yajl never checks what malloc returns: it allocates through base/mem.h. */
yajl_alloc_funcs json_yajl_memory(void);

/* strtod and printf write 1,5 in the locale of some program that links the SDK. Between enter and
 * leave this thread reads and writes numbers as JSON does. */
struct json_locale {
    locale_t plain;
    locale_t before;
};
struct json_locale json_locale_enter(void);
void json_locale_leave(struct json_locale l);

#endif
