/* TOML as JSON, through a library that there is for C++ alone. */
#ifndef SDK_C_CLI_TOML_H
#define SDK_C_CLI_TOML_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The document as JSON, closed by NUL; free it. NULL: it is no TOML, and `*ret_why` says what is wrong and
 * where ("line 3, column 7: ..."); free that. */
char *toml_to_json(const char *text, size_t bytes, char **ret_why);

#ifdef __cplusplus
}
#endif

#endif
