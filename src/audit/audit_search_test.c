/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "audit/audit_search.h"
#include "base/limits.h"
#include "os/file_testing.h"

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

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        const struct CMUnitTest tests[] = {
                ROW(finds_events_by_time_user_and_type),
                ROW(reads_rotated_files_from_the_oldest_on),
                ROW(pages_lose_and_repeat_nothing_while_the_log_is_rotated),
                ROW(skips_lines_that_are_no_events),
                ROW(refuses_cursors_that_lead_nowhere),
                ROW(a_position_after_the_end_finds_nothing),
        };
#undef ROW
        return cmocka_run_group_tests(tests, NULL, NULL);
}
