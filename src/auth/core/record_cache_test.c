/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/core/record_cache.h"
#include "base/mem.h"
#include "state/outbox_event.h"
#include "store/store_testing.h"

struct fixture {
        struct store_bench bench;
        char *dir; /* of a store that answers from its own thread, after the calls that the loop has deferred */
        struct record_cache *cache;
        /* of the last get */
        bool is_done;
        bool is_store_read, was_store_read; /* the store has answered another read after the record */
        char *value; /* NULL: there was no record */
        uint64_t revision;
        struct error *err;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = store_bench_dir();
        assert_null(store_bench_open(&f->bench, (struct store_options){ .path = f->dir }));
        f->cache = record_cache_new(&f->bench.loop, f->bench.store, &outbox_event_kind);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        record_cache_stop(f->cache);
        store_bench_close(&f->bench);
        record_cache_free(f->cache);
        store_bench_remove(f->dir);
        free(f->dir);
        free(f->value);
        free(f);
        return 0;
}

static void on_record(void *ctx, const struct state_record *record, struct error *err)
{
        struct fixture *f = ctx;

        f->is_done = true;
        f->was_store_read = f->is_store_read;
        f->err = err;
        free(f->value);
        f->value = record == NULL ? NULL : str_dup(record->value);
        f->revision = record == NULL ? 0 : record->revision;
        loop_stop(&f->bench.loop);
}

static void await(struct fixture *f)
{
        while (!f->is_done)
                loop_run(&f->bench.loop);
        f->is_done = false;
        assert_null(f->err);
}

static void get(struct fixture *f, struct str id)
{
        record_cache_get(f->cache, id, on_record, f);
        await(f);
}

static void assert_has(struct fixture *f, const char *value)
{
        get(f, STR("one"));
        if (value == NULL)
                assert_null(f->value);
        else
                assert_string_equal(f->value, value);
}

static uint64_t put(struct fixture *f, struct str id, struct str text, struct walltime expires)
{
        struct store_txn *t = store_txn_new(f->bench.store);
        uint64_t revision;

        state_put_text(t, &outbox_event_kind, id, text, expires);
        assert_null(store_bench_commit(&f->bench, t, &revision));
        return revision;
}

static const struct walltime never = { 0 };

static void gives_the_record_of_the_store(void **state)
{
        struct fixture *f = *state;

        assert_has(f, NULL);
        uint64_t revision = put(f, STR("one"), STR("first"), never);
        for (int i = 0; i < 2; i++) {
                assert_has(f, "first");
                assert_int_equal(f->revision, revision);
        }
}

static void on_store_read(void *ctx, const struct store_item *item, struct error *err)
{
        struct fixture *f = ctx;

        assert_null(item);
        assert_null(err);
        f->is_store_read = true;
}

static void gives_a_kept_record_without_the_store(void **state)
{
        struct fixture *f = *state;

        put(f, STR("one"), STR("first"), never);
        assert_has(f, "first");
        store_get(f->bench.store, STR("/nothing"), on_store_read, f); /* the store answers in order */
        record_cache_get(f->cache, STR("one"), on_record, f);
        assert_false(f->is_done); /* never before the call returns */
        await(f);
        assert_string_equal(f->value, "first");
        assert_false(f->was_store_read);
        put(f, STR("two"), STR("second"), never); /* until the other read is answered */
        assert_true(f->is_store_read);
}

static void forgets_a_record_that_changes(void **state)
{
        struct fixture *f = *state;

        put(f, STR("one"), STR("first"), never);
        assert_has(f, "first");
        put(f, STR("one"), STR("second"), never);
        assert_has(f, "second");
        struct store_txn *t = store_txn_new(f->bench.store);
        state_delete(t, &outbox_event_kind, STR("one"));
        assert_null(store_bench_commit(&f->bench, t, NULL));
        assert_has(f, NULL);
}

static void forgets_a_record_that_expires(void **state)
{
        struct fixture *f = *state;

        put(f, STR("one"), STR("first"), walltime_add(loop_wall(&f->bench.loop), SECONDS(10)));
        assert_has(f, "first");
        fake_clock_advance(&f->bench.clock, SECONDS(11));
        assert_has(f, NULL);
}

static void keeps_no_answer_older_than_a_change(void **state)
{
        struct fixture *f = *state;
        struct store_txn *t = store_txn_new(f->bench.store);

        put(f, STR("one"), STR("first"), never);
        state_put_text(t, &outbox_event_kind, STR("one"), STR("second"), never);
        record_cache_get(f->cache, STR("one"), on_record, f); /* in one batch with the change */
        assert_null(store_bench_commit(&f->bench, t, NULL));
        if (!f->is_done)
                await(f);
        f->is_done = false;
        assert_has(f, "second");
}

static void many_records_replace_each_other(void **state)
{
        struct fixture *f = *state;
        char id[8];

        for (int round = 0; round < 2; round++)
                for (int i = 0; i < 20; i++) {
                        snprintf(id, sizeof id, "n%d", i);
                        if (round == 0)
                                put(f, str_of(id), str_of(id), never);
                        get(f, str_of(id));
                        assert_string_equal(f->value, id);
                }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(gives_the_record_of_the_store),
                TEST(gives_a_kept_record_without_the_store),
                TEST(forgets_a_record_that_changes),
                TEST(forgets_a_record_that_expires),
                TEST(keeps_no_answer_older_than_a_change),
                TEST(many_records_replace_each_other),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
