/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions of the database: an older one is upgraded, a newer one is refused unchanged, and an interrupted upgrade is repeated.
 * This test adds versions behind those of the release; `newest` selects the release that opens the database.
 */
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/file.h"
#include "store/sqlite/sqlite_schema.h"
#include "store/store_testing.h"

enum { ITEMS = 40, FILE_MAX = 4 * MiB };

static const struct walltime never = { 0 };

#define OLD_OBJECTS                                                                                                    \
        ("CREATE TABLE item (id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL," \
         " expires INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT"),                                              \
                "CREATE UNIQUE INDEX item_key ON item (key)", "CREATE INDEX item_expires ON item (expires) WHERE expires > 0", \
                ("CREATE TABLE cluster (one INTEGER PRIMARY KEY CHECK (one = 1), identity BLOB NOT NULL,"              \
                 " revision INTEGER NOT NULL) STRICT")

static const char *const objects_2[] = { OLD_OBJECTS, "CREATE TABLE note (text TEXT) STRICT", NULL };
static const char *const upgrade_2[] = { "CREATE TABLE note (text TEXT) STRICT", "INSERT INTO note SELECT 'item' FROM item", NULL };
static const char *const objects_3[] = { OLD_OBJECTS, "CREATE TABLE note (text TEXT) STRICT", "CREATE INDEX note_text ON note (text)", NULL };
static const char *const upgrade_3[] = { "UPDATE note SET text = 'note'", "CREATE INDEX note_text ON note (text)", NULL };
static const char *const broken_3[] = { "UPDATE note SET text = 'note'", "CREATE INDEX note_text ON nothing (text)", NULL };

static const struct sqlite_version two = { objects_2, upgrade_2 }, three = { objects_3, upgrade_3 }, three_broken = { objects_3, broken_3 };
static int newest;
static bool is_three_broken;

const struct sqlite_version *sqlite_schema_test_version(int number)
{
        if (number > newest)
                return NULL;
        return number == 2 ? &two : is_three_broken ? &three_broken : &three;
}

/* Ends the process before the statement of this number; 0: never. */
static int ends_before;
static __typeof__(sqlite3_exec) *real_exec;

static int counting_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **), void *ctx, char **message)
{
        if (ends_before > 0 && --ends_before == 0)
                kill(getpid(), SIGKILL);
        return real_exec(db, sql, each, ctx, message);
}

void sqlite_api_loaded(struct sqlite_api *api)
{
        real_exec = api->exec;
        api->exec = counting_exec;
}

/* ---- helpers --------------------------------------------------------------------------------------- */

struct fixture {
        char *dir, *db, *wal;
};

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);
        struct store_bench b;

        newest = 1;
        is_three_broken = false;
        ends_before = 0;
        f->dir = store_bench_dir();
        f->db = mem_printf("%s/sqlite.db", f->dir);
        f->wal = mem_printf("%s/sqlite.db-wal", f->dir);
        assert_null(store_bench_open(&b, (struct store_options){ .path = f->dir }));
        for (int i = 0; i < ITEMS; i++) {
                AUTO_MEM char *key = mem_printf("/item/%d", i);

                assert_null(store_bench_put(&b, key, str_of(key), never, NULL));
        }
        store_bench_close(&b);
        *state = f;
        return 0;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        store_bench_remove(f->dir);
        free(f->dir);
        free(f->db);
        free(f->wal);
        free(f);
        return 0;
}

static bool has_its_items(struct store_bench *b)
{
        for (int i = 0; i < ITEMS; i++) {
                AUTO_MEM char *key = mem_printf("/item/%d", i);
                AUTO_MEM char *value = NULL;

                if (store_bench_get(b, key, &value, NULL) != NULL || value == NULL || strcmp(value, key) != 0)
                        return false;
        }
        return true;
}

static void assert_opens(const struct fixture *f)
{
        struct store_bench b;
        struct error *err = store_bench_open(&b, (struct store_options){ .path = f->dir });

        if (err != NULL)
                fail_msg("refused: %s", err->what);
        assert_true(has_its_items(&b));
        store_bench_close(&b);
}

static int64_t number_of(const struct fixture *f, const char *sql)
{
        sqlite3 *db = NULL;
        sqlite3_stmt *q = NULL;

        assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(q), SQLITE_ROW);
        int64_t number = sqlite3_column_int64(q, 0);
        sqlite3_finalize(q);
        sqlite3_close(db);
        return number;
}

static void alter(const struct fixture *f, const char *sql)
{
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

/* ---- tests ----------------------------------------------------------------------------------------- */

static void upgrades_an_older_database_version_by_version(void **state)
{
        const struct fixture *f = *state;

        newest = 3;
        assert_opens(f);
        assert_int_equal(number_of(f, "PRAGMA user_version"), 3);
        assert_int_equal(number_of(f, "SELECT count(*) FROM note WHERE text = 'note'"), ITEMS);
        assert_opens(f); /* nothing is left to upgrade */
        assert_int_equal(number_of(f, "SELECT count(*) FROM note"), ITEMS);
}

static void creates_a_database_of_the_newest_version(void **state)
{
        const struct fixture *f = *state;
        struct fixture fresh = { .dir = mem_printf("%s/fresh", f->dir), .db = mem_printf("%s/fresh/sqlite.db", f->dir) };
        struct store_bench b;

        newest = 3;
        assert_null(store_bench_open(&b, (struct store_options){ .path = fresh.dir }));
        store_bench_close(&b);
        assert_int_equal(number_of(&fresh, "PRAGMA user_version"), 3);
        store_bench_remove(fresh.dir);
        free(fresh.dir);
        free(fresh.db);
}

static void read_whole(const char *path, struct buf *out)
{
        *out = BUF_MAX(FILE_MAX);
        assert_null(file_read(path, out));
}

/* Also one whose journal is of another kind, which opening it in the usual way would change. */
static void refuses_a_newer_database_and_changes_nothing(void **state)
{
        const struct fixture *f = *state;
        static const char *const changes[] = { "PRAGMA user_version = 4", "PRAGMA journal_mode = DELETE", "DROP TABLE cluster" };

        newest = 3;
        for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
                AUTO(buf) before = BUF_MAX(1);
                AUTO(buf) after = BUF_MAX(1);
                struct store_bench b;
                struct stat st;

                alter(f, changes[i]);
                read_whole(f->db, &before);
                AUTO_PTR(error) err = store_bench_open(&b, (struct store_options){ .path = f->dir });
                assert_non_null(err);
                assert_int_equal(err->code, ERROR_FAILED_PRECONDITION);
                assert_non_null(strstr(err->what, "a newer version of teleport: it has format 4, and this version knows formats up to 3"));
                assert_non_null(strstr(err->hint, "nothing was changed"));
                read_whole(f->db, &after);
                assert_true(str_equal(buf_str(&before), buf_str(&after)));
                assert_true(stat(f->wal, &st) < 0 || st.st_size == 0);
        }
}

static void leaves_the_old_version_when_an_upgrade_fails(void **state)
{
        const struct fixture *f = *state;
        struct store_bench b;

        newest = 3;
        is_three_broken = true;
        AUTO_PTR(error) err = store_bench_open(&b, (struct store_options){ .path = f->dir });
        assert_non_null(err);
        assert_non_null(strstr(err->what, "cannot be upgraded from format 1 to 3"));
        newest = 1;
        assert_opens(f);
        assert_int_equal(number_of(f, "PRAGMA user_version"), 1);
}

static struct error *count_item(void *ctx, const struct store_item *item)
{
        (void)item;
        ++*(int *)ctx;
        return NULL;
}

static void read_files(const struct fixture *f, struct buf *out)
{
        AUTO(buf) wal = BUF_MAX(FILE_MAX);

        read_whole(f->db, out);
        error_free(file_read(f->wal, &wal)); /* there may be none */
        buf_put(out, buf_str(&wal));
}

/* As a restore does before the first start. */
static void checks_an_older_database_and_changes_nothing(void **state)
{
        const struct fixture *f = *state;
        AUTO(buf) before = BUF_MAX(1);
        AUTO(buf) after = BUF_MAX(1);
        struct store_checked found = { 0 };
        int items = 0;

        newest = 3;
        read_files(f, &before);
        AUTO_PTR(error) err = store_check((struct store_options){ .path = f->dir }, count_item, &items, &found);
        if (err != NULL)
                fail_msg("refused: %s", err->what);
        assert_int_equal(items, ITEMS);
        assert_true(found.items == ITEMS && found.format == 1 && found.newest == 3);
        read_files(f, &after);
        assert_true(str_equal(buf_str(&before), buf_str(&after)));
        assert_opens(f);
        assert_int_equal(number_of(f, "PRAGMA user_version"), 3);
}

static void a_check_finds_that_an_upgrade_would_fail(void **state)
{
        const struct fixture *f = *state;
        struct store_checked found = { 0 };
        int items = 0;

        newest = 3;
        is_three_broken = true;
        AUTO_PTR(error) err = store_check((struct store_options){ .path = f->dir }, count_item, &items, &found);
        assert_non_null(err);
        assert_non_null(strstr(err->what, "cannot be upgraded from format 1 to 3"));
        newest = 1;
        assert_opens(f);
}

/* Opens the database in a process of its own, which ends with 0, 1 with an error of that code, or by the signal. */
static int open_apart(const struct fixture *f, int before, rlim_t most, enum error_code code)
{
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
                const struct rlimit limit = { most, most };
                struct store_bench b;

                signal(SIGXFSZ, SIG_IGN);
                if (most > 0 && setrlimit(RLIMIT_FSIZE, &limit) != 0)
                        _exit(3);
                ends_before = before;
                struct error *err = store_bench_open(&b, (struct store_options){ .path = f->dir });
                _exit(err == NULL ? 0 : err->code == code ? 1 : 2);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        return status;
}

/* Killed before each statement: the database has the old version or the new one, with all items. */
static void repeats_an_upgrade_that_was_killed(void **state)
{
        const struct fixture *f = *state;
        int before = 1, old = 0, status;

        newest = 3;
        while (WIFSIGNALED(status = open_apart(f, before, 0, ERROR_UNKNOWN))) {
                old += number_of(f, "PRAGMA user_version") == 1;
                before++;
        }
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_true(old > 5); /* the upgrade itself has eight statements */
        assert_opens(f);
        assert_int_equal(number_of(f, "SELECT count(*) FROM note WHERE text = 'note'"), ITEMS);
}

static void leaves_the_old_version_on_a_full_disk(void **state)
{
        const struct fixture *f = *state;

        newest = 3;
        int status = open_apart(f, 0, 1 * KiB, ERROR_RESOURCE_EXHAUSTED);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
        newest = 1;
        assert_opens(f);
        newest = 3;
        assert_opens(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(upgrades_an_older_database_version_by_version),
                TEST(creates_a_database_of_the_newest_version),
                TEST(refuses_a_newer_database_and_changes_nothing),
                TEST(leaves_the_old_version_when_an_upgrade_fails),
                TEST(checks_an_older_database_and_changes_nothing),
                TEST(a_check_finds_that_an_upgrade_would_fail),
                TEST(repeats_an_upgrade_that_was_killed),
                TEST(leaves_the_old_version_on_a_full_disk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
