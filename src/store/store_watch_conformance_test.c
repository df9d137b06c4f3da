/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of every backend of the table (backend.h): changes to watches, from revisions on, renewals, and those of a second writer. */
#include "store/store_conformance_testing.h"

/* ---- watches ----------------------------------------------------------------------------------------- */

static void a_watch_gets_the_changes_under_its_prefix_in_order(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * KiB);
        struct store_watch *w = store_watch_new(f->b.store, STR("/n/"), 0, &note_changes, &received);

        put(f, "/n/a", "1");
        put(f, "/m/a", "1");
        put(f, "/n/b", "2");
        struct store_txn *t = store_txn_new(f->b.store);
        store_txn_delete(t, STR("/n/a"));
        store_txn_delete(t, STR("/n/missing"));
        store_txn_put(t, STR("/n/c"), STR("3"), never);
        assert_null(store_bench_commit(&f->b, t, NULL));
        t = store_txn_new(f->b.store);
        store_txn_require(t, STR("/n/c"), 0);
        store_txn_put(t, STR("/n/d"), STR("never"), never);
        assert_refused(store_bench_commit(&f->b, t, NULL), ERROR_ABORTED, "exists");
        t = store_txn_new(f->b.store);
        store_txn_delete_prefix(t, STR("/n/"));
        assert_null(store_bench_commit(&f->b, t, NULL));
        assert_string_equal(buf_c(&received), "+/n/a=1 +/n/b=2 -/n/a +/n/c=3 -/n/b -/n/c");
        store_watch_free(w);
}

struct order {
        struct store_bench *b;
        bool reported;
};

static void reported(void *ctx, const struct store_item *item, bool deleted)
{
        struct order *o = ctx;

        (void)item;
        (void)deleted;
        o->reported = true;
}

static const struct store_watch_events reports = { reported, must_not_be_lost };

static void answered(void *ctx, uint64_t revision, struct error *err)
{
        struct order *o = ctx;

        (void)revision;
        assert_null(err);
        assert_true(o->reported);
        loop_stop(&o->b->loop);
}

static void a_watch_gets_a_change_before_the_writer(void **state)
{
        struct fixture *f = *state;
        struct order o = { .b = &f->b };
        struct store_watch *w = store_watch_new(f->b.store, STR("/"), 0, &reports, &o);

        store_put(f->b.store, STR("/a"), STR("v"), never, answered, &o);
        loop_run(&f->b.loop);
        assert_true(o.reported);
        store_watch_free(w);
}

struct leaver {
        struct store_watch *self;
        unsigned received;
};

static void leave(void *ctx, const struct store_item *item, bool deleted)
{
        struct leaver *l = ctx;

        (void)item;
        (void)deleted;
        l->received++;
        store_watch_free(l->self);
}

static const struct store_watch_events leaves = { leave, must_not_be_lost };

static void a_watch_may_end_itself_in_its_callback(void **state)
{
        struct fixture *f = *state;
        struct leaver first = { 0 }, second = { 0 };

        first.self = store_watch_new(f->b.store, STR("/"), 0, &leaves, &first);
        second.self = store_watch_new(f->b.store, STR("/"), 0, &leaves, &second);
        struct store_txn *t = store_txn_new(f->b.store);
        store_txn_put(t, STR("/a"), STR("v"), never);
        store_txn_put(t, STR("/b"), STR("v"), never);
        assert_null(store_bench_commit(&f->b, t, NULL));
        assert_int_equal(first.received, 1);
        assert_int_equal(second.received, 1);
}

/* ---- watches from a revision --------------------------------------------------------------------------- */

/* The events of a watch that may be lost, as "+key=value -key lost". */
static void note_lost(void *ctx)
{
        buf_put_c(ctx, " lost");
}

static const struct store_watch_events note_all = { note_change, note_lost };

/* Lets the loop make the calls that are due. */
static void turn(struct fixture *f)
{
        assert_absent(f, "/turn");
}

static void a_watch_resumes_from_a_revision(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) first = BUF_MAX(1 * KiB), second = BUF_MAX(1 * KiB);
        struct store_watch *w = store_watch_new(f->b.store, STR("/n/"), 0, &note_all, &first);

        put(f, "/n/a", "1");
        uint64_t seen = revision_of(f, "/n/a");
        store_watch_free(w);
        put(f, "/n/b", "2");
        put(f, "/m", "x");
        struct store_txn *t = store_txn_new(f->b.store);
        store_txn_delete(t, STR("/n/a"));
        store_txn_put(t, STR("/n/c"), STR("3"), never);
        assert_null(store_bench_commit(&f->b, t, NULL));
        w = store_watch_new(f->b.store, STR("/n/"), seen + 1, &note_all, &second);
        assert_int_equal(second.len, 0); /* not inside the call */
        put(f, "/n/d", "4");
        assert_string_equal(buf_c(&first), "+/n/a=1");
        assert_string_equal(buf_c(&second), "+/n/b=2 -/n/a +/n/c=3 +/n/d=4");
        store_watch_free(w);
}

static void a_watch_from_a_later_revision_waits_for_it(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * KiB);

        put(f, "/a", "1");
        struct store_watch *w = store_watch_new(f->b.store, STR("/"), revision_of(f, "/a") + 2, &note_all, &received);
        put(f, "/b", "2");
        put(f, "/c", "3");
        assert_string_equal(buf_c(&received), "+/c=3");
        store_watch_free(w);
}

struct reader {
        struct fixture *f;
        struct buf *received;
        struct store_watch *watch;
        uint64_t revision;
};

static void follow_page(void *ctx, const struct store_page *page, struct error *err)
{
        struct reader *r = ctx;

        assert_null(err);
        r->revision = page->revision;
        for (size_t i = 0; i < page->count; i++)
                note_change(r->received, &page->items[i], false);
        buf_put_c(r->received, ";");
        r->watch = store_watch_new(r->f->b.store, STR("/n/"), page->revision + 1, &note_all, r->received);
}

static void a_page_and_its_watch_miss_nothing(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * KiB);
        struct reader r = { .f = f, .received = &received };
        struct outcome o = { .loop = &f->b.loop };

        store_put(f->b.store, STR("/n/a"), STR("1"), never, note_outcome, &o); /* all requested in one turn of the loop */
        store_put(f->b.store, STR("/n/b"), STR("1"), never, note_outcome, &o);
        store_range(f->b.store, STR("/n/"), STR(""), 10, follow_page, &r);
        store_put(f->b.store, STR("/n/a"), STR("2"), never, note_outcome, &o);
        loop_run(&f->b.loop);
        assert_string_equal(buf_c(&received), "+/n/a=1 +/n/b=1; +/n/a=2");
        assert_int_equal(revision_of(f, "/n/a"), r.revision + 1);
        store_watch_free(r.watch);
}

static void a_watch_is_lost_when_its_changes_are_forgotten(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) old = BUF_MAX(1 * KiB), kept = BUF_MAX(1 * KiB), other = BUF_MAX(1 * KiB);
        struct store_watch *w = store_watch_new(f->b.store, STR("/other"), 0, &note_all, &other);

        put(f, "/n/a", "1");
        uint64_t seen = revision_of(f, "/n/a");
        struct store_txn *t = store_txn_new(f->b.store);
        for (int i = 0; i < LIMIT_STORE_HISTORY; i++) {
                AUTO_MEM char *key = mem_printf("/many/%d", i);

                store_txn_put(t, str_of(key), STR(""), never);
        }
        assert_null(store_bench_commit(&f->b, t, NULL));
        struct store_watch *late = store_watch_new(f->b.store, STR("/n/"), seen, &note_all, &old);
        struct store_watch *early = store_watch_new(f->b.store, STR("/n/"), seen + 2, &note_all, &kept);
        put(f, "/n/b", "2");
        put(f, "/n/c", "3");
        assert_string_equal(buf_c(&old), " lost"); /* once, and nothing afterwards */
        assert_string_equal(buf_c(&kept), "+/n/b=2 +/n/c=3");
        assert_string_equal(buf_c(&other), "");
        store_watch_free(late);
        store_watch_free(early);
        store_watch_free(w);
}

static void keeps_no_changes_before_the_first_watch(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * KiB), again = BUF_MAX(1 * KiB);

        put(f, "/a", "1");
        uint64_t seen = revision_of(f, "/a");
        struct store_watch *w = store_watch_new(f->b.store, STR("/"), seen, &note_all, &received);
        turn(f);
        assert_string_equal(buf_c(&received), " lost");
        store_watch_free(w);
        put(f, "/b", "2");
        w = store_watch_new(f->b.store, STR("/"), seen + 1, &note_all, &again);
        turn(f);
        assert_string_equal(buf_c(&again), "+/b=2");
        store_watch_free(w);
}

static void a_watch_freed_before_it_begins_gets_nothing(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * KiB);

        put(f, "/a", "1");
        store_watch_free(store_watch_new(f->b.store, STR("/"), 1, &note_all, &received));
        turn(f);
        assert_string_equal(buf_c(&received), "");
}

static void a_watch_that_resumes_may_end_itself(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * KiB);
        struct store_watch *w = store_watch_new(f->b.store, STR("/"), 0, &note_all, &received);
        struct leaver l = { 0 };

        put(f, "/a", "1");
        put(f, "/b", "2");
        l.self = store_watch_new(f->b.store, STR("/"), revision_of(f, "/a"), &leaves, &l);
        turn(f);
        assert_int_equal(l.received, 1);
        store_watch_free(w);
}

static void all_watches_are_lost_when_changes_were_missed(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * KiB), again = BUF_MAX(1 * KiB);
        struct store_watch *w = store_watch_new(f->b.store, STR("/"), 0, &note_all, &received);

        put(f, "/a", "1");
        uint64_t seen = revision_of(f, "/a");
        store_report_lost(f->b.store, seen);
        put(f, "/b", "2");
        assert_string_equal(buf_c(&received), "+/a=1 lost");
        store_watch_free(w);
        w = store_watch_new(f->b.store, STR("/"), seen + 1, &note_all, &again);
        turn(f);
        assert_string_equal(buf_c(&again), "+/b=2");
        store_watch_free(w);
}

/* ---- leases ------------------------------------------------------------------------------------------ */

/* Lets the item of a key live from now on for this time. */
static struct error *renew(struct fixture *f, const char *key, struct duration life, uint64_t *ret_revision)
{
        struct store_txn *t = store_txn_new(f->b.store);

        store_txn_renew(t, str_of(key), walltime_add(f->b.clock.walltime, life));
        return store_bench_commit(&f->b, t, ret_revision);
}

static void a_renewed_item_lives_on_with_its_value(void **state)
{
        struct fixture *f = *state;
        uint64_t revision = 0;

        put_for(f, "/lease", "v", SECONDS(10));
        put_for(f, "/other", "v", SECONDS(10));
        fake_clock_advance(&f->b.clock, SECONDS(9));
        assert_null(renew(f, "/lease", SECONDS(10), &revision));
        assert_int_equal(revision_of(f, "/lease"), revision);
        fake_clock_advance(&f->b.clock, SECONDS(9));
        assert_list(f, "/", 10, "/lease=v");
        fake_clock_advance(&f->b.clock, SECONDS(1));
        assert_absent(f, "/lease");
}

static void an_item_that_is_gone_is_not_renewed(void **state)
{
        struct fixture *f = *state;
        struct store_txn *t;

        assert_refused(renew(f, "/missing", SECONDS(10), NULL), ERROR_ABORTED, "'/missing' does not exist");
        put_for(f, "/lease", "v", SECONDS(10));
        fake_clock_advance(&f->b.clock, SECONDS(10));
        t = store_txn_new(f->b.store);
        store_txn_put(t, STR("/written"), STR("w"), never);
        store_txn_renew(t, STR("/lease"), never);
        assert_refused(store_bench_commit(&f->b, t, NULL), ERROR_ABORTED, "'/lease' does not exist");
        assert_list(f, "/", 10, "");
        put(f, "/deleted", "v");
        t = store_txn_new(f->b.store);
        store_txn_delete(t, STR("/deleted"));
        store_txn_renew(t, STR("/deleted"), never);
        assert_null(store_bench_commit(&f->b, t, NULL));
        assert_list(f, "/", 10, "");
}

static void note_expiry(void *ctx, const struct store_item *item, bool deleted)
{
        struct buf *received = ctx;

        note_change(ctx, item, deleted);
        buf_printf(received, "@%lld", (long long)walltime_unix(item->expires));
}

static const struct store_watch_events note_expiries = { note_expiry, must_not_be_lost };

static void a_watch_gets_the_new_expiry_of_an_item(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * KiB);
        struct store_watch *w = store_watch_new(f->b.store, STR("/"), 0, &note_expiries, &received);

        put_for(f, "/lease", "v", SECONDS(10));
        assert_null(renew(f, "/lease", SECONDS(25), NULL));
        assert_string_equal(buf_c(&received), "+/lease=v@1700000010 +/lease=v@1700000025");
        store_watch_free(w);
}

/* ---- a second writer --------------------------------------------------------------------------------- */

/* Another handle of the same database, on the same loop; NULL when the backend does not allow it, with the reason checked. */
static struct store *open_second(struct fixture *f)
{
        struct store *second = NULL;
        struct error *err = store_open(&f->b.loop, f->options, &second);

        if (tested->allows_second_writer) {
                assert_null(err);
                return second;
        }
        assert_refused(err, ERROR_FAILED_PRECONDITION, "");
        return NULL;
}

static void on_second_closed(void *ctx)
{
        struct fixture *f = ctx;

        f->second_is_closed = true;
        loop_stop(&f->b.loop);
}

static void close_second(struct fixture *f, struct store *second)
{
        f->second_is_closed = false;
        store_close(second, on_second_closed, f);
        while (!f->second_is_closed)
                loop_run(&f->b.loop);
}

/* From now on the fixture's functions use this handle; returns the one that they used before. */
static struct store *use(struct fixture *f, struct store *s)
{
        struct store *before = f->b.store;

        f->b.store = s;
        return before;
}

static void a_second_writer_is_served_or_refused(void **state)
{
        struct fixture *f = *state;
        struct store *second = open_second(f);

        put(f, "/a", "1");
        if (second == NULL)
                return;
        struct store *first = use(f, second);
        assert_holds(f, "/a", "1");
        put(f, "/a", "2");
        use(f, first);
        assert_holds(f, "/a", "2");
        close_second(f, second);
        assert_holds(f, "/a", "2");
}

static void a_watch_gets_writes_deletes_and_expiry_of_others(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * KiB), own = BUF_MAX(1 * KiB);
        struct store *second = open_second(f);

        if (second == NULL)
                return;
        struct store_watch *w = store_watch_new(f->b.store, STR("/n/"), 0, &note_changes, &received);
        struct store_watch *w2 = store_watch_new(second, STR("/n/"), 0, &note_changes, &own);
        struct store *first = use(f, second);
        put(f, "/n/a", "1");
        put_for(f, "/n/b", "2", SECONDS(10));
        use(f, first);
        put(f, "/n/c", "3");
        use(f, second);
        struct store_txn *t = store_txn_new(second);
        store_txn_delete(t, STR("/n/a"));
        store_txn_put(t, STR("/n/d"), STR("4"), never);
        assert_null(store_bench_commit(&f->b, t, NULL));
        fake_clock_advance(&f->b.clock, SECONDS(11));
        put(f, "/n/e", "5"); /* removes expired items, too */
        use(f, first);
        assert_string_equal(buf_c(&received), "+/n/a=1 +/n/b=2 +/n/c=3 -/n/a +/n/d=4 -/n/b +/n/e=5");
        assert_string_equal(buf_c(&own), buf_c(&received));
        store_watch_free(w);
        store_watch_free(w2);
        close_second(f, second);
}

static void a_requirement_fails_after_the_write_of_another(void **state)
{
        struct fixture *f = *state;
        struct store *second = open_second(f);

        if (second == NULL)
                return;
        put(f, "/counter", "0");
        uint64_t seen = revision_of(f, "/counter");
        struct store_txn *t = store_txn_new(f->b.store);
        store_txn_require(t, STR("/counter"), seen);
        store_txn_put(t, STR("/counter"), STR("1"), never);
        struct store *first = use(f, second);
        put(f, "/counter", "7");
        use(f, first);
        assert_refused(store_bench_commit(&f->b, t, NULL), ERROR_ABORTED, "'/counter' was changed meanwhile");
        assert_holds(f, "/counter", "7");
        close_second(f, second);
}

static void a_watch_resumes_behind_the_writes_of_another(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) first_part = BUF_MAX(1 * KiB), rest = BUF_MAX(1 * KiB), late = BUF_MAX(1 * KiB);
        struct store *second = open_second(f);

        if (second == NULL)
                return;
        struct store_watch *w = store_watch_new(f->b.store, STR("/n/"), 0, &note_all, &first_part);
        put(f, "/n/a", "1");
        uint64_t seen = revision_of(f, "/n/a");
        store_watch_free(w);
        struct store *first = use(f, second);
        put(f, "/n/b", "2");
        w = store_watch_new(first, STR("/n/"), seen + 1, &note_all, &rest);
        put(f, "/n/c", "3");
        use(f, first);
        assert_string_equal(buf_c(&first_part), "+/n/a=1");
        assert_string_equal(buf_c(&rest), "+/n/b=2 +/n/c=3");
        store_watch_free(w);
        w = store_watch_new(second, STR("/n/"), seen, &note_all, &late); /* the first watch of that handle */
        turn(f);
        assert_string_equal(buf_c(&late), " lost");
        store_watch_free(w);
        close_second(f, second);
}

static void a_lease_renewed_by_another_lives_on(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) received = BUF_MAX(1 * KiB);
        struct store *second = open_second(f);

        if (second == NULL)
                return;
        put_for(f, "/lease", "v", SECONDS(10));
        struct store_watch *w = store_watch_new(f->b.store, STR("/"), 0, &note_expiries, &received);
        struct store *first = use(f, second);
        assert_null(renew(f, "/lease", SECONDS(25), NULL));
        use(f, first);
        fake_clock_advance(&f->b.clock, SECONDS(20));
        assert_holds(f, "/lease", "v");
        assert_string_equal(buf_c(&received), "+/lease=v@1700000025");
        store_watch_free(w);
        close_second(f, second);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        const struct CMUnitTest tests[] = {
                ROW(a_watch_gets_the_changes_under_its_prefix_in_order),
                ROW(a_watch_gets_a_change_before_the_writer),
                ROW(a_watch_may_end_itself_in_its_callback),
                ROW(a_watch_resumes_from_a_revision),
                ROW(a_watch_from_a_later_revision_waits_for_it),
                ROW(a_page_and_its_watch_miss_nothing),
                ROW(a_watch_is_lost_when_its_changes_are_forgotten),
                ROW(keeps_no_changes_before_the_first_watch),
                ROW(a_watch_freed_before_it_begins_gets_nothing),
                ROW(a_watch_that_resumes_may_end_itself),
                ROW(all_watches_are_lost_when_changes_were_missed),
                ROW(a_renewed_item_lives_on_with_its_value),
                ROW(an_item_that_is_gone_is_not_renewed),
                ROW(a_watch_gets_the_new_expiry_of_an_item),
                ROW(a_second_writer_is_served_or_refused),
                ROW(a_watch_gets_writes_deletes_and_expiry_of_others),
                ROW(a_requirement_fails_after_the_write_of_another),
                ROW(a_watch_resumes_behind_the_writes_of_another),
                ROW(a_lease_renewed_by_another_lives_on),
        };
#undef ROW
        int failed = 0;

        for (size_t i = 0; store_backends[i] != NULL; i++) {
                tested = store_backends[i];
                failed += cmocka_run_group_tests_name(tested->type, tests, NULL, NULL);
        }
        return failed;
}
