/* What the program was asked to do: flags, and the config file under the same names (API section 8).
 * Pure but for reading the file, and DORMOUSE_JOIN_TOKEN in the environment. */
#ifndef NODE_OPTIONS_H
#define NODE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "node/cors.h"

enum options_action { RUN_NODE, RUN_CHECK, RUN_CHECK_CONFIG, SHOW_VERSION, SHOW_HELP };

enum { OPTIONS_DETAIL_BYTES = 512, OPTIONS_HOST_BYTES = 256 };

struct options {
    enum options_action action;
    char *data;                    /* --data DIR, and DIR of --check; NULL: not given */
    char *config;                  /* --config FILE, and FILE of --check-config */
    char host[OPTIONS_HOST_BYTES]; /* --listen; an IPv6 literal without its brackets */
    uint16_t port;
    uint32_t shards;   /* 0: not given */
    uint32_t workers;  /* 0: not given */
    uint64_t memory;   /* bytes; 0: not given */
    uint64_t max_disk; /* bytes; 0: none */
    bool allow_private_targets;
    char *image_dir;          /* --image-dir DIR: of sandboxes; never NULL once parsed */
    char *preview_domain;     /* --preview-domain NAME; never NULL once parsed */
    uint32_t sandbox_without; /* --sandbox-without: bits of enum launch_sandbox_need */
    char *tls_cert;           /* --tls-cert FILE; NULL: in the clear */
    char *tls_key;            /* --tls-key FILE; given with it */
    struct cors cors;         /* --cors-origins LIST */

    /* Clusters; what they are to what the data directory says: node/cluster_plan.h */
    bool cluster_init;
    char *join;          /* --join HOST:PORT; NULL: not given */
    char *join_token;    /* --join-token TOKEN, or of the environment; NULL: neither */
    char *peer_listen;   /* --peer-listen HOST:PORT */
    char *cluster_certs; /* --cluster-certs DIR, absolute */
    uint32_t node_id;    /* 0: not given */
};

/* ERR_BAD_REQUEST with one sentence where the flags or the file are wrong. Flags win over the file. */
enum err options_parse(struct options *o, int argc, char **argv,
                       char ret_detail[OPTIONS_DETAIL_BYTES]) MUST_CHECK;
void options_done(struct options *o);

/* Likewise where --max-disk is too little for so many workers. */
enum err options_check_disk(const struct options *o, uint32_t worker_count,
                            char ret_detail[OPTIONS_DETAIL_BYTES]) MUST_CHECK;

extern const char options_help[]; /* the text of --help */

#endif
