/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/h2_memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/compiler.h"

#ifdef CTELEPORT_SANITIZED
#include <sanitizer/lsan_interface.h>
/* The leak detector searches pointers in these pages only when it knows of them. */
#define SHOW_PAGES(pages) __lsan_register_root_region(pages, ROOM)
#define HIDE_PAGES(pages) __lsan_unregister_root_region(pages, ROOM)
#else
#define SHOW_PAGES(pages) (void)(pages)
#define HIDE_PAGES(pages) (void)(pages)
#endif

/*
 * The size of a block reveals its purpose; a wrong guess costs a page at most. A block that does not fit into
 * its part comes from malloc().
 */
enum {
        PAGE = 4 * KiB,
        SMALL_MIN = 1 * KiB, /* a header table: 128 pointers */
        SMALL_MAX = 2 * KiB,
        LARGE_MIN = PAGE,    /* the stream table: 256 entries */
        LARGE_MAX = 8 * KiB,
        FRONT_ROOM = 5 * PAGE, /* the session (less than a page) and a frame of 16 KiB */
        SMALL_ROOM = PAGE,
        LARGE_ROOM = PAGE,
        ROOM = FRONT_ROOM + SMALL_ROOM + LARGE_ROOM,
        ALIGNMENT = 16,
        CLEARED_HERE = 4 * KiB,
};

/* A block from a part of the mapping, zeroed since it is fresh; NULL: it does not fit. */
static void *take_from(char *part, size_t room, size_t *used, size_t size)
{
        size_t rounded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

        if (rounded > room - *used)
                return NULL;
        void *at = part + *used;
        *used += rounded;
        return at;
}

static void *take_pages(struct h2_memory *m, size_t size)
{
        if (m->pages == NULL || size < SMALL_MIN || size > FRONT_ROOM)
                return NULL;
        if (size <= SMALL_MAX)
                return take_from(m->pages + FRONT_ROOM, SMALL_ROOM, &m->small_used, size);
        if (size >= LARGE_MIN && size <= LARGE_MAX)
                return take_from(m->pages + FRONT_ROOM + SMALL_ROOM, LARGE_ROOM, &m->large_used, size);
        return take_from(m->pages, FRONT_ROOM, &m->front_used, size);
}

static bool is_ours(const struct h2_memory *m, const void *ptr)
{
        uintptr_t at = (uintptr_t)ptr, begin = (uintptr_t)m->pages;

        return m->pages != NULL && at >= begin && at < begin + ROOM;
}

static void *on_malloc(size_t size, void *ctx)
{
        void *at = take_pages(ctx, size);

        return at != NULL ? at : malloc(size);
}

static void *on_calloc(size_t count, size_t size, void *ctx)
{
        void *at = size != 0 && count <= FRONT_ROOM / size ? take_pages(ctx, count * size) : NULL;

        if (at != NULL)
                return at;
        if (size != 0 && count <= CLEARED_HERE / size) { /* glibc's calloc() does not use the cache of its thread */
                at = malloc(count * size);
                return at == NULL ? NULL : memset(at, 0, count * size);
        }
        return calloc(count, size);
}

/* Blocks in the mapping are freed with the session. */
static void on_free(void *ptr, void *ctx)
{
        if (!is_ours(ctx, ptr))
                free(ptr);
}

static void *on_realloc(void *ptr, size_t size, void *ctx)
{
        struct h2_memory *m = ctx;

        if (ptr == NULL)
                return on_malloc(size, ctx);
        if (!is_ours(m, ptr))
                return realloc(ptr, size);
        char *moved = malloc(size);
        size_t there = (size_t)(m->pages + ROOM - (char *)ptr); /* bytes after the block may be copied too */

        if (moved != NULL)
                memcpy(moved, ptr, size < there ? size : there);
        return moved;
}

void h2_memory_init(struct h2_memory *m, bool has_pages)
{
        void *pages = !has_pages ? MAP_FAILED : mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        *m = (struct h2_memory){
                .hooks = { .mem_user_data = m, .malloc = on_malloc, .free = on_free, .calloc = on_calloc, .realloc = on_realloc },
                .pages = pages == MAP_FAILED ? NULL : pages,
        };
        if (m->pages != NULL)
                SHOW_PAGES(m->pages);
}

void h2_memory_release(struct h2_memory *m)
{
        if (m->pages != NULL) {
                HIDE_PAGES(m->pages);
                munmap(m->pages, ROOM);
        }
        *m = (struct h2_memory){ 0 };
}
