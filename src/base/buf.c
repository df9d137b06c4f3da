/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"

void buf_release(struct buf *b)
{
        free(b->ptr);
        *b = (struct buf){ 0 };
}

void buf_clear(struct buf *b)
{
        b->len = 0;
        b->overflowed = false;
}

enum { COPIED_HERE = 4 * KiB };

/* Copies the bytes into a larger block. realloc() seldom extends a small block in its position, and is slower then. */
static char *moved(const struct buf *b, size_t room)
{
        char *block = mem_resize(NULL, room, 1);

        memcpy(block, b->ptr, b->len);
        free(b->ptr);
        return block;
}

/* Ensures room for `more` bytes and one byte extra, for the NUL of buf_c(). */
static void ensure(struct buf *b, size_t more)
{
        size_t need = b->len + more + 1;

        if (need <= b->room)
                return;
        size_t room = b->room == 0 ? 64 : b->room;
        while (room < need)
                room *= 2;
        b->ptr = b->len == 0 || room > COPIED_HERE ? mem_resize(b->ptr, room, 1) : moved(b, room);
        b->room = room;
}

void buf_reserve(struct buf *b, size_t len)
{
        size_t left = b->max - b->len, need = b->len + (len < left ? len : left) + 1;

        if (need <= b->room)
                return;
        b->ptr = mem_resize(b->ptr, need, 1);
        b->room = need;
}

void *buf_extend(struct buf *b, size_t len)
{
        if (b->max == 0)
                bug("buffer without a ceiling");
        if (b->overflowed || len > b->max - b->len) {
                b->overflowed = true;
                return NULL;
        }
        if (len >= b->room - b->len)
                ensure(b, len);
        void *at = b->ptr + b->len;
        b->len += len;
        return at;
}

void buf_put(struct buf *b, struct str s)
{
        if (s.len == 0)
                return;
        void *at = buf_extend(b, s.len);
        if (at != NULL)
                memcpy(at, s.ptr, s.len);
}

void buf_put_char(struct buf *b, char c)
{
        char *at = buf_extend(b, 1);

        if (at != NULL)
                *at = c;
}

void buf_put_decimal(struct buf *b, uint64_t number)
{
        char digits[20];
        size_t at = sizeof digits;

        do
                digits[--at] = (char)('0' + number % 10);
        while ((number /= 10) > 0);
        buf_put(b, (struct str){ digits + at, sizeof digits - at });
}

void buf_printf(struct buf *b, const char *format, ...)
{
        va_list args, again;

        va_start(args, format);
        va_copy(again, args);
        int len = vsnprintf(NULL, 0, format, args);
        va_end(args);
        if (len < 0)
                bug("bad format '%s'", format);
        char *at = buf_extend(b, (size_t)len);
        if (at != NULL)
                vsnprintf(at, (size_t)len + 1, format, again);
        va_end(again);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
        buf_put(b, str_of_bytes(&v, 1));
}

static void put_big_endian(struct buf *b, uint64_t v, size_t width)
{
        uint8_t *at = buf_extend(b, width);

        if (at == NULL)
                return;
        for (size_t i = 0; i < width; i++)
                at[i] = (uint8_t)(v >> (8 * (width - 1 - i)));
}

void buf_put_u16(struct buf *b, uint16_t v)
{
        put_big_endian(b, v, 2);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
        put_big_endian(b, v, 4);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
        put_big_endian(b, v, 8);
}

void buf_put_ssh_string(struct buf *b, struct str s)
{
        if (s.len > UINT32_MAX) {
                b->overflowed = true;
                return;
        }
        buf_put_u32(b, (uint32_t)s.len);
        buf_put(b, s);
}

const char *buf_c(struct buf *b)
{
        ensure(b, 0);
        b->ptr[b->len] = '\0';
        return b->ptr;
}

char *buf_take(struct buf *b)
{
        buf_c(b);
        char *taken = b->ptr;
        *b = BUF_MAX(b->max);
        return taken;
}

void buf_consume(struct buf *b, size_t len)
{
        if (len > b->len)
                bug("consuming %zu of %zu bytes", len, b->len);
        b->len -= len;
        if (b->len > 0)
                memmove(b->ptr, b->ptr + len, b->len);
}

struct error *buf_finish(const struct buf *b, const char *what)
{
        if (!b->overflowed)
                return NULL;
        return error_new(ERROR_RESOURCE_EXHAUSTED, "%s is larger than %zu bytes", what, b->max);
}
