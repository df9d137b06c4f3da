/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the guarantees of every backend in the table (backend.h): a fixture with a store of the tested backend, and
 * functions that the tests use. One source of each test program includes this.
 */
#ifndef STORE_STORE_CONFORMANCE_TESTING_H
#define STORE_STORE_CONFORMANCE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/backend.h"
#include "store/store_testing.h"

struct fixture {
        struct store_bench b;
        struct store_options options;
        char *dir;
        bool second_is_closed;
};

static const struct store_backend *tested; /* set before each group runs */

static const UNUSED struct walltime never = { 0 };

static inline UNUSED int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = store_bench_dir();
        f->options = (struct store_options){ tested->type, f->dir };
        assert_null(store_bench_open(&f->b, f->options));
        *state = f;
        return 0;
}

static inline UNUSED int close_fixture(void **state)
{
        struct fixture *f = *state;

        store_bench_close(&f->b);
        store_bench_remove(f->dir);
        free(f->dir);
        free(f);
        return 0;
}

/* ---- functions of the tests ------------------------------------------------------------------------ */

static inline UNUSED void put(struct fixture *f, const char *key, const char *value)
{
        assert_null(store_bench_put(&f->b, key, str_of(value), never, NULL));
}

static inline UNUSED void put_for(struct fixture *f, const char *key, const char *value, struct duration life)
{
        struct walltime expires = walltime_add(f->b.clock.walltime, life);

        assert_null(store_bench_put(&f->b, key, str_of(value), expires, NULL));
}

static inline UNUSED void assert_holds(struct fixture *f, const char *key, const char *expected)
{
        char *value = NULL;

        assert_null(store_bench_get(&f->b, key, &value, NULL));
        assert_non_null(value);
        assert_string_equal(value, expected);
        free(value);
}

static inline UNUSED void assert_absent(struct fixture *f, const char *key)
{
        char *value = NULL;

        assert_null(store_bench_get(&f->b, key, &value, NULL));
        assert_null(value);
}

static uint64_t revision_of(struct fixture *f, const char *key)
{
        AUTO_MEM char *value = NULL;
        uint64_t revision = 0;

        assert_null(store_bench_get(&f->b, key, &value, &revision));
        return revision;
}

static inline UNUSED void assert_refused(struct error *err, enum error_code code, const char *words)
{
        assert_non_null(err);
        assert_int_equal(err->code, code);
        assert_non_null(strstr(err->what, words));
        error_free(err);
}

/* All items under a prefix, read in pages of `limit`, as "key=value key=value". */
struct listing {
        struct fixture *f;
        struct buf text, last;
        size_t pages;
        bool is_last;
};

static inline UNUSED void on_page(void *ctx, const struct store_page *page, struct error *err)
{
        struct listing *l = ctx;

        assert_null(err);
        for (size_t i = 0; i < page->count; i++) {
                if (l->text.len > 0)
                        buf_put_char(&l->text, ' ');
                buf_put(&l->text, page->items[i].key);
                buf_put_char(&l->text, '=');
                buf_put(&l->text, page->items[i].value);
        }
        if (page->count > 0) {
                buf_clear(&l->last);
                buf_put(&l->last, page->items[page->count - 1].key);
        }
        l->pages++;
        l->is_last = page->is_last;
        loop_stop(&l->f->b.loop);
}

static inline UNUSED size_t list(struct fixture *f, const char *prefix, size_t limit, struct buf *out)
{
        struct listing l = { .f = f, .text = BUF_MAX(4 * MiB), .last = BUF_MAX(LIMIT_STORE_KEY) };

        while (!l.is_last) {
                store_range(f->b.store, str_of(prefix), buf_str(&l.last), limit, on_page, &l);
                loop_run(&f->b.loop);
        }
        buf_release(&l.last);
        *out = l.text;
        return l.pages;
}

static inline UNUSED void assert_list(struct fixture *f, const char *prefix, size_t limit, const char *expected)
{
        AUTO(buf) found = BUF_MAX(1);

        list(f, prefix, limit, &found);
        assert_string_equal(buf_c(&found), expected);
}

/* The events of a watch, as "+key=value -key". */
static inline UNUSED void note_change(void *ctx, const struct store_item *item, bool deleted)
{
        struct buf *received = ctx;

        if (received->len > 0)
                buf_put_char(received, ' ');
        buf_put_char(received, deleted ? '-' : '+');
        buf_put(received, item->key);
        if (!deleted) {
                buf_put_char(received, '=');
                buf_put(received, item->value);
        }
        assert_true(item->revision != 0);
}

static inline UNUSED void must_not_be_lost(void *ctx)
{
        (void)ctx;
        fail_msg("a watch was lost");
}

static const UNUSED struct store_watch_events note_changes = { note_change, must_not_be_lost };

/* The errors of three writes that are requested together, in the order of their answers. */
struct outcome {
        struct loop *loop;
        enum error_code codes[4];
        size_t count;
};

static inline UNUSED void note_outcome(void *ctx, uint64_t revision, struct error *err)
{
        struct outcome *o = ctx;

        (void)revision;
        o->codes[o->count++] = err == NULL ? 0 : err->code;
        error_free(err);
        if (o->count == 3)
                loop_stop(o->loop);
}

#endif
