/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/scan.h"

#include <stdlib.h>

#include "auth/hosts/hosts.h"
#include "base/mem.h"

struct scan {
        struct auth *auth;
        struct str prefix;
        struct error *(*each)(void *ctx, const struct store_item *item);
        void (*done)(void *ctx, struct error *err);
        void *ctx;
};

static void on_page(void *ctx, const struct store_page *page, struct error *err)
{
        struct scan *s = ctx;

        for (size_t i = 0; err == NULL && i < page->count; i++)
                record_skip(page->items[i].key, s->each(s->ctx, &page->items[i]));
        if (err == NULL && s->auth->is_stopping)
                err = error_new(ERROR_CANCELLED, "the Auth Service is stopping");
        if (err == NULL && !page->is_last && page->count > 0) {
                store_range(s->auth->store, s->prefix, page->items[page->count - 1].key, LIMIT_STORE_RANGE, on_page, s);
                return;
        }
        s->done(s->ctx, err);
        free(s);
}

void scan(struct auth *a, struct str prefix, struct error *(*each)(void *ctx, const struct store_item *item),
          void (*done)(void *ctx, struct error *err), void *ctx)
{
        struct scan *s = NEW(struct scan);

        *s = (struct scan){ a, prefix, each, done, ctx };
        store_range(a->store, prefix, (struct str){ 0 }, LIMIT_STORE_RANGE, on_page, s);
}
