/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/stat.h>

#include "auth/core/outbox.h"
#include "base/limits.h"
#include "os/file_testing.h"
#include "store/store_testing.h"

struct fixture {
        struct store_bench b; /* in memory, so that a full disk affects events.log only */
        struct audit_log *log;
        struct outbox *outbox;
        char *dir;
        bool is_ready, is_closed;
        struct error *ready_err;
};

static const struct walltime never = { 0 };

static void on_ready(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        f->is_ready = true;
        f->ready_err = err;
        loop_stop(&f->b.loop);
}

static void open_outbox(struct fixture *f)
{
        assert_null(audit_log_open(&f->b.loop, f->dir, &f->log));
        f->is_ready = false;
        f->outbox = outbox_open(&f->b.loop, f->b.store, f->log, on_ready, f);
        while (!f->is_ready)
                loop_run(&f->b.loop);
}

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = test_dir_new();
        assert_null(store_bench_open(&f->b, (struct store_options){ .type = "memory" }));
        *state = f;
        return 0;
}

static void on_closed(void *ctx)
{
        struct fixture *f = ctx;

        f->is_closed = true;
        loop_stop(&f->b.loop);
}

static void wait_closed(struct fixture *f)
{
        while (!f->is_closed)
                loop_run(&f->b.loop);
        f->is_closed = false;
}

static void close_outbox(struct fixture *f)
{
        outbox_close(f->outbox, on_closed, f);
        wait_closed(f);
        audit_log_close(f->log, on_closed, f);
        wait_closed(f);
        f->outbox = NULL;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        if (f->outbox != NULL)
                close_outbox(f);
        store_bench_close(&f->b);
        test_dir_free(f->dir);
        free(f);
        return 0;
}

/* A transaction that requires a revision of /gate, writes /host and adds an event. */
static struct error *commit_audited(struct fixture *f, const char *node, uint64_t gate)
{
        struct store_txn *t = store_txn_new(f->b.store);
        struct audit_record r;

        audit_begin(&r, &audit_instance_join, f->b.clock.walltime, STR("example.com"));
        audit_str(&r, "node_name", str_of(node));
        store_txn_require(t, STR("/gate"), gate);
        store_txn_put(t, STR("/host"), str_of(node), never);
        outbox_add(f->outbox, t, &r);
        return store_bench_commit(&f->b, t, NULL);
}

static size_t count_in_log(struct fixture *f, const char *node)
{
        AUTO_MEM char *path = path_in(f->dir, "events.log");
        AUTO_MEM char *mark = mem_printf("\"node_name\":\"%s\"", node);
        AUTO(buf) text = BUF_MAX(1 * MiB);
        size_t count = 0;

        assert_null(file_read(path, &text));
        for (const char *at = buf_c(&text); (at = strstr(at, mark)) != NULL; at++)
                count++;
        return count;
}

struct leftovers {
        struct fixture *f;
        size_t count;
        bool is_done;
};

static void on_outbox_page(void *ctx, const struct store_page *page, struct error *err)
{
        struct leftovers *l = ctx;

        assert_null(err);
        l->count += page->count;
        if (!page->is_last) {
                store_range(l->f->b.store, STR("/audit/outbox/"), page->items[page->count - 1].key, LIMIT_STORE_RANGE, on_outbox_page, l);
                return;
        }
        l->is_done = true;
        loop_stop(&l->f->b.loop);
}

static size_t count_in_store(struct fixture *f)
{
        struct leftovers l = { .f = f };

        store_range(f->b.store, STR("/audit/outbox/"), STR(""), LIMIT_STORE_RANGE, on_outbox_page, &l);
        while (!l.is_done)
                loop_run(&f->b.loop);
        return l.count;
}

static void an_event_moves_from_the_store_to_the_log(void **state)
{
        struct fixture *f = *state;

        open_outbox(f);
        assert_null(commit_audited(f, "web-1", 0));
        assert_null(commit_audited(f, "web-2", 0));
        close_outbox(f);
        assert_int_equal(count_in_log(f, "web-1"), 1);
        assert_int_equal(count_in_log(f, "web-2"), 1);
        assert_int_equal(count_in_store(f), 0);
}

static void a_refused_transaction_writes_no_event(void **state)
{
        struct fixture *f = *state;

        open_outbox(f);
        assert_code(commit_audited(f, "web-1", STORE_ANY), ERROR_ABORTED);
        close_outbox(f);
        assert_int_equal(count_in_log(f, "web-1"), 0);
}

/* As a crash leaves it: committed, and perhaps in the log already. */
static void leave_behind(struct fixture *f, const char *node, bool is_in_log)
{
        AUTO_MEM char *path = path_in(f->dir, "events.log");
        struct audit_record r;

        audit_begin(&r, &audit_instance_join, f->b.clock.walltime, STR("example.com"));
        audit_str(&r, "node_name", str_of(node));
        AUTO_MEM char *key = mem_printf("/audit/outbox/%s", r.uid);
        assert_null(store_bench_put(&f->b, key, audit_record_text(&r), never, NULL));
        if (is_in_log)
                assert_null(file_write_atomic(path, audit_record_text(&r), 0640));
        audit_record_release(&r);
}

static void events_of_a_crashed_run_reach_the_log_once(void **state)
{
        struct fixture *f = *state;

        leave_behind(f, "logged", true);
        leave_behind(f, "lost", false);
        open_outbox(f);
        assert_null(f->ready_err);
        assert_int_equal(count_in_log(f, "logged"), 1);
        assert_int_equal(count_in_log(f, "lost"), 1);
        close_outbox(f);
        assert_int_equal(count_in_store(f), 0);
        open_outbox(f);
        assert_int_equal(count_in_log(f, "lost"), 1);
}

static void finds_events_in_files_that_were_rotated_away(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_in(f->dir, "events.log");
        AUTO_MEM char *first = mem_printf("%s.1", path);
        AUTO_MEM char *second = path_in(f->dir, "events-20261128.log");

        leave_behind(f, "moved", true);
        assert_int_equal(rename(path, first), 0);
        leave_behind(f, "moved-too", true);
        assert_int_equal(rename(path, second), 0);
        leave_behind(f, "lost", false);
        open_outbox(f);
        assert_null(f->ready_err);
        assert_int_equal(count_in_log(f, "moved"), 0);
        assert_int_equal(count_in_log(f, "moved-too"), 0);
        assert_int_equal(count_in_log(f, "lost"), 1);
        close_outbox(f);
        assert_int_equal(count_in_store(f), 0);
}

static void many_left_events_are_all_found(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < LIMIT_STORE_RANGE + 5; i++)
                leave_behind(f, "web", false);
        open_outbox(f);
        assert_int_equal(count_in_log(f, "web"), LIMIT_STORE_RANGE + 5);
}

/* More than the log takes into memory: pages wait until it has written. */
static void reads_no_more_left_events_than_the_log_takes(void **state)
{
        enum { COUNT = LIMIT_AUDIT_WAITING / LIMIT_AUDIT_RECORD + 300 };
        struct fixture *f = *state;
        AUTO_MEM char *path = path_in(f->dir, "events.log");
        AUTO_MEM char *line = mem_alloc(LIMIT_AUDIT_RECORD);

        memset(line, 'x', LIMIT_AUDIT_RECORD);
        line[0] = '{';
        line[LIMIT_AUDIT_RECORD - 1] = '\n';
        for (int i = 0; i < COUNT; i++) {
                AUTO_MEM char *key = mem_printf("/audit/outbox/%08d-0000-4000-8000-000000000000", i);

                assert_null(store_bench_put(&f->b, key, str_of_bytes(line, LIMIT_AUDIT_RECORD), never, NULL));
        }
        open_outbox(f);
        assert_null(f->ready_err);
        assert_int_equal(size_of(path), (off_t)COUNT * LIMIT_AUDIT_RECORD);
}

static void nothing_is_begun_while_the_log_is_behind(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *line = mem_alloc(LIMIT_AUDIT_RECORD);

        open_outbox(f);
        memset(line, 'x', LIMIT_AUDIT_RECORD);
        line[0] = '{';
        line[LIMIT_AUDIT_RECORD - 1] = '\n';
        while (audit_log_waiting(f->log) <= LIMIT_AUDIT_WAITING / 2)
                audit_append_text(f->log, str_of_bytes(line, LIMIT_AUDIT_RECORD), NULL, NULL);
        assert_code(commit_audited(f, "web-1", 0), ERROR_RESOURCE_EXHAUSTED);
        while (audit_log_waiting(f->log) > 0)
                uv_run(&f->b.loop.uv, UV_RUN_ONCE);
        assert_null(commit_audited(f, "web-2", 0));
}

static void nothing_happens_unaudited_while_the_log_is_full(void **state)
{
        struct fixture *f = *state;
        struct error *err = NULL;

        open_outbox(f);
        limit_file_size(10);
        for (int i = 0; i <= LIMIT_OUTBOX_WAITING && err == NULL; i++) /* those before the first failed append are safe in the store */
                err = commit_audited(f, "web-1", 0);
        limit_file_size(RLIM_INFINITY);
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_RESOURCE_EXHAUSTED);
        error_free(err);
        size_t accepted = count_in_store(f);
        assert_true(accepted > 0);
        while ((err = commit_audited(f, "web-2", 0)) != NULL) { /* space is available again: the next attempt succeeds */
                error_free(err);
                loop_advance(&f->b.loop, &f->b.clock, SECONDS(60));
        }
        close_outbox(f);
        assert_int_equal(count_in_log(f, "web-1"), accepted);
        assert_int_equal(count_in_log(f, "web-2"), 1);
}

static void fails_at_the_start_when_the_log_cannot_be_written(void **state)
{
        struct fixture *f = *state;

        leave_behind(f, "web-1", false);
        limit_file_size(10);
        open_outbox(f);
        limit_file_size(RLIM_INFINITY);
        assert_non_null(f->ready_err);
        assert_int_equal(f->ready_err->code, ERROR_RESOURCE_EXHAUSTED);
        error_free(f->ready_err);
        close_outbox(f);
        assert_int_equal(count_in_store(f), 1);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        const struct CMUnitTest tests[] = {
                ROW(an_event_moves_from_the_store_to_the_log),
                ROW(a_refused_transaction_writes_no_event),
                ROW(events_of_a_crashed_run_reach_the_log_once),
                ROW(finds_events_in_files_that_were_rotated_away),
                ROW(many_left_events_are_all_found),
                ROW(reads_no_more_left_events_than_the_log_takes),
                ROW(nothing_is_begun_while_the_log_is_behind),
                ROW(nothing_happens_unaudited_while_the_log_is_full),
                ROW(fails_at_the_start_when_the_log_cannot_be_written),
        };
#undef ROW
        return cmocka_run_group_tests(tests, NULL, NULL);
}
