/* SPDX-License-Identifier: Apache-2.0 */
/* Behaviour of every backend of the table (backend.h): items, pages, transactions, expiry. */
#include "store/store_conformance_testing.h"

/* ---- keys and values --------------------------------------------------------------------------------- */

static void returns_the_value_that_was_put(void **state)
{
        struct fixture *f = *state;

        assert_absent(f, "/tokens/a");
        put(f, "/tokens/a", "one");
        assert_holds(f, "/tokens/a", "one");
        put(f, "/tokens/a", "two");
        assert_holds(f, "/tokens/a", "two");
        assert_absent(f, "/tokens/A");
        assert_absent(f, "/tokens/");
        put(f, "/empty", "");
        assert_holds(f, "/empty", "");
}

static void keeps_bytes_as_they_are(void **state)
{
        struct fixture *f = *state;
        char *value = NULL;

        assert_null(store_bench_put(&f->b, "/bytes", STR("a\0b\xff"), never, NULL));
        assert_null(store_bench_get(&f->b, "/bytes", &value, NULL));
        assert_memory_equal(value, "a\0b\xff", 5);
        free(value);
}

static void stores_the_largest_value_and_refuses_one_byte_more(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *big = mem_alloc(LIMIT_STORE_VALUE + 1);
        AUTO_MEM char *back = NULL;

        memset(big, 'x', LIMIT_STORE_VALUE + 1);
        assert_null(store_bench_put(&f->b, "/big", str_of_bytes(big, LIMIT_STORE_VALUE), never, NULL));
        assert_null(store_bench_get(&f->b, "/big", &back, NULL));
        assert_int_equal(strlen(back), LIMIT_STORE_VALUE);
        assert_refused(store_bench_put(&f->b, "/big", str_of_bytes(big, LIMIT_STORE_VALUE + 1), never, NULL),
                       ERROR_INVALID_ARGUMENT, "larger");
}

static void refuses_keys_that_are_no_paths(void **state)
{
        struct fixture *f = *state;
        char longest[LIMIT_STORE_KEY + 2];

        memset(longest, 'k', sizeof longest);
        longest[0] = '/';
        longest[LIMIT_STORE_KEY + 1] = '\0';
        assert_refused(store_bench_put(&f->b, longest, STR("v"), never, NULL), ERROR_INVALID_ARGUMENT, "longer");
        longest[LIMIT_STORE_KEY] = '\0';
        put(f, longest, "fits");
        assert_holds(f, longest, "fits");
        assert_refused(store_bench_put(&f->b, "", STR("v"), never, NULL), ERROR_INVALID_ARGUMENT, "begin");
        assert_refused(store_bench_put(&f->b, "tokens", STR("v"), never, NULL), ERROR_INVALID_ARGUMENT, "begin");
}

static void revisions_only_grow(void **state)
{
        struct fixture *f = *state;
        uint64_t first = 0, second = 0, third = 0;

        assert_null(store_bench_put(&f->b, "/a", STR("1"), never, &first));
        assert_null(store_bench_put(&f->b, "/b", STR("1"), never, &second));
        assert_true(first > 0 && second > first);
        assert_int_equal(revision_of(f, "/a"), first);
        struct store_txn *t = store_txn_new(f->b.store);
        store_txn_delete(t, STR("/a"));
        assert_null(store_bench_commit(&f->b, t, NULL));
        assert_null(store_bench_put(&f->b, "/a", STR("1"), never, &third));
        assert_true(third > second);
}

/* ---- ranges ------------------------------------------------------------------------------------------ */

static void lists_a_prefix_in_key_order(void **state)
{
        struct fixture *f = *state;

        put(f, "/nodes/b", "2");
        put(f, "/nodes/a", "1");
        put(f, "/nodes/c", "3");
        put(f, "/nodes0", "above");
        put(f, "/node", "below");
        assert_list(f, "/nodes/", 10, "/nodes/a=1 /nodes/b=2 /nodes/c=3");
        assert_list(f, "/nothing/", 10, "");
        assert_list(f, "/", 10, "/node=below /nodes/a=1 /nodes/b=2 /nodes/c=3 /nodes0=above");
}

static void lists_keys_with_the_highest_bytes(void **state)
{
        struct fixture *f = *state;

        put(f, "/k\xff", "1");
        put(f, "/k\xff\xff" "a", "2");
        put(f, "/l", "3");
        assert_list(f, "/k\xff", 10, "/k\xff=1 /k\xff\xff" "a=2");
        assert_list(f, "/k\xff\xff", 10, "/k\xff\xff" "a=2");
}

static void pages_through_a_prefix_without_gaps_or_repeats(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) whole = BUF_MAX(1), paged = BUF_MAX(1);

        for (int i = 0; i < 50; i++) {
                AUTO_MEM char *key = mem_printf("/p/%02d", i);
                put(f, key, "v");
        }
        assert_int_equal(list(f, "/p/", 1000, &whole), 1);
        assert_int_equal(list(f, "/p/", 7, &paged), 8);
        assert_string_equal(buf_c(&paged), buf_c(&whole));
        buf_release(&paged);
        assert_int_equal(list(f, "/p/", 50, &paged), 1); /* exactly full, and known to be the last */
}

static void ends_a_page_that_grows_too_large(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *big = mem_alloc(LIMIT_STORE_VALUE + 1);
        AUTO(buf) found = BUF_MAX(1);

        memset(big, 'x', LIMIT_STORE_VALUE);
        for (int i = 0; i < 6; i++) {
                AUTO_MEM char *key = mem_printf("/big/%d", i);
                put(f, key, big);
        }
        assert_true(list(f, "/big/", 1000, &found) > 1);
        assert_true(found.len > 6 * (size_t)LIMIT_STORE_VALUE);
}

/* ---- transactions ------------------------------------------------------------------------------------ */

static void a_transaction_happens_as_a_whole(void **state)
{
        struct fixture *f = *state;
        uint64_t revision = 0;

        put(f, "/old", "x");
        struct store_txn *t = store_txn_new(f->b.store);
        store_txn_require(t, STR("/old"), STORE_ANY);
        store_txn_require(t, STR("/new"), 0);
        store_txn_put(t, STR("/new"), STR("n"), never);
        store_txn_put(t, STR("/other"), STR("o"), never);
        store_txn_delete(t, STR("/old"));
        assert_null(store_bench_commit(&f->b, t, &revision));
        assert_list(f, "/", 10, "/new=n /other=o");
        assert_int_equal(revision_of(f, "/new"), revision);
        assert_int_equal(revision_of(f, "/other"), revision);
}

static void a_requirement_that_does_not_hold_leaves_nothing_behind(void **state)
{
        struct fixture *f = *state;

        put(f, "/there", "x");
        uint64_t revision = revision_of(f, "/there");
        const struct {
                const char *key;
                uint64_t revision;
                const char *words;
        } rows[] = {
                { "/there", 0, "'/there' exists already" },
                { "/there", revision + 1, "'/there' was changed meanwhile" },
                { "/missing", STORE_ANY, "'/missing' does not exist" },
                { "/missing", 7, "'/missing' does not exist" },
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct store_txn *t = store_txn_new(f->b.store);

                store_txn_put(t, STR("/written"), STR("w"), never);
                store_txn_delete(t, STR("/there"));
                store_txn_require(t, str_of(rows[i].key), rows[i].revision); /* last, yet checked first */
                assert_refused(store_bench_commit(&f->b, t, NULL), ERROR_ABORTED, rows[i].words);
                assert_list(f, "/", 10, "/there=x");
                assert_int_equal(revision_of(f, "/there"), revision);
        }
}

static void one_refused_transaction_does_not_undo_others(void **state)
{
        struct fixture *f = *state;
        struct outcome o = { .loop = &f->b.loop };

        for (int i = 0; i < 3; i++) { /* requested in one turn of the loop: one batch */
                struct store_txn *t = store_txn_new(f->b.store);
                char key[] = { '/', (char)('a' + i), '\0' };

                store_txn_require(t, STR("/a"), i < 2 ? 0 : STORE_ANY);
                store_txn_put(t, str_of(key), STR("v"), never);
                store_txn_commit(t, note_outcome, &o);
        }
        loop_run(&f->b.loop);
        assert_int_equal(o.codes[0], 0);
        assert_int_equal(o.codes[1], ERROR_ABORTED);
        assert_int_equal(o.codes[2], 0);
        assert_list(f, "/", 10, "/a=v /c=v");
}

static void only_one_of_two_writers_with_the_same_requirement_wins(void **state)
{
        struct fixture *f = *state;
        struct outcome o = { .loop = &f->b.loop };

        put(f, "/counter", "0");
        uint64_t seen = revision_of(f, "/counter");
        for (int i = 0; i < 3; i++) {
                struct store_txn *t = store_txn_new(f->b.store);

                store_txn_require(t, STR("/counter"), seen);
                store_txn_put(t, STR("/counter"), STR("1"), never);
                store_txn_commit(t, note_outcome, &o);
        }
        loop_run(&f->b.loop);
        assert_int_equal(o.codes[0], 0);
        assert_int_equal(o.codes[1], ERROR_ABORTED);
        assert_int_equal(o.codes[2], ERROR_ABORTED);
}

static void a_faulty_step_is_reported_by_the_commit(void **state)
{
        struct fixture *f = *state;
        struct store_txn *t = store_txn_new(f->b.store);

        store_txn_put(t, STR("/fine"), STR("v"), never);
        store_txn_put(t, STR("unprefixed"), STR("v"), never);
        store_txn_put(t, STR("/fine too"), STR("v"), never);
        assert_refused(store_bench_commit(&f->b, t, NULL), ERROR_INVALID_ARGUMENT, "'unprefixed'");
        assert_list(f, "/", 10, "");
}

static void a_transaction_made_to_fail_reports_the_reason(void **state)
{
        struct fixture *f = *state;
        struct store_txn *t = store_txn_new(f->b.store);

        store_txn_put(t, STR("/a"), STR("v"), never);
        store_txn_fail(t, error_new(ERROR_RESOURCE_EXHAUSTED, "the audit log is full"));
        store_txn_fail(t, error_new(ERROR_INTERNAL, "a later one"));
        assert_refused(store_bench_commit(&f->b, t, NULL), ERROR_RESOURCE_EXHAUSTED, "audit log");
        assert_absent(f, "/a");
}

static void a_cancelled_transaction_writes_nothing(void **state)
{
        struct fixture *f = *state;
        struct store_txn *t = store_txn_new(f->b.store);

        store_txn_put(t, STR("/a"), STR("v"), never);
        store_txn_cancel(t);
        store_txn_cancel(NULL);
        assert_absent(f, "/a");
}

static void deletes_a_prefix_and_nothing_beside_it(void **state)
{
        struct fixture *f = *state;

        put(f, "/a/1", "v");
        put(f, "/a/2", "v");
        put(f, "/a", "v");
        put(f, "/b", "v");
        struct store_txn *t = store_txn_new(f->b.store);
        store_txn_delete_prefix(t, STR("/a/"));
        store_txn_put(t, STR("/a/3"), STR("v"), never);
        assert_null(store_bench_commit(&f->b, t, NULL));
        assert_list(f, "/", 10, "/a=v /a/3=v /b=v");
}

/* ---- expiry ------------------------------------------------------------------------------------------ */

static void an_expired_item_is_gone_in_its_instant(void **state)
{
        struct fixture *f = *state;

        put_for(f, "/short", "v", SECONDS(10));
        put_for(f, "/long", "v", HOURS(10));
        fake_clock_advance(&f->b.clock, SECONDS(9));
        assert_holds(f, "/short", "v");
        fake_clock_advance(&f->b.clock, SECONDS(1));
        assert_absent(f, "/short");
        assert_list(f, "/", 10, "/long=v");
}

static void an_expired_item_counts_as_absent_for_requirements(void **state)
{
        struct fixture *f = *state;

        put_for(f, "/lock", "mine", SECONDS(10));
        uint64_t revision = revision_of(f, "/lock");
        fake_clock_advance(&f->b.clock, SECONDS(11));
        struct store_txn *t = store_txn_new(f->b.store);
        store_txn_require(t, STR("/lock"), revision);
        store_txn_put(t, STR("/x"), STR("v"), never);
        assert_refused(store_bench_commit(&f->b, t, NULL), ERROR_ABORTED, "does not exist");
        t = store_txn_new(f->b.store);
        store_txn_require(t, STR("/lock"), 0);
        store_txn_put(t, STR("/lock"), STR("yours"), never);
        assert_null(store_bench_commit(&f->b, t, NULL));
        assert_holds(f, "/lock", "yours");
}

static void stop_when_received(void *ctx, const struct store_item *item, bool deleted)
{
        struct fixture *f = ctx;

        assert_true(deleted);
        assert_true(str_equal(item->key, STR("/short")));
        loop_stop(&f->b.loop);
}

static const struct store_watch_events stops_when_received = { stop_when_received, must_not_be_lost };

static void a_watch_gets_expiry_without_a_request(void **state)
{
        struct fixture *f = *state;
        struct store_watch *w = store_watch_new(f->b.store, STR("/short"), 0, &stops_when_received, f);

        store_watch_free(w); /* the put itself is not of interest */
        put_for(f, "/short", "v", SECONDS(10));
        w = store_watch_new(f->b.store, STR("/short"), 0, &stops_when_received, f);
        loop_advance(&f->b.loop, &f->b.clock, SECONDS(11));
        loop_run(&f->b.loop);
        store_watch_free(w);
        assert_list(f, "/", 10, "");
}

static void many_expired_items_are_removed_in_small_steps(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * MiB);
        struct store_txn *t = store_txn_new(f->b.store);

        for (int i = 0; i < 2 * LIMIT_STORE_PURGE + 3; i++) {
                AUTO_MEM char *key = mem_printf("/e/%d", i);

                store_txn_put(t, str_of(key), STR("v"), walltime_add(f->b.clock.walltime, SECONDS(1)));
        }
        assert_null(store_bench_commit(&f->b, t, NULL));
        struct store_watch *w = store_watch_new(f->b.store, STR("/e/"), 0, &note_changes, &received);
        fake_clock_advance(&f->b.clock, SECONDS(2));
        for (int i = 0; i < 3; i++) { /* each write takes some along */
                AUTO_MEM char *key = mem_printf("/w/%d", i);

                put(f, key, "v");
        }
        size_t reported = 0;
        for (size_t i = 0; i < received.len; i++)
                reported += received.ptr[i] == '-';
        assert_int_equal(reported, 2 * LIMIT_STORE_PURGE + 3);
        store_watch_free(w);
}

/* ---- closing ----------------------------------------------------------------------------------------- */

static void closing_finishes_pending_requests(void **state)
{
        struct fixture *f = *state;
        struct outcome o = { .loop = &f->b.loop };

        for (int i = 0; i < 3; i++)
                store_put(f->b.store, STR("/a"), STR("v"), never, note_outcome, &o);
        store_bench_close(&f->b);
        assert_int_equal(o.count, 3);
        for (size_t i = 0; i < o.count; i++)
                assert_int_equal(o.codes[i], 0);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        const struct CMUnitTest tests[] = {
                ROW(returns_the_value_that_was_put),
                ROW(keeps_bytes_as_they_are),
                ROW(stores_the_largest_value_and_refuses_one_byte_more),
                ROW(refuses_keys_that_are_no_paths),
                ROW(revisions_only_grow),
                ROW(lists_a_prefix_in_key_order),
                ROW(lists_keys_with_the_highest_bytes),
                ROW(pages_through_a_prefix_without_gaps_or_repeats),
                ROW(ends_a_page_that_grows_too_large),
                ROW(a_transaction_happens_as_a_whole),
                ROW(a_requirement_that_does_not_hold_leaves_nothing_behind),
                ROW(one_refused_transaction_does_not_undo_others),
                ROW(only_one_of_two_writers_with_the_same_requirement_wins),
                ROW(a_faulty_step_is_reported_by_the_commit),
                ROW(a_transaction_made_to_fail_reports_the_reason),
                ROW(a_cancelled_transaction_writes_nothing),
                ROW(deletes_a_prefix_and_nothing_beside_it),
                ROW(an_expired_item_is_gone_in_its_instant),
                ROW(an_expired_item_counts_as_absent_for_requirements),
                ROW(a_watch_gets_expiry_without_a_request),
                ROW(many_expired_items_are_removed_in_small_steps),
                ROW(closing_finishes_pending_requests),
        };
#undef ROW
        int failed = 0;

        for (size_t i = 0; store_backends[i] != NULL; i++) {
                tested = store_backends[i];
                failed += cmocka_run_group_tests_name(tested->type, tests, NULL, NULL);
        }
        return failed;
}
