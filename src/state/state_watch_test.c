/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of all records of a kind: read whole, followed, and read again when the store has missed changes. */
#include "state/state_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "store/backend.h"
#include "store/store_testing.h"

/* Records with text as value: "bad" cannot be read. */
static const struct state_kind test_kind = { "test record", STR_INIT("/test/"), NULL };

static const struct walltime never = { 0 };

struct fixture {
        struct store_bench bench;
        struct state_watch *watch;
        struct map copy;   /* ID -> value, owned */
        struct buf events; /* "+id", "-id" of changes; "ready", "lost" */
        bool is_stopped, is_ready;
        int ends_after;    /* frees the watch after this number of records; 0: never */
        bool loses;        /* misses a change after the first record */
        size_t found;
        struct error *err;
};

/* ---- the read of a page, which fails as often as a test wants -------------------------------------------- */

typedef void page_done(void *ctx, const struct state_page *page, struct error *err);

static struct {
        int failures; /* reads that fail from now on */
        int count;    /* reads so far */
        page_done *done;
        void *ctx;
} reads;

static void fail_read(void *ctx)
{
        (void)ctx;
        reads.done(reads.ctx, NULL, error_new(ERROR_UNAVAILABLE, "the disk is slow"));
}

void __real_state_list(struct store *s, const struct state_kind *kind, struct str after, size_t limit, page_done *done, void *ctx);
void __wrap_state_list(struct store *s, const struct state_kind *kind, struct str after, size_t limit, page_done *done, void *ctx);

/* Replaces state_list() in state_watch.c (--wrap in meson.build). */
void __wrap_state_list(struct store *s, const struct state_kind *kind, struct str after, size_t limit, page_done *done, void *ctx)
{
        reads.count++;
        if (reads.failures == 0) {
                __real_state_list(s, kind, after, limit, done, ctx);
                return;
        }
        reads.failures--;
        reads.done = done;
        reads.ctx = ctx;
        loop_defer(store_loop(s), fail_read, NULL);
}

/* ---- the owner of a copy ------------------------------------------------------------------------------- */

static void set(struct fixture *f, struct str id, struct str value)
{
        free(map_put(&f->copy, id, str_dup(value)));
}

static void end(struct fixture *f)
{
        state_watch_free(f->watch);
        f->watch = NULL;
}

static void on_changed(void *ctx, const struct state_record *record, bool is_deleted)
{
        struct fixture *f = ctx;

        buf_printf(&f->events, "%s%.*s ", is_deleted ? "-" : "+", STR_ARG(record->id));
        if (is_deleted)
                free(map_remove(&f->copy, record->id));
        else
                set(f, record->id, record->value);
        if (f->ends_after < 0)
                end(f);
}

static void on_missed(void *ctx, uint64_t revision, struct error *err)
{
        struct fixture *f = ctx;

        assert_null(err);
        store_report_lost(f->bench.store, revision);
}

/* A write after which the store only reports that it has missed changes. */
static void miss_a_change(struct fixture *f)
{
        store_put(f->bench.store, STR("/missed"), STR(""), never, on_missed, f);
}

static struct error *on_found(void *ctx, const struct state_record *record)
{
        struct fixture *f = ctx;

        f->found++;
        if (f->ends_after > 0 && f->found == (size_t)f->ends_after)
                end(f);
        if (f->loses && f->found == 1)
                miss_a_change(f);
        if (str_equal(record->value, STR("bad")))
                return error_new(ERROR_DATA_LOSS, "it is damaged");
        set(f, record->id, record->value);
        return NULL;
}

static void each_id(void *ctx, void (*fn)(void *fn_ctx, struct str id), void *fn_ctx)
{
        state_each_key(&((struct fixture *)ctx)->copy, fn, fn_ctx);
}

static void on_lost(void *ctx)
{
        buf_put_c(&((struct fixture *)ctx)->events, "lost ");
}

static const struct state_watch_events copy_events = { on_changed, on_found, each_id, NULL };
static const struct state_watch_events own_events = { .changed = on_changed, .lost = on_lost };

static void on_ready(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        assert_false(f->is_ready);
        f->is_ready = true;
        f->err = err;
        buf_put_c(&f->events, "ready ");
        loop_stop(&f->bench.loop);
}

/* ---- fixture ------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(store_bench_open(&f->bench, (struct store_options){ .type = "memory" }));
        f->events = BUF_MAX(64 * KiB);
        memset(&reads, 0, sizeof reads);
        *state = f;
        return 0;
}

static void free_value(void *ctx, struct str key, void *value)
{
        (void)ctx;
        (void)key;
        free(value);
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        state_watch_free(f->watch);
        store_bench_close(&f->bench);
        map_each(&f->copy, free_value, NULL);
        map_release(&f->copy);
        buf_release(&f->events);
        error_free(f->err);
        free(f);
        return 0;
}

static void put(struct fixture *f, const char *id, const char *value)
{
        AUTO_MEM char *key = mem_printf("/test/%s", id);

        assert_null(store_bench_put(&f->bench, key, str_of(value), never, NULL));
}

static void put_many(struct fixture *f, int count)
{
        struct store_txn *t = store_txn_new(f->bench.store);

        for (int i = 0; i < count; i++) {
                AUTO_MEM char *id = mem_printf("%04d", i);

                state_put_text(t, &test_kind, str_of(id), STR("v"), never);
        }
        assert_null(store_bench_commit(&f->bench, t, NULL));
}

static void delete(struct fixture *f, const char *id)
{
        struct store_txn *t = store_txn_new(f->bench.store);

        state_delete(t, &test_kind, str_of(id));
        assert_null(store_bench_commit(&f->bench, t, NULL));
}

static void begin_copy(struct fixture *f)
{
        f->watch = state_copy_new(f->bench.store, &test_kind, &f->is_stopped, &copy_events, on_ready, f);
}

static void await_ready(struct fixture *f)
{
        while (!f->is_ready)
                loop_run(&f->bench.loop);
}

/* Every requested operation of the store, and those that its answers request. */
static void settle(struct fixture *f, int pages)
{
        for (int i = 0; i < pages; i++) {
                AUTO_MEM char *value = NULL;

                assert_null(store_bench_get(&f->bench, "/nothing", &value, NULL));
        }
}

/* Moves the clock, and lets the store answer the requests of timers that fired. */
static void advance(struct fixture *f, int ms)
{
        loop_advance(&f->bench.loop, &f->bench.clock, MILLISECONDS(ms));
        uv_run(&f->bench.loop.uv, UV_RUN_NOWAIT);
        settle(f, 3);
}

static void assert_has(const struct fixture *f, const char *id, const char *value)
{
        const char *found = map_get(&f->copy, str_of(id));

        assert_non_null(found);
        assert_string_equal(found, value);
}

/* ---- copies -------------------------------------------------------------------------------------------- */

static void reads_all_records_and_follows_their_changes(void **state)
{
        struct fixture *f = *state;

        put_many(f, 2 * LIMIT_STORE_RANGE + 1);
        put(f, "bad", "bad");
        begin_copy(f);
        await_ready(f);
        assert_null(f->err);
        assert_int_equal(f->copy.count, 2 * LIMIT_STORE_RANGE + 1);
        put(f, "new", "1");
        delete(f, "0007");
        assert_string_equal(buf_c(&f->events), "ready +new -0007 ");
        assert_has(f, "new", "1");
}

static void follows_records_that_change_while_it_reads(void **state)
{
        struct fixture *f = *state;
        struct store_txn *t;

        put_many(f, LIMIT_STORE_RANGE + 1);
        begin_copy(f);
        t = store_txn_new(f->bench.store); /* behind the first page, before the second */
        state_put_text(t, &test_kind, STR("0000"), STR("w"), never);
        state_put_text(t, &test_kind, STR("1000"), STR("w"), never);
        state_delete(t, &test_kind, STR("0001"));
        store_txn_commit(t, NULL, NULL);
        await_ready(f);
        assert_has(f, "0000", "w");
        assert_has(f, "1000", "w");
        assert_null(map_get(&f->copy, STR("0001")));
        assert_int_equal(f->copy.count, LIMIT_STORE_RANGE);
}

static void a_copy_that_lost_changes_reads_again(void **state)
{
        struct fixture *f = *state;

        put_many(f, LIMIT_STORE_RANGE + 1); /* two pages */
        begin_copy(f);
        await_ready(f);
        set(f, STR("gone"), STR("x")); /* as if these changes had been missed */
        set(f, STR("gone too"), STR("x"));
        set(f, STR("0003"), STR("old"));
        free(map_remove(&f->copy, STR("0004")));
        buf_clear(&f->events);
        miss_a_change(f);
        settle(f, 4);
        assert_int_equal(f->copy.count, LIMIT_STORE_RANGE + 1);
        assert_has(f, "0003", "v");
        assert_has(f, "0004", "v");
        assert_non_null(strstr(buf_c(&f->events), "-gone "));
        assert_non_null(strstr(buf_c(&f->events), "-gone too "));
        assert_int_equal(f->events.len, strlen("-gone -gone too "));
}

static void records_of_the_time_of_a_second_reading_are_kept(void **state)
{
        struct fixture *f = *state;
        struct store_txn *t;

        put_many(f, LIMIT_STORE_RANGE + 1);
        begin_copy(f);
        await_ready(f);
        buf_clear(&f->events);
        miss_a_change(f);
        settle(f, 1); /* the first page is on its way */
        t = store_txn_new(f->bench.store); /* behind the first page, before the second */
        state_put_text(t, &test_kind, STR("000a"), STR("new"), never);
        state_delete(t, &test_kind, STR("0000"));
        store_txn_commit(t, NULL, NULL);
        settle(f, 4);
        assert_has(f, "000a", "new");
        assert_null(map_get(&f->copy, STR("0000")));
        assert_int_equal(f->copy.count, LIMIT_STORE_RANGE + 1);
        put(f, "later", "1"); /* it is followed again */
        assert_string_equal(buf_c(&f->events), "+000a -0000 +later ");
}

static void changes_lost_during_the_first_reading_are_read(void **state)
{
        struct fixture *f = *state;

        put_many(f, LIMIT_STORE_RANGE + 1);
        f->loses = true;
        begin_copy(f);
        await_ready(f);
        assert_null(f->err);
        assert_int_equal(f->found, LIMIT_STORE_RANGE + LIMIT_STORE_RANGE + 1); /* the first page twice */
        put(f, "later", "1");
        assert_string_equal(buf_c(&f->events), "ready +later ");
}

static void a_copy_that_is_freed_is_cancelled(void **state)
{
        struct fixture *f = *state;

        put_many(f, LIMIT_STORE_RANGE + 1);
        f->ends_after = 3;
        begin_copy(f);
        await_ready(f);
        assert_int_equal(f->err->code, ERROR_CANCELLED);
        assert_int_equal(f->found, 3);
        put(f, "later", "1");
        assert_string_equal(buf_c(&f->events), "ready ");
}

static void a_copy_of_a_stopping_service_is_cancelled(void **state)
{
        struct fixture *f = *state;

        put_many(f, 3);
        begin_copy(f);
        f->is_stopped = true;
        await_ready(f);
        assert_int_equal(f->err->code, ERROR_CANCELLED);
        assert_int_equal(f->found, 0);
}

static void a_copy_may_be_freed_while_it_reads_again(void **state)
{
        struct fixture *f = *state;

        put_many(f, 3);
        begin_copy(f);
        await_ready(f);
        set(f, STR("gone"), STR("x"));
        set(f, STR("gone too"), STR("x"));
        f->ends_after = -1; /* in the callback of the first removal */
        miss_a_change(f);
        settle(f, 3);
        assert_null(f->watch);
        assert_int_equal(f->copy.count, 4);
}

static void a_failed_read_is_repeated_after_a_pause(void **state)
{
        struct fixture *f = *state;

        put_many(f, 3);
        begin_copy(f);
        await_ready(f);
        set(f, STR("gone"), STR("x"));
        reads.failures = 2;
        reads.count = 0;
        miss_a_change(f);
        settle(f, 3);
        assert_int_equal(reads.count, 1);
        advance(f, PACE_STATE_READ - 1);
        assert_int_equal(reads.count, 1);
        advance(f, 1);
        assert_int_equal(reads.count, 2);
        assert_non_null(map_get(&f->copy, STR("gone")));
        advance(f, PACE_STATE_READ);
        assert_int_equal(reads.count, 3);
        assert_null(map_get(&f->copy, STR("gone")));
        put(f, "later", "1"); /* it is followed again */
        assert_has(f, "later", "1");
}

static void a_copy_may_be_freed_or_stopped_during_the_pause(void **state)
{
        struct fixture *f = *state;

        for (int is_stopped = 0; is_stopped < 2; is_stopped++) {
                f->is_ready = false;
                begin_copy(f);
                await_ready(f);
                reads.failures = 1;
                reads.count = 0;
                miss_a_change(f);
                settle(f, 3);
                f->is_stopped = is_stopped == 1;
                if (!f->is_stopped)
                        end(f);
                advance(f, PACE_STATE_READ);
                assert_int_equal(reads.count, 1);
        }
}

static void an_error_of_the_first_read_ends_it(void **state)
{
        struct fixture *f = *state;

        reads.failures = 1;
        begin_copy(f);
        await_ready(f);
        assert_int_equal(f->err->code, ERROR_UNAVAILABLE);
        assert_int_equal(reads.count, 1);
}

/* ---- watches ------------------------------------------------------------------------------------------- */

static void an_owner_may_reload_lost_changes_itself(void **state)
{
        struct fixture *f = *state;

        f->watch = state_watch_new(f->bench.store, &test_kind, &own_events, f);
        put(f, "a", "1");
        miss_a_change(f);
        put(f, "b", "1");
        assert_string_equal(buf_c(&f->events), "+a lost +b ");
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                WITH_STORE(reads_all_records_and_follows_their_changes),
                WITH_STORE(follows_records_that_change_while_it_reads),
                WITH_STORE(a_copy_that_lost_changes_reads_again),
                WITH_STORE(records_of_the_time_of_a_second_reading_are_kept),
                WITH_STORE(changes_lost_during_the_first_reading_are_read),
                WITH_STORE(a_copy_that_is_freed_is_cancelled),
                WITH_STORE(a_copy_of_a_stopping_service_is_cancelled),
                WITH_STORE(a_copy_may_be_freed_while_it_reads_again),
                WITH_STORE(a_failed_read_is_repeated_after_a_pause),
                WITH_STORE(a_copy_may_be_freed_or_stopped_during_the_pause),
                WITH_STORE(an_error_of_the_first_read_ends_it),
                WITH_STORE(an_owner_may_reload_lost_changes_itself),
        };

        return cmocka_run_group_tests_name("state_watch", tests, NULL, NULL);
}
