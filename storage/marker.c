#include "storage/marker.h"

#include "base/endian.h"
#include "base/invariant.h"

enum { FORMAT = 2, HEAD_BYTES = 9 };

void marker_encode(uint64_t generation, struct slice configuration, struct buf *to)
{
    PRE(generation > 0 && configuration.len > 0 && configuration.data[0] != FORMAT);
    if (generation > 1) {
        buf_append_byte(to, FORMAT);
        buf_append_u64(to, generation);
    }
    buf_append_slice(to, configuration);
}

enum err marker_decode(struct slice marker, uint64_t *ret_generation,
                       struct slice *ret_configuration)
{
    if (marker.len == 0 || marker.data[0] != FORMAT) {
        *ret_generation = 1;
        *ret_configuration = marker;
        return ERR_OK;
    }
    if (marker.len <= HEAD_BYTES || get_be64(marker.data + 1) <= 1) {
        return ERR_CORRUPT;
    }
    *ret_generation = get_be64(marker.data + 1);
    *ret_configuration = slice_skip(marker, HEAD_BYTES);
    return ERR_OK;
}
