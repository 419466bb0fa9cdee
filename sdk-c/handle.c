#include "sdk-c/handle.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "sdk-c/error.h"

#include "config.h"

enum { DEADLINE_MS_DEFAULT = 30000 };

static const char url_default[] = "http://127.0.0.1:7420";
static const char user_agent[] = "dormouse-c/" PACKAGE_VERSION;

const char *dormouse_version(void)
{
    return PACKAGE_VERSION;
}

void dormouse_make_key(char ret_key[DORMOUSE_KEY_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[(DORMOUSE_KEY_BYTES - 1) / 2];
    int failed = getentropy(random, sizeof(random));
    INVARIANT(failed == 0); /* cannot fail for so few bytes */
    for (size_t i = 0; i < sizeof(random); i++) {
        ret_key[2 * i] = digits[random[i] >> 4];
        ret_key[2 * i + 1] = digits[random[i] & 15];
    }
    ret_key[DORMOUSE_KEY_BYTES - 1] = '\0';
}

/* Printable ASCII without blanks: what a header can carry as it is. */
static bool token_is_valid(const char *token)
{
    for (const char *at = token; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~') {
            return false;
        }
    }
    return token[0] != '\0';
}

static char *authorization_of(const char *token)
{
    struct buf text = {0};
    buf_printf(&text, "Bearer %s", token);
    buf_append_byte(&text, '\0');
    return (char *)text.data; /* from mem_alloc, as the handle expects */
}

enum dormouse_code dormouse_new(const struct dormouse_options *options,
                                struct dormouse **ret_handle, struct dormouse_error *ret_error)
{
    struct dormouse_error scratch;
    struct dormouse_error *error = ret_error == NULL ? &scratch : ret_error;
    error_clear(error);

    if (options->token != NULL && !token_is_valid(options->token)) {
        return error_set(error, DORMOUSE_INVALID_ARGUMENT, "The token is not printable ASCII.");
    }
    const struct client_options client_options = {
        .base_url = options->url == NULL ? url_default : options->url,
        .ca_file = options->ca_file,
        .user_agent = user_agent,
        .http2 = options->http2,
    };
    struct client *client;
    if (client_new(&client_options, &client) != ERR_OK) {
        return error_set(error, DORMOUSE_INVALID_ARGUMENT,
                         "The URL must be http://HOST:PORT or https://HOST:PORT: %s",
                         client_options.base_url);
    }
    struct dormouse *d = MEM_NEW(struct dormouse);
    *d = (struct dormouse){
        .client = client,
        .authorization = options->token == NULL ? NULL : authorization_of(options->token),
        .deadline_ms = options->deadline_ms == 0 ? DEADLINE_MS_DEFAULT : options->deadline_ms,
        .no_retries = options->no_retries,
    };
    *ret_handle = d;
    return DORMOUSE_OK;
}

void dormouse_free(struct dormouse *d)
{
    if (d == NULL) {
        return;
    }
    client_free(d->client);
    mem_free(d->authorization);
    mem_free(d);
}

void dormouse_text_free(char *text)
{
    mem_free(text);
}
