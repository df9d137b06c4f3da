/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of the database for backups, and the check of a database that no process has open. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error_testing.h"
#include "base/mem.h"
#include "os/file.h"
#include "store/sqlite/sqlite_api.h"
#include "store/store_testing.h"

enum { ITEMS = 300, STEP = 40, PART = 32 * KiB, FILE_MAX = 8 * MiB };

static const struct walltime never = { 0 };

struct fixture {
        struct store_bench bench;
        char *dir, *copy_dir, *copy;
        struct store_snapshot info;
        struct buf part;
        struct error *err;
};

/* The backend gets this multiple of the length of the write-ahead log. */
static int pages_factor = 1;
static __typeof__(sqlite3_wal_hook) *real_wal_hook;
static int (*backend_hook)(void *ctx, sqlite3 *db, const char *name, int pages);

static int enlarge(void *ctx, sqlite3 *db, const char *name, int pages)
{
        return backend_hook(ctx, db, name, pages * pages_factor);
}

static void *enlarging_wal_hook(sqlite3 *db, int (*hook)(void *ctx, sqlite3 *db, const char *name, int pages), void *ctx)
{
        backend_hook = hook;
        return real_wal_hook(db, enlarge, ctx);
}

void sqlite_api_loaded(struct sqlite_api *api)
{
        real_wal_hook = api->wal_hook;
        api->wal_hook = enlarging_wal_hook;
}

static void put(struct fixture *f, const char *prefix, int from, int to, size_t size)
{
        struct store_txn *t = store_txn_new(f->bench.store);

        for (int i = from; i < to; i++) {
                AUTO_MEM char *key = mem_printf("%s%d", prefix, i);
                AUTO_MEM char *value = mem_printf("%0*d", (int)size, i);

                store_txn_put(t, str_of(key), str_of(value), never);
        }
        assert_done(store_bench_commit(&f->bench, t, NULL));
}

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        pages_factor = 1;
        f->dir = store_bench_dir();
        f->copy_dir = store_bench_dir();
        f->copy = mem_printf("%s/sqlite.db", f->copy_dir);
        f->part = BUF_MAX(PART);
        assert_done(store_bench_open(&f->bench, (struct store_options){ .path = f->dir }));
        put(f, "/before/", 0, ITEMS, 500);
        *state = f;
        return 0;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        if (f->bench.store != NULL)
                store_bench_close(&f->bench);
        store_bench_remove(f->dir);
        store_bench_remove(f->copy_dir);
        free(f->dir);
        free(f->copy_dir);
        free(f->copy);
        buf_release(&f->part);
        error_free(f->err);
        free(f);
        return 0;
}

static void on_begun(void *ctx, const struct store_snapshot *info, struct error *err)
{
        struct fixture *f = ctx;

        f->err = err;
        if (err == NULL)
                f->info = *info;
        loop_stop(&f->bench.loop);
}

static void begin(struct fixture *f)
{
        store_snapshot_begin(f->bench.store, on_begun, f);
        loop_run(&f->bench.loop);
}

static void on_part(void *ctx, struct str bytes, struct error *err)
{
        struct fixture *f = ctx;

        f->err = err;
        buf_clear(&f->part);
        buf_put(&f->part, bytes);
        loop_stop(&f->bench.loop);
}

static struct str read_part(struct fixture *f, uint64_t offset)
{
        store_snapshot_read(f->bench.store, offset, PART, on_part, f);
        loop_run(&f->bench.loop);
        return buf_str(&f->part);
}

static size_t count_items(struct fixture *f, const char *prefix)
{
        size_t count = 0;

        for (int i = 0; i < ITEMS; i++) {
                AUTO_MEM char *key = mem_printf("%s%d", prefix, i);
                AUTO_MEM char *value = NULL;

                assert_done(store_bench_get(&f->bench, key, &value, NULL));
                count += value != NULL;
        }
        return count;
}

/* Writes between the parts, together more than the log may have before a checkpoint. */
static void copies_the_state_of_one_moment_while_writes_go_on(void **state)
{
        struct fixture *f = *state;
        uint64_t offset = 0;
        int written = 0;

        begin(f);
        assert_done(f->err);
        assert_true(f->info.revision == 1 && f->info.format == 1 && f->info.size % 4096 == 0);
        AUTO_FD int fd = open(f->copy, O_WRONLY | O_CREAT | O_EXCL, 0600);
        while (offset < f->info.size) {
                struct str part = read_part(f, offset);

                assert_done(f->err);
                assert_true(part.len > 0);
                assert_int_equal(write(fd, part.ptr, part.len), part.len);
                offset += part.len;
                put(f, "/before/", written, written + STEP, 40 * KiB); /* overwritten */
                put(f, "/after/", written, written + STEP, 8 * KiB);
                written += STEP;
        }
        assert_int_equal(offset, f->info.size);
        assert_true(written > 200 && written <= ITEMS);
        assert_int_equal(read_part(f, offset).len, 0);
        store_snapshot_end(f->bench.store);
        assert_int_equal(count_items(f, "/after/"), written);
        store_bench_close(&f->bench);

        assert_done(store_bench_open(&f->bench, (struct store_options){ .path = f->copy_dir }));
        assert_int_equal(count_items(f, "/before/"), ITEMS);
        assert_int_equal(count_items(f, "/after/"), 0);
        AUTO_MEM char *value = NULL;
        assert_done(store_bench_get(&f->bench, "/before/7", &value, NULL));
        assert_int_equal(strlen(value), 500);
}

/* A reader that is too slow must not let the log fill the disk. The log seems larger than it is, as 256 MiB take time to write. */
static void gives_up_a_copy_when_the_log_is_too_large(void **state)
{
        struct fixture *f = *state;
        int written = 0;

        pages_factor = LIMIT_STORE_SNAPSHOT_LOG / (1 * MiB);
        begin(f);
        for (; read_part(f, 0).len == PART; written++) {
                assert_true(written < ITEMS);
                put(f, "/after/", written, written + 1, 8 * KiB);
        }
        assert_code(f->err, ERROR_ABORTED);
        assert_true(written > 20);
        begin(f); /* another one may begin */
        assert_done(f->err);
        assert_int_equal(read_part(f, 0).len, PART);
        store_snapshot_end(f->bench.store);
}

static void has_no_copy_of_a_store_in_memory(void **state)
{
        struct fixture *f = *state;

        store_bench_close(&f->bench);
        assert_done(store_bench_open(&f->bench, (struct store_options){ .type = "memory" }));
        begin(f);
        assert_code(f->err, ERROR_UNIMPLEMENTED);
        f->err = NULL;
        store_snapshot_end(f->bench.store);
}

/* ---- the check ------------------------------------------------------------------------------------- */

static struct error *count_item(void *ctx, const struct store_item *item)
{
        (void)item;
        --*(int *)ctx;
        return *(int *)ctx == 0 ? error_new(ERROR_CANCELLED, "enough") : NULL;
}

static struct error *check(const struct fixture *f, int most, struct store_checked *ret)
{
        return store_check((struct store_options){ .path = f->dir }, count_item, &most, ret);
}

static void checks_a_database_that_is_closed(void **state)
{
        struct fixture *f = *state;
        struct store_checked found = { 0 };

        assert_code(check(f, -1, &found), ERROR_FAILED_PRECONDITION); /* it is open */
        store_bench_close(&f->bench);
        f->bench.store = NULL;
        assert_done(check(f, -1, &found));
        assert_true(found.items == ITEMS && found.revision == 1 && found.format == 1);
        assert_code(check(f, 5, &found), ERROR_CANCELLED);
        AUTO_MEM char *none = mem_printf("%s/none", f->dir);
        assert_code(store_check((struct store_options){ .path = none }, NULL, NULL, &found), ERROR_NOT_FOUND);
        assert_int_not_equal(access(none, F_OK), 0);
}

/* As a crash leaves it, with commits that are only in the log. */
static void checks_the_log_too_and_changes_nothing(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *db = mem_printf("%s/sqlite.db", f->dir);
        AUTO_MEM char *log = mem_printf("%s/sqlite.db-wal", f->dir);
        AUTO_MEM char *copied_log = mem_printf("%s/sqlite.db-wal", f->copy_dir);
        AUTO(buf) bytes = BUF_MAX(FILE_MAX);
        AUTO(buf) log_bytes = BUF_MAX(FILE_MAX);
        AUTO(buf) after = BUF_MAX(FILE_MAX);
        struct store_checked found = { 0 };
        int most = -1;

        assert_done(file_read(db, &bytes));
        assert_done(file_read(log, &log_bytes));
        assert_true(log_bytes.len > 4096);
        assert_done(file_write_atomic(f->copy, buf_str(&bytes), 0600));
        assert_done(file_write_atomic(copied_log, buf_str(&log_bytes), 0600));
        assert_done(store_check((struct store_options){ .path = f->copy_dir }, count_item, &most, &found));
        assert_int_equal(found.items, ITEMS);
        assert_done(file_read(f->copy, &after));
        assert_true(str_equal(buf_str(&after), buf_str(&bytes)));
        buf_clear(&after);
        assert_done(file_read(copied_log, &after));
        assert_true(str_equal(buf_str(&after), buf_str(&log_bytes)));
}

static void finds_damage(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *db = mem_printf("%s/sqlite.db", f->dir);
        AUTO(buf) bytes = BUF_MAX(FILE_MAX);
        struct store_checked found = { 0 };

        store_bench_close(&f->bench);
        f->bench.store = NULL;
        assert_done(file_read(db, &bytes));
        char *at = memmem(bytes.ptr, bytes.len, "0000000007", 10);
        assert_non_null(at);
        *at = '1';
        assert_done(file_write_atomic(db, buf_str(&bytes), 0600));
        assert_code(check(f, -1, &found), ERROR_DATA_LOSS);
        assert_int_equal(truncate(db, 0), 0);
        assert_code(check(f, -1, &found), ERROR_DATA_LOSS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(copies_the_state_of_one_moment_while_writes_go_on),
                TEST(gives_up_a_copy_when_the_log_is_too_large),
                TEST(has_no_copy_of_a_store_in_memory),
                TEST(checks_a_database_that_is_closed),
                TEST(checks_the_log_too_and_changes_nothing),
                TEST(finds_damage),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
