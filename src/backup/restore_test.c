/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring a backup whose database has the format of an older version. This test adds a format behind those of the release; `newest`
 * selects the release that reads the database.
 */
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "backup/archive_testing.h"
#include "backup/restore.h"
#include "base/error_testing.h"
#include "base/mem.h"
#include "os/file.h"
#include "signer/authorities.h"
#include "state/cluster.h"
#include "store/sqlite/sqlite_schema.h"
#include "store/store_testing.h"

enum { FILE_MAX = 4 * MiB };

#define CLUSTER STR("example.test")
#define NEXT_TABLE "CREATE TABLE note (text TEXT) STRICT"

/* The tables of the release, read from the database of a fixture, and one more. */
static const char *objects_next[8];
static const char *const upgrade_next[] = { NEXT_TABLE, "INSERT INTO note SELECT 'item' FROM item", NULL };
static const struct sqlite_version version_next = { objects_next, upgrade_next };
static int newest;

const struct sqlite_version *sqlite_schema_test_version(int number)
{
        return number <= newest ? &version_next : NULL;
}

struct fixture {
        char *dir, *data_dir, *store, *database;
        int format; /* of the release */
        struct buf backup;
};

/* A cluster as its first start leaves it. */
static void make_cluster(const char *data_dir, const char *store)
{
        struct store_bench b;

        assert_done(dir_make(data_dir, 0700));
        assert_done(authorities_create(data_dir, &(struct ca_template){ .cluster = CLUSTER, .now = { 1700000000000000000 } }));
        assert_done(store_bench_open(&b, (struct store_options){ .path = store }));
        struct store_txn *t = store_txn_new(b.store);
        cluster_name_create(t, CLUSTER);
        assert_done(store_bench_commit(&b, t, NULL));
        store_bench_close(&b);
}

static void read_schema(const char *database, int *ret_format)
{
        sqlite3 *db = NULL;
        sqlite3_stmt *q = NULL;
        size_t count = 0;

        assert_int_equal(sqlite3_open(database, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &q, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(q), SQLITE_ROW);
        *ret_format = sqlite3_column_int(q, 0);
        sqlite3_finalize(q);
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL", -1, &q, NULL), SQLITE_OK);
        while (sqlite3_step(q) == SQLITE_ROW) {
                assert_true(count + 2 < ARRAY_LEN(objects_next));
                objects_next[count++] = str_dup(str_of((const char *)sqlite3_column_text(q, 0)));
        }
        objects_next[count] = NEXT_TABLE;
        sqlite3_finalize(q);
        sqlite3_close(db);
}

static void put(struct archive_writer *w, const char *name, const char *dir, const char *path)
{
        AUTO_MEM char *from = mem_printf("%s/%s", dir, path);
        AUTO(buf) bytes = BUF_MAX(FILE_MAX);

        assert_done(file_read(from, &bytes));
        assert_done(archive_put_file(w, name, buf_str(&bytes), 1700000000));
}

/* What tctl backup writes: the same files, by the same writer. */
static void make_backup(struct fixture *f, const char *data_dir, const char *store)
{
        static const char *const files[] = { "ca/cluster",           "ca/host.tls.key.pem", "ca/host.tls.cert.pem", "ca/host.ssh.key.pem",
                                             "ca/user.tls.key.pem",  "ca/user.tls.cert.pem", "ca/user.ssh.key.pem" };
        AUTO_PTR(age_writer) file = testing_writer(&f->backup);
        AUTO_PTR(archive_writer) w = archive_writer_new(file);

        assert_done(archive_put_file(w, ARCHIVE_MANIFEST, STR("{\"format\": 1, \"version\": \"16.0.0\"}"), 1700000000));
        put(w, ARCHIVE_DATABASE, store, "sqlite.db");
        for (size_t i = 0; i < ARRAY_LEN(files); i++)
                put(w, files[i], data_dir, files[i]);
        assert_done(archive_writer_finish(w));
        assert_done(age_writer_finish(file));
}

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        newest = 0;
        f->dir = store_bench_dir();
        AUTO_MEM char *data_dir = mem_printf("%s/former", f->dir);
        AUTO_MEM char *store = mem_printf("%s/backend", data_dir);
        AUTO_MEM char *database = mem_printf("%s/sqlite.db", store);
        f->data_dir = mem_printf("%s/restored", f->dir);
        f->store = mem_printf("%s/backend", f->data_dir);
        f->database = mem_printf("%s/sqlite.db", f->store);
        f->backup = BUF_MAX(FILE_MAX);
        make_cluster(data_dir, store);
        read_schema(database, &f->format);
        make_backup(f, data_dir, store);
        newest = f->format + 1;
        *state = f;
        return 0;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        store_bench_remove(f->dir);
        for (size_t i = 0; objects_next[i] != NULL; i++) {
                if (strcmp(objects_next[i], NEXT_TABLE) != 0)
                        free((char *)objects_next[i]);
                objects_next[i] = NULL;
        }
        buf_release(&f->backup);
        free(f->dir);
        free(f->data_dir);
        free(f->store);
        free(f->database);
        free(f);
        return 0;
}

static struct error *restore(const struct fixture *f, struct restored *ret)
{
        struct str rest = buf_str(&f->backup);
        const struct restore_options options = { .data_dir = f->data_dir,
                                                 .store = f->store,
                                                 .unlock = { .identity = testing_identity },
                                                 .source = { testing_source, &rest } };

        return restore_run(&options, ret);
}

static void restores_an_older_format_which_the_first_start_upgrades(void **state)
{
        const struct fixture *f = *state;
        AUTO_MEM char *shown = mem_printf("format %d; the next start upgrades it to format %d", f->format, newest);
        AUTO(restored) done = { 0 };
        struct store_bench b;

        assert_done(restore(f, &done));
        assert_null(data_check_error(&done.check));
        assert_true(str_ends_with(buf_str(&done.check.parts[DATA_DATABASE].found), str_of(shown)));
        assert_done(store_bench_open(&b, (struct store_options){ .path = f->store }));
        AUTO_MEM char *name = NULL;
        assert_done(store_bench_get(&b, "/cluster/name", &name, NULL));
        store_bench_close(&b);
        assert_non_null(name);

        AUTO(data_check) check = { 0 };
        data_check_run(&check, f->data_dir, (struct store_options){ .path = f->store });
        assert_null(data_check_error(&check));
        AUTO_MEM char *upgraded = mem_printf("format %d", newest);
        assert_true(str_ends_with(buf_str(&check.parts[DATA_DATABASE].found), str_of(upgraded)));
}

static void refuses_a_newer_format_and_leaves_nothing(void **state)
{
        const struct fixture *f = *state;
        AUTO(restored) done = { 0 };
        AUTO(restored) again = { 0 };
        struct store_bench b;

        assert_done(restore(f, &done));
        assert_done(store_bench_open(&b, (struct store_options){ .path = f->store })); /* upgrades it */
        store_bench_close(&b);
        struct fixture newer = *f;
        newer.backup = BUF_MAX(FILE_MAX);
        make_backup(&newer, f->data_dir, f->store);
        newer.data_dir = mem_printf("%s/newer", f->dir);
        newer.store = mem_printf("%s/newer/backend", f->dir);
        newest = 0;
        AUTO_PTR(error) err = restore(&newer, &again);
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_FAILED_PRECONDITION);
        AUTO_MEM char *database = mem_printf("%s/sqlite.db", newer.store);
        assert_int_not_equal(access(database, F_OK), 0);
        buf_release(&newer.backup);
        free(newer.data_dir);
        free(newer.store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(restores_an_older_format_which_the_first_start_upgrades),
                TEST(refuses_a_newer_format_and_leaves_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
