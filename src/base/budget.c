/* SPDX-License-Identifier: Apache-2.0 */
#include "base/budget.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"

struct budget_holder {
        struct budget *budget;
        size_t used;
        size_t refs;
        size_t name_len;
        char name[];
};

static void free_holder(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        free(value);
}

void budget_release(struct budget *b)
{
        map_each(&b->holders, free_holder, NULL);
        map_release(&b->holders);
        *b = (struct budget){ 0 };
}

struct budget_holder *budget_hold(struct budget *b, struct str name)
{
        struct budget_holder *h = map_get(&b->holders, name);

        if (h == NULL) {
                h = mem_alloc(sizeof *h + name.len + 1);
                h->budget = b;
                h->name_len = name.len;
                if (name.len > 0)
                        memcpy(h->name, name.ptr, name.len);
                map_put(&b->holders, name, h);
        }
        h->refs++;
        return h;
}

void budget_drop(struct budget_holder *h)
{
        if (h == NULL || --h->refs > 0)
                return;
        if (h->used > 0)
                bug("a holder leaves with %zu bytes", h->used);
        map_remove(&h->budget->holders, (struct str){ h->name, h->name_len });
        free(h);
}

bool budget_reserve(struct budget_holder *h, size_t bytes)
{
        struct budget *b = h->budget;

        if (bytes > b->total - b->used || bytes > b->share - h->used)
                return false;
        b->used += bytes;
        h->used += bytes;
        return true;
}

void budget_unreserve(struct budget_holder *h, size_t bytes)
{
        if (bytes > h->used)
                bug("more bytes are released than were reserved");
        h->used -= bytes;
        h->budget->used -= bytes;
}

size_t budget_held(const struct budget_holder *h)
{
        return h->used;
}
