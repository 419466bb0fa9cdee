/* The writers of rpc/value.h, over msgpack-c's packer, which picks the shortest form. */
#include <msgpack/pack.h>

#include "base/invariant.h"
#include "rpc/value.h"

static int append(void *data, const char *bytes, size_t len)
{
    buf_append(data, bytes, len);
    return 0;
}

static msgpack_packer packer(struct buf *b)
{
    return (msgpack_packer){.data = b, .callback = append};
}

void value_put_nil(struct buf *b)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_nil(&pk);
}

void value_put_bool(struct buf *b, bool v)
{
    msgpack_packer pk = packer(b);
    (void)(v ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk));
}

void value_put_int(struct buf *b, int64_t v)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_int64(&pk, v);
}

void value_put_uint(struct buf *b, uint64_t v)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_uint64(&pk, v);
}

void value_put_double(struct buf *b, double v)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_double(&pk, v);
}

void value_put_str_head(struct buf *b, uint32_t bytes)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_str(&pk, bytes);
}

void value_put_str(struct buf *b, struct slice utf8)
{
    PRE(utf8.len <= VALUE_BYTES_CAP);
    value_put_str_head(b, (uint32_t)utf8.len);
    buf_append_slice(b, utf8);
}

void value_put_text(struct buf *b, const char *utf8)
{
    value_put_str(b, slice_of_str(utf8));
}

void value_put_bin_head(struct buf *b, uint32_t bytes)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_bin(&pk, bytes);
}

void value_put_bin(struct buf *b, struct slice bytes)
{
    PRE(bytes.len <= VALUE_BYTES_CAP);
    value_put_bin_head(b, (uint32_t)bytes.len);
    buf_append_slice(b, bytes);
}

void value_put_array(struct buf *b, uint32_t count)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_array(&pk, count);
}

void value_put_map(struct buf *b, uint32_t count)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_map(&pk, count);
}

void value_put_ext_head(struct buf *b, enum value_ext ext, uint32_t payload_bytes)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_ext(&pk, payload_bytes, (int8_t)ext);
}

void value_put_date_ms(struct buf *b, int64_t ms)
{
    PRE(ms >= -VALUE_DATE_MS_MAX && ms <= VALUE_DATE_MS_MAX);

    msgpack_timestamp t = {.tv_sec = ms / 1000};
    int64_t rest_ms = ms % 1000;
    if (rest_ms < 0) { /* nanoseconds only go forward */
        t.tv_sec--;
        rest_ms += 1000;
    }
    t.tv_nsec = (uint32_t)rest_ms * 1000000;
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_timestamp(&pk, &t);
}

void value_put_raw(struct buf *b, struct slice doc)
{
    PRE(doc.len > 0);
    buf_append_slice(b, doc);
}
