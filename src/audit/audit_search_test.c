/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/audit_archive.h"
#include "audit/audit_names.h"
#include "audit/audit_reader.h"
#include "audit/audit_search.h"
#include "base/limits.h"
#include "os/file_testing.h"
#include "os/zlib_api.h"

enum { NOON = 1700000000 };

struct fixture {
        char *dir;
        struct audit_page page;
};

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = test_dir_new();
        *state = f;
        return 0;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        audit_page_release(&f->page);
        test_dir_free(f->dir);
        free(f);
        return 0;
}

static FILE *open_file(struct fixture *f, const char *name)
{
        AUTO_MEM char *path = mem_printf("%s/%s", f->dir, name);
        FILE *file = fopen(path, "a");

        assert_non_null(file);
        return file;
}

static void given_text(struct fixture *f, const char *name, const char *text)
{
        FILE *file = open_file(f, name);

        fputs(text, file);
        fclose(file);
}

/* `count` events, one a second from `start` on, with their number. */
static void given_events(struct fixture *f, const char *name, int64_t start, int count, const struct audit_kind *kind, const char *user)
{
        FILE *file = open_file(f, name);

        for (int i = 0; i < count; i++) {
                struct audit_record r = { 0 };

                audit_begin(&r, kind, walltime_of_unix(start + i), STR("example.com"));
                audit_str(&r, "user", str_of(user));
                audit_int(&r, "number", i);
                struct str text = audit_record_text(&r);
                fwrite(text.ptr, 1, text.len, file);
                audit_record_release(&r);
        }
        fclose(file);
}

static struct audit_query everything(void)
{
        return (struct audit_query){ .to = { INT64_MAX } };
}

static size_t find(struct fixture *f, struct audit_query q)
{
        audit_page_release(&f->page);
        assert_null(audit_search(f->dir, &q, &f->page));
        return f->page.count;
}

static bool shows(const struct fixture *f, const char *text)
{
        return str_contains(buf_str(&f->page.text), str_of(text));
}

static void finds_events_by_time_user_and_type(void **state)
{
        struct fixture *f = *state;
        struct str alice = STR("alice"), types[] = { STR("exec"), STR("user.login") };
        struct audit_query q = everything();

        given_events(f, "events.log", NOON, 10, &audit_exec, "alice");
        given_events(f, "events.log", NOON + 10, 10, &audit_session_start, "alice");
        given_events(f, "events.log", NOON + 20, 10, &audit_user_login, "bob");
        assert_int_equal(find(f, q), 30);
        q.users = &alice;
        q.user_count = 1;
        assert_int_equal(find(f, q), 20);
        q.types = types;
        q.type_count = 2;
        assert_int_equal(find(f, q), 10);
        q.user_count = 0;
        q.from = walltime_of_unix(NOON + 9);
        q.to = walltime_of_unix(NOON + 20);
        assert_int_equal(find(f, q), 2);
        assert_string_equal(f->page.next, "");
}

static void reads_rotated_files_from_the_oldest_on(void **state)
{
        struct fixture *f = *state;

        given_events(f, "events.log", NOON + 20, 1, &audit_exec, "newest");
        given_events(f, "events.log-20231114", NOON, 1, &audit_exec, "oldest");
        given_events(f, "events.log.1", NOON + 10, 1, &audit_exec, "middle");
        given_events(f, "events.log.2.gz", NOON + 5, 1, &audit_exec, "packed");
        given_events(f, "events.torn", NOON + 5, 1, &audit_exec, "torn");
        assert_int_equal(find(f, everything()), 3);
        const char *text = buf_c(&f->page.text);
        assert_true(strstr(text, "oldest") < strstr(text, "middle"));
        assert_true(strstr(text, "middle") < strstr(text, "newest"));
}

static void pages_lose_and_repeat_nothing_while_the_log_is_rotated(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *now = path_in(f->dir, "events.log");
        AUTO_MEM char *then = path_in(f->dir, "events.log.1");
        struct audit_query q = everything();
        char next[AUDIT_CURSOR_SIZE] = "";
        size_t count = 0;

        given_events(f, "events.log", NOON, 100, &audit_exec, "alice");
        q.most = 7;
        for (int page = 0; page == 0 || next[0] != '\0'; page++) {
                AUTO_MEM char *mark = mem_printf("\"number\":%zu,", count);

                q.after = str_of(next);
                count += find(f, q);
                assert_true(page == 15 || shows(f, mark));
                memcpy(next, f->page.next, sizeof next);
                if (page == 3) {
                        assert_int_equal(rename(now, then), 0);
                        given_events(f, "events.log", NOON + 100, 3, &audit_exec, "bob");
                }
                assert_true(page < 100);
        }
        assert_int_equal(count, 103);
}

static size_t find_on_all_pages(struct fixture *f)
{
        struct audit_query q = everything();
        char next[AUDIT_CURSOR_SIZE] = "";
        size_t count = 0;

        do {
                q.after = str_of(next);
                count += find(f, q);
                memcpy(next, f->page.next, sizeof next);
        } while (next[0] != '\0');
        return count;
}

/* Another process renames events.log and begins a new one, as the Auth Service does, while the files are listed and opened. */
static void a_search_during_a_rotation_finds_every_event_once(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *now = path_in(f->dir, "events.log");
        int status = 0;

        given_events(f, "events.log", NOON, 1, &audit_exec, "alice");
        for (int i = 1; i <= 100; i++) {
                AUTO_MEM char *then = mem_printf("%s.%d", now, i);
                pid_t child = fork();

                if (child == 0) {
                        assert_int_equal(rename(now, then), 0);
                        given_events(f, "events.log", NOON + i, 1, &audit_exec, "alice");
                        _exit(0);
                }
                assert_in_range(find_on_all_pages(f), i, i + 1);
                assert_int_equal(waitpid(child, &status, 0), child);
                assert_int_equal(status, 0);
        }
}

static void a_search_in_too_many_files_is_refused(void **state)
{
        struct fixture *f = *state;
        struct audit_query q = everything();

        for (int i = 0; i <= LIMIT_EVENTS_FILES; i++) {
                AUTO_MEM char *name = mem_printf("events.log.%d", i);

                given_text(f, name, "a line\n");
        }
        assert_code(audit_search(f->dir, &q, &f->page), ERROR_RESOURCE_EXHAUSTED);
}

static void skips_lines_that_are_no_events(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *endless = mem_alloc(MiB + 2);

        given_events(f, "events.log", NOON, 1, &audit_exec, "alice");
        given_text(f, "events.log", "\n{\"time\":\"2023-11-14T22:13:20.000Z\"\nhello\n{}\n");
        given_text(f, "events.log", "{\"time\":\"2023-11-14T22:13:20.000Z\",\"event\":\"\xff\"}\n");
        memset(endless, 'x', MiB);
        endless[MiB] = '\n';
        given_text(f, "events.log", endless);
        given_events(f, "events.log", NOON, 1, &audit_exec, "bob");
        given_text(f, "events.log", "{\"time\":\"2023-11-14T22:13:20.000Z\",\"event\":\"being wr");
        assert_int_equal(find(f, everything()), 2);
        assert_true(f->page.skipped >= 6);
}

static void refuses_cursors_that_lead_nowhere(void **state)
{
        static const struct {
                const char *cursor;
                enum error_code code;
        } rows[] = {
                { "x", ERROR_INVALID_ARGUMENT },      { "1", ERROR_INVALID_ARGUMENT },   { "1.", ERROR_INVALID_ARGUMENT },
                { "1.-1", ERROR_INVALID_ARGUMENT },   { "-1.1", ERROR_INVALID_ARGUMENT }, { "1.1.1", ERROR_INVALID_ARGUMENT },
                { "99999999999999999999.0", ERROR_INVALID_ARGUMENT },
                { "1.5", ERROR_ABORTED },
        };
        struct fixture *f = *state;

        given_events(f, "events.log", NOON, 1, &audit_exec, "alice");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct audit_query q = everything();

                q.after = str_of(rows[i].cursor);
                audit_page_release(&f->page);
                assert_code(audit_search(f->dir, &q, &f->page), rows[i].code);
        }
}

static void a_position_after_the_end_finds_nothing(void **state)
{
        struct fixture *f = *state;
        struct audit_query q = everything();

        given_events(f, "events.log", NOON, 2, &audit_exec, "alice");
        q.most = 1;
        assert_int_equal(find(f, q), 1);
        struct str rest = str_of(f->page.next);
        struct str inode = str_split(&rest, '.');
        AUTO_MEM char *beyond = mem_printf("%.*s.999999999", STR_ARG(inode));
        q.after = str_of(beyond);
        assert_int_equal(find(f, q), 0);
        assert_string_equal(f->page.next, "");
}

/* ---- compressed files ---------------------------------------------------------------------------------- */

static char **no_environment = (char *[]){ NULL };

/* Replaces the file by name.gz, as logrotate does. */
static void given_gzip(struct fixture *f, const char *name)
{
        AUTO_MEM char *path = path_in(f->dir, name);
        char *argv[] = { "gzip", path, NULL };
        pid_t child;
        int status = 0;

        assert_int_equal(posix_spawn(&child, "/bin/gzip", NULL, NULL, argv, no_environment), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
}

static void archive(struct fixture *f, uint64_t packed)
{
        struct audit_archived done;

        assert_done(audit_archive(f->dir, &(struct audit_archive_options){ .now = walltime_of_unix(NOON) }, &done));
        assert_int_equal(done.packed, packed);
}

static off_t file_size(const struct fixture *f, const char *name)
{
        AUTO_MEM char *path = path_in(f->dir, name);
        struct stat st;

        return stat(path, &st) == 0 ? st.st_size : -1;
}

static void truncate_by(const struct fixture *f, const char *name, off_t bytes)
{
        AUTO_MEM char *path = path_in(f->dir, name);

        assert_int_equal(truncate(path, file_size(f, name) - bytes), 0);
}

static void reads_compressed_files_of_both_kinds(void **state)
{
        struct fixture *f = *state;

        given_events(f, "events.log-20231114-221320", NOON, 3, &audit_exec, "first");
        given_events(f, "events.log.1", NOON + 10, 3, &audit_exec, "second");
        given_events(f, "events.log", NOON + 20, 3, &audit_exec, "third");
        given_gzip(f, "events.log.1");
        archive(f, 1);
        assert_true(file_size(f, "events.log-20231114-221320.gz") > 0);
        assert_int_equal(file_size(f, "events.log-20231114-221320"), -1);
        assert_int_equal(find(f, everything()), 9);
        const char *text = buf_c(&f->page.text);
        assert_true(strstr(text, "first") < strstr(text, "second"));
        assert_true(strstr(text, "second") < strstr(text, "third"));
        assert_int_equal(f->page.skipped, 0);
}

static void pages_lose_and_repeat_nothing_while_the_log_is_compressed(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *now = path_in(f->dir, "events.log"), *then = path_in(f->dir, "events.log-20231114-221320");
        struct audit_query q = everything();
        char next[AUDIT_CURSOR_SIZE] = "";
        size_t count = 0;

        given_events(f, "events.log", NOON, 20000, &audit_exec, "alice"); /* several members */
        q.most = LIMIT_EVENTS_COUNT;
        for (int page = 0; page == 0 || next[0] != '\0'; page++) {
                AUTO_MEM char *mark = mem_printf("\"number\":%zu,", count % 20000);

                q.after = str_of(next);
                count += find(f, q);
                assert_true(f->page.count == 0 || shows(f, mark));
                memcpy(next, f->page.next, sizeof next);
                if (page == 5) {
                        assert_int_equal(rename(now, then), 0);
                        given_events(f, "events.log", NOON + 20000, 3, &audit_exec, "bob");
                        archive(f, 1);
                }
                assert_true(page < 100);
        }
        assert_int_equal(count, 20003);
}

/* While it is compressed, and after a crash before the uncompressed one is removed. */
static void a_file_that_is_there_twice_is_read_once(void **state)
{
        struct fixture *f = *state;

        given_events(f, "events.log.1", NOON, 3, &audit_exec, "alice");
        AUTO_MEM char *path = path_in(f->dir, "events.log.1"), *copy = path_in(f->dir, "events.log.bak");
        AUTO(buf) text = BUF_MAX(MiB);
        assert_done(file_read(path, &text));
        assert_done(file_write_atomic(copy, buf_str(&text), 0600));
        given_gzip(f, "events.log.bak");
        assert_int_equal(find(f, everything()), 3);
        assert_true(file_size(f, "events.log.bak.gz") > 0);
}

/* cp events.log events.log.bak, and later the file is rotated, and compressed. */
static void a_copy_of_the_beginning_hides_no_event(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *now = path_in(f->dir, "events.log"), *then = path_in(f->dir, "events.log-20231114-221320");
        static const char *const copies[] = { "events.log.a", "events.log.bak", "events.log.z" };
        AUTO(buf) text = BUF_MAX(MiB);

        given_events(f, "events.log", NOON, 3, &audit_exec, "alice");
        assert_done(file_read(now, &text));
        for (size_t i = 0; i < ARRAY_LEN(copies); i++)
                given_text(f, copies[i], buf_c(&text));
        given_events(f, "events.log", NOON + 3, 3, &audit_exec, "alice");
        assert_int_equal(find(f, everything()), 6);
        assert_int_equal(rename(now, then), 0);
        assert_int_equal(find(f, everything()), 6);
        archive(f, 1);
        assert_int_equal(find(f, everything()), 6);
}

static void the_lines_before_a_damage_are_found(void **state)
{
        struct fixture *f = *state;

        given_events(f, "events.log.1", NOON, 5000, &audit_exec, "alice");
        given_gzip(f, "events.log.1");
        truncate_by(f, "events.log.1.gz", file_size(f, "events.log.1.gz") / 2);
        given_text(f, "events.log.2.gz", "this is no gzip file\n");
        given_text(f, "events.log.3.gz", "");
        size_t count = find(f, everything());
        uint64_t skipped = f->page.skipped;
        while (f->page.next[0] != '\0') {
                AUTO_MEM char *next = str_dup(str_of(f->page.next));
                struct audit_query q = everything();

                q.after = str_of(next);
                count += find(f, q);
                skipped += f->page.skipped;
        }
        assert_in_range(count, 1500, 3500);
        assert_in_range(skipped, 2, 3); /* the torn file, the file that is none; perhaps the torn line */
}

/* 1,040 KiB of a file that unpacks to more than 1 GiB: 80 members of 16 MiB. */
static void a_bomb_ends_at_the_limit(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_in(f->dir, "bomb.gz");
        AUTO_MEM char *block = mem_alloc(16 * MiB);
        FILE *file = open_file(f, "bomb");
        struct str view;

        memset(block, '\n', 16 * MiB);
        assert_int_equal(fwrite(block, 1, 16 * MiB, file), 16 * MiB);
        fclose(file);
        given_gzip(f, "bomb");
        AUTO(buf) member = BUF_MAX(1 * MiB);
        assert_done(file_read(path, &member));
        file = open_file(f, "bomb.gz");
        for (int i = 1; i < 80; i++)
                fwrite(member.ptr, 1, member.len, file);
        fclose(file);
        struct audit_reader *r = audit_reader_new(open(path, O_RDONLY | O_CLOEXEC), true);
        assert_done(audit_reader_view(r, LIMIT_EVENTS_UNPACKED - 10, AUDIT_READER_PIECE, &view));
        assert_in_range(view.len, 10, AUDIT_READER_PIECE);
        assert_done(audit_reader_view(r, LIMIT_EVENTS_UNPACKED + AUDIT_READER_PIECE, AUDIT_READER_PIECE, &view));
        assert_int_equal(view.len, 0);
        assert_true(audit_reader_is_damaged(r));
        audit_reader_free(r);
}

/* ---- compressing and removing --------------------------------------------------------------------------- */

static void the_end_of_the_log_stays_uncompressed(void **state)
{
        struct fixture *f = *state;
        struct audit_archived done;

        given_events(f, "events.log-20231114-000000", NOON, 100, &audit_exec, "a");
        given_events(f, "events.log-20231114-000000-2", NOON, 100, &audit_exec, "b");
        given_events(f, "events.log-20231115-000000", NOON, 100, &audit_exec, "c");
        given_events(f, "events.log-20231115", NOON, 100, &audit_exec, "d"); /* of logrotate */
        given_events(f, "events.log", NOON, 1, &audit_exec, "e");
        given_text(f, "events.packing", "left by a crash");
        assert_done(audit_archive(f->dir, &(struct audit_archive_options){ .tail = 20 * KiB }, &done));
        assert_int_equal(done.packed, 1);
        assert_int_equal(done.removed, 0);
        assert_true(file_size(f, "events.log-20231114-000000.gz") > 0);
        assert_true(file_size(f, "events.log-20231114-000000-2") > 0);
        assert_true(file_size(f, "events.log-20231115") > 0);
        assert_int_equal(file_size(f, "events.packing"), -1);
        assert_int_equal(find(f, everything()), 401);
}

/* A log of another release, which nothing has rotated: a search would not read the end of its compressed form. */
static void a_file_beyond_the_limit_of_readers_stays_uncompressed(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_in(f->dir, "events.log-20231114-000000");

        given_events(f, "events.log-20231114-000000", NOON, 1, &audit_exec, "a");
        given_events(f, "events.log-20231114-000000-2", NOON, 1, &audit_exec, "b");
        assert_int_equal(truncate(path, (off_t)LIMIT_EVENTS_UNPACKED + 1), 0); /* sparse */
        archive(f, 1);
        assert_true(file_size(f, "events.log-20231114-000000") > 0);
        assert_true(file_size(f, "events.log-20231114-000000-2.gz") > 0);
}

static void old_files_are_removed_and_counted(void **state)
{
        struct fixture *f = *state;
        struct audit_archived done;
        struct audit_archive_options by_age = { .now = walltime_of_unix(NOON), .age = HOURS(24), .tail = MiB };
        struct audit_archive_options by_size = { .now = walltime_of_unix(NOON), .tail = MiB };

        given_events(f, "events.log-20231110-000000", NOON, 10, &audit_exec, "a");
        given_events(f, "events.log-20231113-221320", NOON, 10, &audit_exec, "b"); /* 24 hours before noon */
        given_events(f, "events.log-20231113-221321", NOON, 10, &audit_exec, "c");
        given_events(f, "events.log-20231114-000000", NOON, 10, &audit_exec, "d");
        given_events(f, "events.log.1", NOON, 10, &audit_exec, "e");
        given_events(f, "events.log", NOON, 10, &audit_exec, "f");
        assert_done(audit_archive(f->dir, &by_age, &done));
        assert_int_equal(done.removed, 2);
        assert_int_equal(walltime_unix(done.removed_until), NOON - 24 * 3600);
        assert_int_equal(find(f, everything()), 40);
        by_size.size = file_size(f, "events.log-20231114-000000");
        assert_done(audit_archive(f->dir, &by_size, &done));
        assert_int_equal(done.removed, 1);
        assert_int_equal(done.removed_bytes, by_size.size);
        assert_int_equal(find(f, everything()), 30);
        assert_false(shows(f, "\"user\":\"c\""));
        by_size.size = 1;
        assert_done(audit_archive(f->dir, &by_size, &done));
        assert_int_equal(done.removed, 1); /* files of others and events.log stay */
        assert_int_equal(find(f, everything()), 20);
}

static void names_of_others_are_not_ours(void **state)
{
        static const char *const names[] = {
                "events.log",  "events.log-20231114",  "events.log-20231114-22132",  "events.log-20231314-221320", "events.log-20231114-221320-1",
                "events.log-20231114-221320-1001", "events.log-20231114-221320.xz", "events.log-20231114-221320.gz.1", "events.log-20231114-221320-",
                "events.log-20231114-221320-02x", "events.log-2023111４-221320", "",
        };
        struct audit_name name;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                assert_false(audit_name_parse(str_of(names[i]), &name));
        assert_true(audit_name_parse(STR("events.log-20231114-221320-7.gz"), &name));
        AUTO(buf) text = BUF_MAX(AUDIT_NAME_MAX);
        audit_name_put(&text, &name);
        assert_string_equal(buf_c(&text), "events.log-20231114-221320-7.gz");
        assert_int_equal(walltime_unix(name.at), NOON);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        const struct CMUnitTest tests[] = {
                ROW(finds_events_by_time_user_and_type),
                ROW(reads_rotated_files_from_the_oldest_on),
                ROW(pages_lose_and_repeat_nothing_while_the_log_is_rotated),
                ROW(a_search_during_a_rotation_finds_every_event_once),
                ROW(a_search_in_too_many_files_is_refused),
                ROW(skips_lines_that_are_no_events),
                ROW(refuses_cursors_that_lead_nowhere),
                ROW(a_position_after_the_end_finds_nothing),
                ROW(reads_compressed_files_of_both_kinds),
                ROW(pages_lose_and_repeat_nothing_while_the_log_is_compressed),
                ROW(a_file_that_is_there_twice_is_read_once),
                ROW(a_copy_of_the_beginning_hides_no_event),
                ROW(the_lines_before_a_damage_are_found),
                ROW(a_bomb_ends_at_the_limit),
                ROW(the_end_of_the_log_stays_uncompressed),
                ROW(a_file_beyond_the_limit_of_readers_stays_uncompressed),
                ROW(old_files_are_removed_and_counted),
                ROW(names_of_others_are_not_ours),
        };
#undef ROW
        struct error *err = zlib_load();

        if (err != NULL)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
