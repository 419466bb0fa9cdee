/* The source maps of a deploy, reduced (node/source_map.h): those of `source_maps`; and of a module that is not
 * named there the one that it brings along, as bundlers write it:
 *
 *     //# sourceMappingURL=data:application/json;base64,...     in its last line
 *     "NAME.map"                                                a module beside it
 *
 * Pure. */
#ifndef NODE_DEPLOY_MAPS_H
#define NODE_DEPLOY_MAPS_H

#include "node/deploy_body.h"

/* Appends a map of names to bins; nothing where there is none. ERR_BAD_REQUEST: one of `source_maps` is no source
 * map; one that was brought along and is none is left out, and so are those beyond DEPLOY_SOURCE_MAPS_MAX. */
enum err deploy_maps(const struct deploy_body *b, struct buf *ret_maps,
                     struct decode_error *ret_error) MUST_CHECK;

#endif
