/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Databases that were damaged, lost or exchanged while no process ran: the start refuses, and changes nothing.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/file.h"
#include "store/sqlite/sqlite_api.h"
#include "store/store_testing.h"

enum { ITEMS = 60, FILE_MAX = 4 * MiB };

static const struct walltime never = { 0 };

struct fixture {
        char *dir, *db, *marker;
        struct buf old;   /* the database before the last item was put */
        struct buf newest;
};

static void read_whole(const char *path, struct buf *out)
{
        *out = BUF_MAX(FILE_MAX);
        assert_null(file_read(path, out));
}

static void replace(const char *path, struct str bytes)
{
        AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        assert_int_equal(write(fd, bytes.ptr, bytes.len), bytes.len);
}

static void put_items(const char *dir, int first, int end)
{
        struct store_bench b;

        assert_null(store_bench_open(&b, (struct store_options){ .path = dir }));
        for (int i = first; i < end; i++) {
                AUTO_MEM char *key = mem_printf("/item/%03d", i);
                AUTO_MEM char *value = mem_printf("%0*d", 1 + i * 7, i); /* some overflow their page */

                assert_null(store_bench_put(&b, key, str_of(value), i % 2 ? never : walltime_of_unix(4000000000), NULL));
        }
        store_bench_close(&b);
}

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = store_bench_dir();
        f->db = mem_printf("%s/sqlite.db", f->dir);
        f->marker = mem_printf("%s/initialised", f->dir);
        put_items(f->dir, 0, ITEMS - 1);
        read_whole(f->db, &f->old);
        put_items(f->dir, ITEMS - 1, ITEMS);
        read_whole(f->db, &f->newest);
        *state = f;
        return 0;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        store_bench_remove(f->dir);
        buf_release(&f->old);
        buf_release(&f->newest);
        free(f->dir);
        free(f->db);
        free(f->marker);
        free(f);
        return 0;
}

static void assert_refused(struct fixture *f, enum error_code code, const char *words)
{
        struct store_bench b;
        struct error *err = store_bench_open(&b, (struct store_options){ .path = f->dir });

        assert_non_null(err);
        if (err->code != code || strstr(err->what, words) == NULL)
                fail_msg("refused with %s: %s", error_code_name(err->code), err->what);
        if (code == ERROR_DATA_LOSS)
                assert_non_null(err->hint);
        error_free(err);
}

static void assert_unchanged(const char *path, struct str before)
{
        AUTO(buf) after = BUF_MAX(1);

        read_whole(path, &after);
        assert_int_equal(after.len, before.len);
        assert_memory_equal(after.ptr, before.ptr, before.len);
}

static bool all_items_are_right(struct store_bench *b, int end)
{
        for (int i = 0; i < end; i++) {
                AUTO_MEM char *key = mem_printf("/item/%03d", i);
                AUTO_MEM char *expected = mem_printf("%0*d", 1 + i * 7, i);
                AUTO_MEM char *value = NULL;

                assert_null(store_bench_get(b, key, &value, NULL));
                if (value == NULL || strcmp(value, expected) != 0)
                        return false;
        }
        return true;
}

static void assert_opens(struct fixture *f, int items)
{
        struct store_bench b;
        struct error *err = store_bench_open(&b, (struct store_options){ .path = f->dir });

        if (err != NULL)
                fail_msg("refused: %s", err->what);
        assert_true(all_items_are_right(&b, items));
        store_bench_close(&b);
}

/* ---- lost and exchanged ------------------------------------------------------------------------------ */

static void refuses_to_start_without_the_database_it_had(void **state)
{
        struct fixture *f = *state;

        unlink(f->db);
        assert_refused(f, ERROR_DATA_LOSS, "is missing");
        assert_int_not_equal(access(f->db, F_OK), 0);
}

static void refuses_an_empty_database(void **state)
{
        struct fixture *f = *state;

        replace(f->db, STR(""));
        assert_refused(f, ERROR_DATA_LOSS, "is empty");
}

static void refuses_a_database_without_our_tables(void **state)
{
        struct fixture *f = *state;
        sqlite3 *db = NULL;

        unlink(f->db);
        assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "CREATE TABLE other (x)", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        assert_refused(f, ERROR_DATA_LOSS, "not one of ours");
}

static void refuses_an_older_copy_until_the_marker_is_removed(void **state)
{
        struct fixture *f = *state;

        replace(f->db, buf_str(&f->old));
        assert_refused(f, ERROR_DATA_LOSS, "older than this cluster");
        assert_unchanged(f->db, buf_str(&f->old));
        unlink(f->marker);
        assert_opens(f, ITEMS - 1);
        assert_opens(f, ITEMS - 1);
}

static void the_marker_follows_a_store_that_stays_open(void **state)
{
        struct fixture *f = *state;
        struct store_bench b;
        AUTO(buf) before = BUF_MAX(1), after = BUF_MAX(1);

        read_whole(f->marker, &before);
        assert_null(store_bench_open(&b, (struct store_options){ .path = f->dir }));
        assert_null(store_bench_put(&b, "/a", STR("v"), never, NULL));
        loop_advance(&b.loop, &b.clock, MILLISECONDS(TIMEOUT_STORE_MARKER));
        assert_null(store_bench_put(&b, "/b", STR("v"), never, NULL));
        read_whole(f->marker, &after);
        assert_string_not_equal(buf_c(&before), buf_c(&after));
        store_bench_close(&b);
}

static void refuses_the_database_of_another_cluster(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *other = store_bench_dir();
        AUTO_MEM char *other_db = mem_printf("%s/sqlite.db", other);
        AUTO(buf) foreign = BUF_MAX(1);

        put_items(other, 0, ITEMS + 5);
        read_whole(other_db, &foreign);
        replace(f->db, buf_str(&foreign));
        assert_refused(f, ERROR_DATA_LOSS, "not the one this cluster");
        store_bench_remove(other);
}

static void refuses_a_damaged_marker(void **state)
{
        struct fixture *f = *state;
        static const char *const texts[] = {
                "", "identity 00\nrevision 5\n", "revision 5\n", "identity 000102030405060708090a0b0c0d0e0f\n",
                "identity 000102030405060708090a0b0c0d0e0f\nrevision -5\n", "identity 000102030405060708090a0b0c0d0e0f00\nrevision 1\n",
        };

        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                replace(f->marker, str_of(texts[i]));
                assert_refused(f, ERROR_DATA_LOSS, "initialised' is damaged");
        }
}

static void a_first_start_that_crashed_before_its_marker_is_completed(void **state)
{
        struct fixture *f = *state;

        unlink(f->marker);
        assert_opens(f, ITEMS);
        assert_int_equal(access(f->marker, F_OK), 0);
        AUTO_MEM char *fresh = store_bench_dir();
        AUTO_MEM char *db = mem_printf("%s/sqlite.db", fresh);
        replace(db, STR("")); /* it crashed before it created its tables */
        put_items(fresh, 0, 1);
        store_bench_remove(fresh);
}

/* ---- tampered ---------------------------------------------------------------------------------------- */

static void alter(struct fixture *f, const char *sql)
{
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s", sqlite3_errmsg(db));
        sqlite3_close(db);
}

static void refuses_tables_and_triggers_that_are_not_ours(void **state)
{
        struct fixture *f = *state;
        static const char *const changes[] = {
                "CREATE TABLE extra (x)",
                "CREATE TRIGGER t AFTER INSERT ON item BEGIN DELETE FROM item; END",
                "CREATE VIEW v AS SELECT * FROM item",
                "DROP INDEX item_expires",
                "ALTER TABLE item ADD COLUMN extra INTEGER",
        };

        for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
                replace(f->db, buf_str(&f->newest));
                alter(f, changes[i]);
                assert_refused(f, ERROR_DATA_LOSS, "tables of the database");
        }
}

static void refuses_items_that_were_edited_by_hand(void **state)
{
        struct fixture *f = *state;
        static const char *const changes[] = {
                "UPDATE item SET value = x'00' WHERE key = CAST('/item/003' AS BLOB)",
                "UPDATE item SET expires = 0",
                "UPDATE item SET key = CAST('/item/9' AS BLOB) WHERE key = CAST('/item/003' AS BLOB)",
                "UPDATE item SET revision = revision + 1",
        };

        for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
                replace(f->db, buf_str(&f->newest));
                alter(f, changes[i]);
                assert_refused(f, ERROR_DATA_LOSS, "does not match its checksum");
        }
        replace(f->db, buf_str(&f->newest));
        alter(f, "DELETE FROM cluster");
        assert_refused(f, ERROR_DATA_LOSS, "does not name its cluster");
}

static void refuses_a_database_of_a_newer_version(void **state)
{
        struct fixture *f = *state;

        alter(f, "PRAGMA user_version = 2");
        assert_refused(f, ERROR_FAILED_PRECONDITION, "newer version");
}

/* ---- damaged ----------------------------------------------------------------------------------------- */

static void refuses_a_truncated_database(void **state)
{
        struct fixture *f = *state;
        const size_t sizes[] = { 1, 50, 100, 4095, 4096, f->newest.len / 2, f->newest.len - 4096, f->newest.len - 1 };

        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                struct str rest = str_slice(buf_str(&f->newest), 0, sizes[i]);

                replace(f->db, rest);
                assert_refused(f, ERROR_DATA_LOSS, "");
        }
}

/* Either the damage is found, or it is in unused space: then every item is unchanged. */
static void flip(struct fixture *f, size_t at, uint8_t mask)
{
        struct store_bench b;

        replace(f->db, buf_str(&f->newest));
        int fd = open(f->db, O_WRONLY);
        uint8_t byte = (uint8_t)f->newest.ptr[at] ^ mask;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
        close(fd);
        struct error *err = store_bench_open(&b, (struct store_options){ .path = f->dir });
        if (err != NULL) {
                if (err->code != ERROR_DATA_LOSS && err->code != ERROR_FAILED_PRECONDITION && err->code != ERROR_UNAVAILABLE)
                        fail_msg("byte %zu: %s %s", at, error_code_name(err->code), err->what);
                error_free(err);
                return;
        }
        if (!all_items_are_right(&b, ITEMS))
                fail_msg("byte %zu of the database was changed to %02x, and nobody noticed", at, byte);
        store_bench_close(&b);
}

static void a_flipped_byte_is_found_or_harmless(void **state)
{
        struct fixture *f = *state;

        for (size_t at = 0; at < 100; at++) /* the header */
                flip(f, at, 0xff);
        for (size_t at = 100; at < f->newest.len; at += 307)
                flip(f, at, at % 2 ? 0xff : 0x01);
}

/* ---- taken ------------------------------------------------------------------------------------------- */

static void one_process_has_the_store_at_a_time(void **state)
{
        struct fixture *f = *state;
        struct store_bench b;

        assert_null(store_bench_open(&b, (struct store_options){ .path = f->dir }));
        assert_refused(f, ERROR_FAILED_PRECONDITION, "");
        store_bench_close(&b);
        assert_opens(f, ITEMS);
}

static void only_the_owner_can_read_its_files(void **state)
{
        struct fixture *f = *state;
        struct stat st;

        assert_int_equal(stat(f->dir, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        assert_int_equal(stat(f->db, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(stat(f->marker, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
}

static void refuses_a_type_of_store_it_does_not_know(void **state)
{
        struct fixture *f = *state;
        struct store_bench b;
        struct error *err = store_bench_open(&b, (struct store_options){ "etcd\n", f->dir });

        assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
        assert_null(strchr(err->what, '\n'));
        error_free(err);
}

/* ---- the disk ----------------------------------------------------------------------------------------- */

enum { MANY = 6000 };

static off_t size_of(const char *path)
{
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        return st.st_size;
}

/* Records like those of hosts; they expire after the time unless it is 0. */
static void put_many(struct store_bench *b, const char *prefix, int count, struct walltime expires)
{
        for (int from = 0; from < count; from += 500) {
                struct store_txn *t = store_txn_new(b->store);

                for (int i = from; i < from + 500 && i < count; i++) {
                        AUTO_MEM char *key = mem_printf("%s%08x-%d", prefix, (unsigned)i * 2654435761u, i);
                        AUTO_MEM char *value = mem_printf("%0350d", i);

                        store_txn_put(t, str_of(key), str_of(value), expires);
                }
                assert_null(store_bench_commit(b, t, NULL));
        }
}

static void gives_the_space_of_expired_items_back_to_the_disk(void **state)
{
        struct fixture *f = *state;
        struct store_bench b;

        assert_null(store_bench_open(&b, (struct store_options){ .path = f->dir }));
        put_many(&b, "/stays/", 300, never);
        put_many(&b, "/ends/", MANY, walltime_add(b.clock.walltime, HOURS(1)));
        store_bench_close(&b);
        off_t full = size_of(f->db);
        assert_true(full > MANY * 400);

        assert_null(store_bench_open(&b, (struct store_options){ .path = f->dir }));
        fake_clock_advance(&b.clock, HOURS(2));
        for (int i = 0; i < 4 * MANY / LIMIT_STORE_PURGE; i++) /* each commit purges, and shrinks */
                assert_null(store_bench_put(&b, "/other", STR("x"), never, NULL));
        assert_true(all_items_are_right(&b, ITEMS));
        store_bench_close(&b);
        off_t left = size_of(f->db);
        assert_true(left < 2 * LIMIT_STORE_FREE);
        assert_true(left < full / 2);
        assert_opens(f, ITEMS);
}

/* A file of its own would be mapped: a full disk ends a process that writes there. */
static void keeps_the_index_of_its_log_in_memory(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *index = mem_printf("%s-shm", f->db);
        struct store_bench b;

        assert_null(store_bench_open(&b, (struct store_options){ .path = f->dir }));
        assert_null(store_bench_put(&b, "/other", STR("x"), never, NULL));
        assert_int_not_equal(access(index, F_OK), 0);
        store_bench_close(&b);
}

/* Names in a directory without "." and "..". */
static size_t count_entries(const char *path)
{
        DIR *d = opendir(path);
        size_t count = 0;

        assert_non_null(d);
        while (readdir(d) != NULL)
                count++;
        closedir(d);
        return count - 2;
}

static bool vacuum_needs_more; /* memory than there is */
static __typeof__(sqlite3_exec) *exec_of_library;

static int exec_with_less_memory(sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **), void *ctx, char **ret)
{
        bool is_short = vacuum_needs_more && strstr(sql, "VACUUM") != NULL;

        if (is_short)
                sqlite3_hard_heap_limit64(sqlite3_memory_used() + 1 * KiB);
        int code = exec_of_library(db, sql, row, ctx, ret);
        sqlite3_hard_heap_limit64(0);
        if (is_short)
                assert_int_equal(code, SQLITE_NOMEM);
        return code;
}

void sqlite_api_loaded(struct sqlite_api *api)
{
        exec_of_library = api->exec;
        api->exec = exec_with_less_memory;
}

/* A database of older releases, which never returned a page. All items are still there. */
static void given_a_database_of_an_older_release(struct fixture *f, int more)
{
        struct store_bench b;
        sqlite3 *db = NULL;

        assert_null(store_bench_open(&b, (struct store_options){ .path = f->dir }));
        put_many(&b, "/gone/", more, never);
        store_bench_close(&b);
        assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

static int64_t vacuum_kind(struct fixture *f)
{
        sqlite3 *db = NULL;
        sqlite3_stmt *q = NULL;

        assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA auto_vacuum", -1, &q, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(q), SQLITE_ROW);
        int64_t kind = sqlite3_column_int64(q, 0);
        sqlite3_finalize(q);
        sqlite3_close(db);
        return kind;
}

static void packs_a_database_of_an_older_release(void **state)
{
        struct fixture *f = *state;
        sqlite3 *db = NULL;

        given_a_database_of_an_older_release(f, MANY);
        assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "DELETE FROM item WHERE key >= CAST('/gone/' AS BLOB) AND key < CAST('/gone0' AS BLOB)",
                                      NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        off_t full = size_of(f->db);
        assert_true(full > MANY * 400);
        assert_opens(f, ITEMS);
        assert_true(size_of(f->db) < 1 * MiB);
        assert_opens(f, ITEMS);
}

/* With bounded memory for any size of database, and without leaving a file. */
static void packing_needs_no_memory_of_the_size_of_the_database(void **state)
{
        struct fixture *f = *state;
        struct store_bench b;

        given_a_database_of_an_older_release(f, 8 * MANY);
        off_t size = size_of(f->db);
        assert_true(size > 8 * LIMIT_STORE_CACHE);
        sqlite3_memory_highwater(1);
        assert_null(store_bench_open(&b, (struct store_options){ .path = f->dir }));
        assert_true(sqlite3_memory_highwater(1) < 4 * LIMIT_STORE_CACHE);
        store_bench_close(&b);
        assert_int_equal(vacuum_kind(f), 2);
        assert_int_equal(count_entries(f->dir), 3); /* database, marker, lock */
}

/* The first start with enough space packs it; until then all items can be read and written. */
static void assert_opens_unpacked(struct fixture *f)
{
        struct store_bench b;
        AUTO_MEM char *value = NULL;

        assert_null(store_bench_open(&b, (struct store_options){ .path = f->dir }));
        assert_true(all_items_are_right(&b, ITEMS));
        assert_null(store_bench_put(&b, "/other", STR("x"), never, NULL));
        assert_null(store_bench_get(&b, "/other", &value, NULL));
        assert_string_equal(value, "x");
        store_bench_close(&b);
        assert_int_equal(vacuum_kind(f), 0);
}

static void opens_as_it_is_where_packing_meets_a_full_disk(void **state)
{
        struct fixture *f = *state;
        struct rlimit old;

        given_a_database_of_an_older_release(f, MANY);
        getrlimit(RLIMIT_FSIZE, &old);
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit tight = { (rlim_t)size_of(f->db) / 4, old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        assert_opens_unpacked(f);
        setrlimit(RLIMIT_FSIZE, &old);
        assert_opens(f, ITEMS);
        assert_int_equal(vacuum_kind(f), 2);
}

static void opens_as_it_is_where_packing_meets_an_end_of_memory(void **state)
{
        struct fixture *f = *state;

        given_a_database_of_an_older_release(f, MANY);
        vacuum_needs_more = true;
        assert_opens_unpacked(f);
        vacuum_needs_more = false;
        assert_opens(f, ITEMS);
        assert_int_equal(vacuum_kind(f), 2);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        const struct CMUnitTest tests[] = {
                ROW(refuses_to_start_without_the_database_it_had),
                ROW(refuses_an_empty_database),
                ROW(refuses_a_database_without_our_tables),
                ROW(refuses_an_older_copy_until_the_marker_is_removed),
                ROW(the_marker_follows_a_store_that_stays_open),
                ROW(refuses_the_database_of_another_cluster),
                ROW(refuses_a_damaged_marker),
                ROW(a_first_start_that_crashed_before_its_marker_is_completed),
                ROW(refuses_tables_and_triggers_that_are_not_ours),
                ROW(refuses_items_that_were_edited_by_hand),
                ROW(refuses_a_database_of_a_newer_version),
                ROW(refuses_a_truncated_database),
                ROW(a_flipped_byte_is_found_or_harmless),
                ROW(one_process_has_the_store_at_a_time),
                ROW(only_the_owner_can_read_its_files),
                ROW(refuses_a_type_of_store_it_does_not_know),
                ROW(gives_the_space_of_expired_items_back_to_the_disk),
                ROW(packs_a_database_of_an_older_release),
                ROW(packing_needs_no_memory_of_the_size_of_the_database),
                ROW(opens_as_it_is_where_packing_meets_a_full_disk),
                ROW(opens_as_it_is_where_packing_meets_an_end_of_memory),
                ROW(keeps_the_index_of_its_log_in_memory),
        };
#undef ROW
        return cmocka_run_group_tests(tests, NULL, NULL);
}
