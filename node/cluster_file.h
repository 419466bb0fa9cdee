/* The file CLUSTER of a data directory: what --cluster-init or --join said of this node, so that later
 * starts need neither. A few lines that a person can read:
 *
 *     format = 1
 *     node = 2
 *     birth = 1f3a...                  16 hex digits, drawn when it began or asked to be let in
 *     peer_listen = 127.0.0.1:7431
 *     certs = /etc/dormouse/node-2     empty: certs in the data directory
 *     seed = 127.0.0.1:7421            whom it asked to be let in; empty: it began the cluster
 *     crc32c = 8 hex digits, over all bytes before this line
 *
 * Data without it is that of a single node, whose groups have one voter each: so a node that joins writes
 * this file before it has any data, and one that was cut short there goes on joining at its next start.
 * Its writer holds the lock of the directory or has just made it. */
#ifndef NODE_CLUSTER_FILE_H
#define NODE_CLUSTER_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "node/member.h"
#include "storage/data_dir.h"

enum { CLUSTER_FORMAT = 1, CLUSTER_CERTS_BYTES = 1024 };

#define CLUSTER_FILE "CLUSTER"

struct cluster_file {
    uint32_t node;                          /* from 1 on */
    uint64_t birth;                         /* see node/member.h; not 0 */
    char peer_listen[MEMBER_ADDRESS_BYTES]; /* others dial it too */
    char certs[CLUSTER_CERTS_BYTES];        /* absolute, or empty */
    char seed[MEMBER_ADDRESS_BYTES];        /* or empty */
};

/* ERR_NOT_FOUND: there is none, and nothing is said. Else with one sentence: ERR_FORMAT, of another
 * version; ERR_CORRUPT, damaged; ERR_IO. */
enum err cluster_file_read(const char *dir, struct cluster_file *ret_file,
                           char ret_detail[DATA_DETAIL_BYTES]) MUST_CHECK;

/* Replaces the file as a whole; it is durable when this returns. ERR_IO, ERR_STORAGE_FULL. */
enum err cluster_file_write(const char *dir, const struct cluster_file *f,
                            char ret_detail[DATA_DETAIL_BYTES]) MUST_CHECK;

/* "/…" without a control character, that fits. */
bool cluster_certs_is_valid(const char *path);
/* The folder with the certificates of a node whose data is in `dir`; free with mem_free. */
char *cluster_certs_path(const char *dir, const struct cluster_file *f);

#endif
