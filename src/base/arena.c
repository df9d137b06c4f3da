/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"

struct block {
        struct block *next;
        size_t used;
        size_t room;
        alignas(max_align_t) char bytes[];
};

/* Small: an agent's stream holds blocks for days; larger arenas double it. With its header it is of those that malloc keeps for the thread. */
enum { BLOCK_SIZE = 1 * KiB - sizeof(struct block) };

struct arena {
        struct block *blocks; /* newest first */
        size_t used;
        size_t cap;
        bool is_exhausted;
};

struct arena *arena_new(size_t cap)
{
        struct arena *a = NEW(struct arena);

        a->cap = cap;
        return a;
}

void arena_free(struct arena *a)
{
        if (a == NULL)
                return;
        for (struct block *b = a->blocks; b != NULL;) {
                struct block *next = b->next;

                free(b);
                b = next;
        }
        free(a);
}

static void *take(struct arena *a, size_t size)
{
        size_t align = alignof(max_align_t);
        size_t rounded = (size + align - 1) / align * align;
        struct block *b = a->blocks;
        if (b == NULL || rounded > b->room - b->used) {
                size_t room = b == NULL ? BLOCK_SIZE : b->room * 2;

                if (room > 64 * KiB)
                        room = 64 * KiB;
                if (room < rounded)
                        room = rounded;
                b = mem_resize(NULL, sizeof *b + room, 1);
                *b = (struct block){ .next = a->blocks, .room = room };
                a->blocks = b;
        }
        void *at = b->bytes + b->used;
        b->used += rounded;
        a->used = a->used + rounded > a->cap ? a->cap : a->used + rounded;
        return at;
}

size_t arena_reserved(const struct arena *a)
{
        size_t sum = 0;

        for (const struct block *b = a == NULL ? NULL : a->blocks; b != NULL; b = b->next)
                sum += sizeof *b + b->room;
        return sum;
}

void *arena_try_alloc(struct arena *a, size_t size)
{
        return size > a->cap - a->used ? NULL : memset(take(a, size), 0, size);
}

/* Not zeroed. */
static char *take_text(struct arena *a, size_t size)
{
        a->is_exhausted |= size > a->cap - a->used;
        return take(a, size);
}

void *arena_alloc(struct arena *a, size_t size)
{
        return memset(take_text(a, size), 0, size);
}

struct error *arena_check(const struct arena *a, const char *what)
{
        if (!a->is_exhausted)
                return NULL;
        return error_new(ERROR_RESOURCE_EXHAUSTED, "%s needs more memory than the %zu KiB it may have", what, a->cap / KiB);
}

struct str arena_str(struct arena *a, struct str s)
{
        char *copy = take_text(a, s.len + 1);

        if (s.len > 0)
                memcpy(copy, s.ptr, s.len);
        copy[s.len] = '\0';
        return (struct str){ copy, s.len };
}

const char *str_to_c(struct arena *a, struct str s)
{
        if (str_find_char(s, '\0') != s.len)
                return NULL;
        char *copy = arena_try_alloc(a, s.len + 1);
        if (copy != NULL && s.len > 0)
                memcpy(copy, s.ptr, s.len);
        return copy;
}

const char *arena_printf(struct arena *a, const char *format, ...)
{
        va_list args, again;

        va_start(args, format);
        va_copy(again, args);
        int len = vsnprintf(NULL, 0, format, args);
        va_end(args);
        if (len < 0)
                bug("bad format '%s'", format);
        char *text = arena_alloc(a, (size_t)len + 1);
        vsnprintf(text, (size_t)len + 1, format, again);
        va_end(again);
        return text;
}

size_t arena_used(const struct arena *a)
{
        return a->used;
}
