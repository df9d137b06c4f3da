/* SPDX-License-Identifier: Apache-2.0 */
#include "base/reader.h"

void reader_fail(struct reader *r, const char *fault)
{
        if (r->fault == NULL)
                r->fault = fault;
        r->rest = (struct str){ 0 };
}

struct str reader_take(struct reader *r, size_t len)
{
        if (r->fault != NULL)
                return (struct str){ 0 };
        if (len > r->rest.len) {
                reader_fail(r, "it ends too early");
                return (struct str){ 0 };
        }
        struct str taken = str_slice(r->rest, 0, len);
        r->rest = str_slice(r->rest, len, r->rest.len);
        r->offset += len;
        return taken;
}

static uint64_t big_endian(struct reader *r, size_t width)
{
        struct str bytes = reader_take(r, width);
        uint64_t v = 0;

        for (size_t i = 0; i < bytes.len; i++)
                v = v << 8 | (uint8_t)bytes.ptr[i];
        return v;
}

uint8_t reader_u8(struct reader *r)
{
        return (uint8_t)big_endian(r, 1);
}

uint16_t reader_u16(struct reader *r)
{
        return (uint16_t)big_endian(r, 2);
}

uint32_t reader_u24(struct reader *r)
{
        return (uint32_t)big_endian(r, 3);
}

uint32_t reader_u32(struct reader *r)
{
        return (uint32_t)big_endian(r, 4);
}

uint64_t reader_u64(struct reader *r)
{
        return big_endian(r, 8);
}

struct str reader_ssh_string(struct reader *r, size_t max)
{
        uint32_t len = reader_u32(r);

        if (len > max) {
                reader_fail(r, "a field is too long");
                return (struct str){ 0 };
        }
        return reader_take(r, len);
}

struct error *reader_finish(const struct reader *r, const char *what)
{
        if (r->fault != NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "%s is malformed at byte %zu: %s", what,
                                 r->offset, r->fault);
        if (r->rest.len > 0)
                return error_new(ERROR_INVALID_ARGUMENT, "%s is malformed: %zu bytes too many", what,
                                 r->rest.len);
        return NULL;
}
