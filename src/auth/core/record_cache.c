/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/record_cache.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "state/state_watch.h"

enum {
        RECORDS_MAX = 8,
        VALUE_MAX = 16 * KiB, /* bytes: a larger record is not cached */
};

struct cached_record {
        struct buf id, value; /* value may hold a secret */
        uint64_t revision;    /* 0: the entry is empty */
        struct walltime expires;
};

struct record_cache {
        struct loop *loop;
        struct store *store;
        const struct state_kind *kind;
        struct state_watch *watch; /* NULL once stopped */
        uint64_t changes;          /* number of changes of records of the kind, reported so far */
        size_t next;               /* index of the entry that is replaced next */
        struct cached_record all[RECORDS_MAX];
};

static void entry_clear(struct cached_record *k)
{
        if (k->value.ptr != NULL)
                wipe(k->value.ptr, k->value.room);
        buf_release(&k->value);
        buf_release(&k->id);
        *k = (struct cached_record){ 0 };
}

static struct cached_record *find(struct record_cache *c, struct str id)
{
        for (size_t i = 0; i < RECORDS_MAX; i++) {
                struct cached_record *k = &c->all[i];

                if (k->revision != 0 && str_equal(buf_str(&k->id), id))
                        return k;
        }
        return NULL;
}

static void on_change(void *ctx, const struct state_record *record, bool is_deleted)
{
        struct record_cache *c = ctx;
        struct cached_record *k = find(c, record->id);

        (void)is_deleted;
        c->changes++;
        if (k != NULL)
                entry_clear(k);
}

static void clear_all(void *ctx)
{
        struct record_cache *c = ctx;

        c->changes++;
        for (size_t i = 0; i < RECORDS_MAX; i++)
                entry_clear(&c->all[i]);
}

static const struct state_watch_events watch_events = { .changed = on_change, .lost = clear_all };

static struct cached_record copy_of(struct str id, struct str value, uint64_t revision, struct walltime expires)
{
        struct cached_record k = { BUF_MAX(LIMIT_STORE_KEY), BUF_MAX(VALUE_MAX), revision, expires };

        buf_put(&k.id, id);
        buf_put(&k.value, value);
        return k;
}

static void insert(struct record_cache *c, const struct state_record *record)
{
        if (c->watch == NULL || record->value.len > VALUE_MAX)
                return;
        struct cached_record *k = find(c, record->id);
        if (k == NULL)
                k = &c->all[c->next++ % RECORDS_MAX];
        entry_clear(k);
        *k = copy_of(record->id, record->value, record->revision, record->expires);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

struct get {
        struct record_cache *cache;
        const struct state_kind *kind;
        void (*done)(void *ctx, const struct state_record *record, struct error *err);
        void *ctx;
        uint64_t changes; /* cache->changes at the time of the request */
        struct cached_record hit; /* a copy: the record may change before done is called */
};

static void on_hit(void *ctx)
{
        struct get *g = ctx;
        const struct state_record record = {
                .kind = g->kind,
                .id = buf_str(&g->hit.id),
                .value = buf_str(&g->hit.value),
                .revision = g->hit.revision,
                .expires = g->hit.expires,
        };

        g->done(g->ctx, &record, NULL);
        entry_clear(&g->hit);
        free(g);
}

static void on_record(void *ctx, const struct state_record *record, struct error *err)
{
        struct get *g = ctx;

        /* The answer is cached only if no change was reported since the request: the change may be newer. */
        if (record != NULL && g->changes == g->cache->changes)
                insert(g->cache, record);
        g->done(g->ctx, record, err);
        free(g);
}

void record_cache_get(struct record_cache *c, struct str id, void (*done)(void *ctx, const struct state_record *record, struct error *err),
                      void *ctx)
{
        struct get *g = NEW(struct get);
        const struct cached_record *k = find(c, id);

        *g = (struct get){ .cache = c, .kind = c->kind, .done = done, .ctx = ctx, .changes = c->changes };
        if (k == NULL || (k->expires.ns != 0 && k->expires.ns <= loop_wall(c->loop).ns)) {
                state_get(c->store, c->kind, id, on_record, g);
                return;
        }
        g->hit = copy_of(buf_str(&k->id), buf_str(&k->value), k->revision, k->expires);
        loop_defer(c->loop, on_hit, g);
}

/* ---- new, stop, free ----------------------------------------------------------------------------------- */

struct record_cache *record_cache_new(struct loop *l, struct store *s, const struct state_kind *kind)
{
        struct record_cache *c = NEW(struct record_cache);

        *c = (struct record_cache){ .loop = l, .store = s, .kind = kind };
        c->watch = state_watch_new(s, kind, &watch_events, c);
        return c;
}

void record_cache_stop(struct record_cache *c)
{
        if (c == NULL)
                return;
        state_watch_free(c->watch);
        c->watch = NULL;
        clear_all(c);
}

void record_cache_free(struct record_cache *c)
{
        record_cache_stop(c);
        free(c);
}
