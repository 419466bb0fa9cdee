/* A line of a config file: a name and a value, as TOML writes the plain ones of its own.
 *
 *     shards = 4                    # what follows a blank and a hash is a comment
 *     data = "/srv/a # b"           one pair of quotes, " or ', keeps blanks and hashes
 *
 * Pure; the text is cut up in place. */
#ifndef NODE_CONFIG_LINE_H
#define NODE_CONFIG_LINE_H

#include "base/err.h"

/* `*ret_name` is NULL where the line says nothing. ERR_BAD_REQUEST: `*ret_detail` says why. */
enum err config_line(char *text, char **ret_name, char **ret_value,
                     const char **ret_detail) MUST_CHECK;

#endif
