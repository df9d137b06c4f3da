/* SPDX-License-Identifier: Apache-2.0 */
#include "store/history.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"

void history_init(struct history *h, uint64_t revision)
{
        *h = (struct history){ .forgotten = revision };
}

static struct history_entry *entry_at(const struct history *h, size_t index)
{
        return &h->ring[(h->first + index) % LIMIT_STORE_HISTORY];
}

static void forget_first(struct history *h)
{
        struct history_entry *e = entry_at(h, 0);

        h->forgotten = e->revision;
        h->changes -= e->count;
        h->bytes -= e->bytes;
        h->first = (h->first + 1) % LIMIT_STORE_HISTORY;
        h->count--;
        free(e->changes);
        arena_free(e->arena);
}

void history_forget(struct history *h, uint64_t revision)
{
        while (h->count > 0)
                forget_first(h);
        h->forgotten = revision;
}

void history_release(struct history *h)
{
        history_forget(h, 0);
        free(h->ring);
        *h = (struct history){ 0 };
}

bool history_has(const struct history *h, uint64_t from)
{
        return from > h->forgotten;
}

void history_add(struct history *h, uint64_t revision, struct store_change *changes, size_t count, struct arena *arena)
{
        size_t bytes = count * sizeof *changes + arena_reserved(arena);

        if (revision <= h->forgotten || (h->count > 0 && revision <= entry_at(h, h->count - 1)->revision))
                bug("revision %llu of the store arrives out of order", (unsigned long long)revision);
        if (h->ring == NULL)
                h->ring = mem_array(LIMIT_STORE_HISTORY, sizeof *h->ring);
        while (h->count > 0 && (h->changes + count > LIMIT_STORE_HISTORY || h->bytes + bytes > LIMIT_STORE_HISTORY_BYTES))
                forget_first(h);
        if (count > LIMIT_STORE_HISTORY || bytes > LIMIT_STORE_HISTORY_BYTES) { /* exceeds the limits alone */
                h->forgotten = revision;
                free(changes);
                arena_free(arena);
                return;
        }
        *entry_at(h, h->count) = (struct history_entry){ revision, changes, count, bytes, arena };
        h->count++;
        h->changes += count;
        h->bytes += bytes;
}

void history_each(const struct history *h, uint64_t from, bool (*each)(void *ctx, const struct store_change *change), void *ctx)
{
        for (size_t i = 0; i < h->count; i++) {
                const struct history_entry *e = entry_at(h, i);

                for (size_t k = 0; e->revision >= from && k < e->count; k++)
                        if (!each(ctx, &e->changes[k]))
                                return;
        }
}
