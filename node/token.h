/* A token: who may do what (API section 7). Pure.
 *
 *     text     "dm_" and 43 characters of base64url: 32 random bytes. Whoever has it may use it.
 *     hash     SHA-256 over the text; the text itself is stored nowhere.
 *     id       the first 16 hex digits of the hash: its name in lists and for revoking.
 *
 * A token opens what its scopes name, in one namespace or in all ("*"), for the actors of one class
 * whose ids begin with a prefix or for all; until it expires or is revoked.
 *
 * As a record of the cluster (storage/keyspace.def) its name is "token/" and the hash in hex, and the
 * payload is a msgpack map; members that a reader does not know are ignored. */
#ifndef NODE_TOKEN_H
#define NODE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/map.h"
#include "base/slice.h"

enum scope {
    SCOPE_CALL = 1 << 0,
    SCOPE_INSPECT = 1 << 1,
    SCOPE_DEPLOY = 1 << 2,
    SCOPE_SANDBOX = 1 << 3,
    SCOPE_ADMIN = 1 << 4,
};

enum {
    TOKEN_TEXT_BYTES = 46,
    TOKEN_ID_CHARS = 16,
    TOKEN_NAME_BYTES = 6 + 2 * DIGEST_BYTES,
    TOKEN_TTL_MS_MIN = 1000,
};

#define TOKEN_TTL_MS_MAX UINT64_C(3153600000000) /* 100 years */

struct token {
    struct map_node by_hash; /* cluster_view's */
    uint8_t hash[DIGEST_BYTES];
    char ns[NAMESPACE_BYTES_MAX + 1]; /* "*": all */
    char class[CLASS_BYTES_MAX + 1];  /* "": all */
    uint8_t id_prefix[ID_BYTES_MAX];
    uint16_t id_prefix_len;
    uint32_t scopes;     /* of enum scope */
    uint64_t created_ms; /* wall */
    uint64_t expires_ms; /* wall; 0: never */
};

/* What a request needs. Slices are percent-decoded; absent ones are empty. */
struct token_need {
    uint32_t scopes; /* any of these is enough */
    struct slice ns;
    struct slice class;
    struct slice id;
};

/* Draws a new one; the text is not closed by a NUL. */
void token_draw(char ret_text[TOKEN_TEXT_BYTES], uint8_t ret_hash[DIGEST_BYTES]);
void token_hash(struct slice text, uint8_t ret_hash[DIGEST_BYTES]);

/* Whether the token may do that now. A token for some actors alone opens nothing that is not one of
 * them, and no actor by the hex digits of its identity, which say nothing about its name. */
bool token_allows(const struct token *t, const struct token_need *need);
bool token_is_expired(const struct token *t, uint64_t wall_ms);
/* Whether it opens the namespace ("*" asks for all of them). */
bool token_covers_namespace(const struct token *t, struct slice ns);

/* "call", ...; 0 where there is no such scope. */
uint32_t scope_of_name(struct slice name);
/* The names of the scopes: for (uint32_t s = 1; (name = scope_name(s)) != NULL; s <<= 1) */
const char *scope_name(uint32_t scope);

/* "CLASS/ID-PREFIX"; "CLASS" and "CLASS/" are all of a class. ERR_BAD_REQUEST. */
enum err token_set_actor(struct token *t, struct slice text) MUST_CHECK;

void token_id(const struct token *t, char ret_id[TOKEN_ID_CHARS + 1]);
void token_record_name(const struct token *t, char ret_name[TOKEN_NAME_BYTES + 1]);
void token_encode(const struct token *t, struct buf *out);
/* `hash` of the result comes from the name. ERR_CORRUPT. */
enum err token_decode(struct slice name, struct slice payload, struct token *ret_token) MUST_CHECK;

#endif
