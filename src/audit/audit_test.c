/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "audit/audit.h"
#include "base/limits.h"
#include "base/map.h"
#include "loop/job_testing.h"
#include "os/file_testing.h"

/* ---- a disk that fails on request -------------------------------------------------------------------- */

static int sync_errno; /* the result of every fdatasync of this program; 0: the system's result */

int fdatasync(int fd)
{
        if (sync_errno == 0)
                return (int)syscall(SYS_fdatasync, fd);
        errno = sync_errno;
        return -1;
}

/* ---- fixture ----------------------------------------------------------------------------------------- */

struct fixture {
        struct loop loop;
        struct audit_log *log;
        char *dir, *path;
        unsigned waiting;
        enum error_code last_code; /* 0: written */
};

static const struct walltime noon = { 1700000000123000000 };

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = test_dir_new();
        f->path = path_in(f->dir, "log/events.log");
        AUTO_MEM char *log_dir = path_in(f->dir, "log");
        assert_null(loop_init(&f->loop, NULL));
        assert_null(audit_log_open(&f->loop, log_dir, &f->log));
        *state = f;
        return 0;
}

static void on_closed(void *ctx)
{
        struct fixture *f = ctx;

        f->log = NULL;
}

static void close_log(struct fixture *f)
{
        audit_log_close(f->log, on_closed, f);
        while (f->log != NULL)
                loop_run(&f->loop);
}

static void reopen(struct fixture *f)
{
        AUTO_MEM char *log_dir = path_in(f->dir, "log");

        if (f->log != NULL)
                close_log(f);
        assert_null(audit_log_open(&f->loop, log_dir, &f->log));
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        if (f->log != NULL)
                close_log(f);
        loop_release(&f->loop);
        test_dir_free(f->dir);
        free(f->path);
        free(f);
        return 0;
}

static void on_written(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        f->last_code = err == NULL ? 0 : err->code;
        error_free(err);
        if (--f->waiting == 0)
                loop_stop(&f->loop);
}

static void begin(struct audit_record *r, const char *node)
{
        audit_begin(r, &audit_instance_join, noon, STR("example.com"));
        audit_str(r, "node_name", str_of(node));
}

static void write_one(struct fixture *f, const char *node)
{
        struct audit_record r;

        begin(&r, node);
        f->waiting++;
        audit_write(f->log, &r, on_written, f);
}

static void wait_all(struct fixture *f)
{
        while (f->waiting > 0)
                loop_run(&f->loop);
}

static enum error_code write_and_wait(struct fixture *f, const char *node)
{
        write_one(f, node);
        wait_all(f);
        return f->last_code;
}

static char *contents(const char *path)
{
        AUTO_FD int fd = open(path, O_RDONLY);
        struct stat st;

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        char *text = mem_alloc((size_t)st.st_size + 1);
        assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
        return text;
}

static json_t *parsed(struct str line)
{
        json_error_t why;
        json_t *json = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, &why);

        if (json == NULL)
                fail_msg("not JSON: %s", why.text);
        return json;
}

/* The node names of the lines of a file, "a b c"; each line must be JSON. */
static char *nodes_in(const char *path)
{
        AUTO_MEM char *text = contents(path);
        AUTO(buf) names = BUF_MAX(64 * KiB);

        for (struct str rest = str_of(text); !str_is_empty(rest);) {
                json_t *json = parsed(str_split(&rest, '\n'));

                if (names.len > 0)
                        buf_put_char(&names, ' ');
                buf_put_c(&names, json_string_value(json_object_get(json, "node_name")));
                json_decref(json);
        }
        return buf_take(&names);
}

static void assert_nodes(struct fixture *f, const char *expected)
{
        AUTO_MEM char *found = nodes_in(f->path);

        assert_string_equal(found, expected);
}

static void append_raw(struct fixture *f, const char *bytes)
{
        AUTO_FD int fd = open(f->path, O_WRONLY | O_APPEND);

        assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
}

/* ---- records ----------------------------------------------------------------------------------------- */

static void a_record_begins_with_the_fields_of_every_event(void **state)
{
        struct audit_record r;

        (void)state;
        begin(&r, "web-1");
        audit_open(&r, "attributes");
        audit_str(&r, "account", STR("123456789012"));
        audit_int(&r, "n", -5);
        audit_close(&r);
        audit_strs(&r, "roles", (struct str[]){ STR("Node"), STR("App") }, 2);
        audit_bool(&r, "renewed", false);
        AUTO_MEM char *expected = mem_printf(
                "{\"time\":\"2023-11-14T22:13:20.123Z\",\"uid\":\"%s\",\"event\":\"instance.join\",\"code\":\"TJ002I\","
                "\"cluster_name\":\"example.com\",\"ei\":0,\"node_name\":\"web-1\","
                "\"attributes\":{\"account\":\"123456789012\",\"n\":-5},\"roles\":[\"Node\",\"App\"],\"renewed\":false,"
                "\"success\":true}\n",
                r.uid);
        AUTO_MEM char *text = str_dup(audit_record_text(&r));
        assert_string_equal(text, expected);
        audit_record_release(&r);
}

static void an_error_makes_the_event_a_failure_with_its_causes(void **state)
{
        struct audit_record r;
        struct error *err = error_because(error_new(ERROR_PERMISSION_DENIED, "the join was refused"),
                                          error_new(ERROR_PERMISSION_DENIED, "rule 2 wants another account"));

        (void)state;
        begin(&r, "web-1");
        audit_open(&r, "attributes"); /* left open where the failure happened */
        audit_error(&r, err);
        json_t *json = parsed(audit_record_text(&r));
        assert_true(json_is_false(json_object_get(json, "success")));
        assert_string_equal(json_string_value(json_object_get(json, "error")), "the join was refused");
        assert_string_equal(json_string_value(json_array_get(json_object_get(json, "causes"), 0)),
                            "rule 2 wants another account");
        json_decref(json);
        audit_record_release(&r);
        error_free(err);
}

static void records_once_whether_it_was_a_success(void **state)
{
        struct audit_record r;

        (void)state;
        begin(&r, "web-1");
        audit_bool(&r, "success", false);
        json_t *json = parsed(audit_record_text(&r)); /* which refuses duplicate keys */
        assert_true(json_is_false(json_object_get(json, "success")));
        json_decref(json);
        audit_record_release(&r);
}

static void every_record_has_an_id_of_its_own(void **state)
{
        struct audit_record a, b;

        (void)state;
        begin(&a, "x");
        begin(&b, "x");
        assert_string_not_equal(a.uid, b.uid);
        assert_int_equal(strlen(a.uid), AUDIT_UID_LEN);
        assert_int_equal(a.uid[14], '4');
        assert_non_null(strchr("89ab", a.uid[19]));
        audit_record_release(&a);
        audit_record_release(&b);
}

static void truncates_and_escapes_text_of_peers(void **state)
{
        struct audit_record r;
        char longest[3 * LIMIT_AUDIT_FIELD];

        (void)state;
        for (size_t i = 0; i + 1 < sizeof longest; i += 2)
                memcpy(longest + i, "\xc3\xa9", 2); /* é: a cut must not halve it */
        audit_begin(&r, &audit_instance_join, noon, STR("c"));
        audit_str(&r, "long", (struct str){ longest + 1, sizeof longest - 1 });
        audit_str(&r, "wild", STR("\x1b[31m\"\n\x00\xff\xe2\x80\xae"));
        struct str text = audit_record_text(&r);
        json_t *json = json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, NULL);
        assert_non_null(json);
        assert_true(json_string_length(json_object_get(json, "long")) <= LIMIT_AUDIT_FIELD + 2);
        for (size_t i = 0; i + 1 < text.len; i++)
                assert_true((uint8_t)text.ptr[i] >= 0x20);
        assert_false(str_contains(text, STR("\xe2\x80\xae")));
        json_decref(json);
        audit_record_release(&r);
}

static void a_command_is_recorded_beside_text_that_grows_in_json(void **state)
{
        struct audit_record r;
        char *filler = mem_alloc(LIMIT_AUDIT_TEXT);

        (void)state;
        memset(filler, 1, LIMIT_AUDIT_TEXT);
        memcpy(filler, "rm -rf", 6);
        audit_begin(&r, &audit_exec, noon, STR("c"));
        audit_text(&r, "command", (struct str){ filler, LIMIT_AUDIT_TEXT });
        audit_text(&r, "path", STR("/etc/shadow"));
        struct str text = audit_record_text(&r);
        assert_true(str_contains(text, STR("\"command\":\"rm -rf")));
        assert_true(str_contains(text, STR("\"path\":\"/etc/shadow\"")));
        assert_true(str_contains(text, STR("\"truncated\":true")));
        audit_record_release(&r);
        free(filler);
}

static void files_have_kinds_of_their_own(void **state)
{
        (void)state;
        assert_string_equal(audit_file_kind(STR("rename"), false)->code, "TS016I");
        assert_string_equal(audit_file_kind(STR("open"), true)->code, "TS001E");
        assert_string_equal(audit_file_kind(STR("upload"), false)->event, "scp");
        assert_string_equal(audit_file_kind(STR("dance"), false)->event, "sftp");
}

static void a_record_over_its_limit_stays_valid_and_is_marked(void **state)
{
        struct audit_record r;
        char value[LIMIT_AUDIT_FIELD];

        (void)state;
        memset(value, 'v', sizeof value);
        begin(&r, "web-1");
        for (int i = 0; i < 31; i++) {
                AUTO_MEM char *key = mem_printf("k%d", i);

                audit_str(&r, key, (struct str){ value, sizeof value });
        }
        audit_open(&r, "late");
        audit_open(&r, "later");
        audit_str(&r, "k", (struct str){ value, sizeof value });
        audit_close(&r);
        audit_close(&r);
        audit_bool(&r, "small", true);
        struct str text = audit_record_text(&r);
        assert_true(text.len <= LIMIT_AUDIT_RECORD);
        json_t *json = parsed(text);
        assert_true(json_is_true(json_object_get(json, "truncated")));
        assert_true(json_is_true(json_object_get(json, "success")));
        json_decref(json);
        audit_record_release(&r);
}

/* ---- the file ---------------------------------------------------------------------------------------- */

static void writes_lines_in_the_order_they_were_asked(void **state)
{
        struct fixture *f = *state;

        write_one(f, "a");
        write_one(f, "b");
        wait_all(f);
        assert_int_equal(write_and_wait(f, "c"), 0);
        assert_nodes(f, "a b c");
        assert_int_equal(mode_of(f->path) & ~0640u, 0);
}

static void closing_finishes_pending_requests(void **state)
{
        struct fixture *f = *state;

        write_one(f, "a");
        close_log(f);
        assert_int_equal(f->waiting, 0);
        assert_nodes(f, "a");
}

static void appends_to_an_existing_file(void **state)
{
        struct fixture *f = *state;

        write_and_wait(f, "a");
        reopen(f);
        write_and_wait(f, "b");
        assert_nodes(f, "a b");
}

static void keeps_a_torn_line_apart(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *torn_path = path_in(f->dir, "log/events.torn");

        write_and_wait(f, "a");
        close_log(f);
        append_raw(f, "{\"time\":\"2023-11-14T22:1");
        reopen(f);
        write_and_wait(f, "b");
        assert_nodes(f, "a b");
        AUTO_MEM char *torn = contents(torn_path);
        assert_string_equal(torn, "{\"time\":\"2023-11-14T22:1\n");
}

static void repairs_a_file_that_is_one_torn_line(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *huge = mem_alloc(50 * KiB);

        close_log(f);
        memset(huge, '\0', 50 * KiB);
        memset(huge, 'x', 50 * KiB - 1);
        append_raw(f, huge);
        reopen(f);
        write_and_wait(f, "a");
        assert_nodes(f, "a");
}

static void starts_a_new_file_when_the_old_one_was_moved_away(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *rotated = mem_printf("%s.1", f->path);

        write_and_wait(f, "a");
        assert_int_equal(rename(f->path, rotated), 0);
        write_and_wait(f, "b");
        assert_nodes(f, "b");
        AUTO_MEM char *old = nodes_in(rotated);
        assert_string_equal(old, "a");
}

static void names_the_events_in_the_file(void **state)
{
        struct fixture *f = *state;
        struct audit_record r;
        struct map seen = { 0 };

        begin(&r, "\"uid\":\"00000000-0000-0000-0000-000000000000\"");
        AUTO_MEM char *uid = str_dup(str_of(r.uid));
        f->waiting = 1;
        audit_write(f->log, &r, on_written, f);
        wait_all(f);
        reopen(f);
        assert_null(audit_log_uids(f->log, &seen));
        assert_non_null(map_get(&seen, str_of(uid)));
        assert_int_equal(seen.count, 1);
        map_release(&seen);
}

static void refuses_while_the_disk_is_full_and_works_afterwards(void **state)
{
        struct fixture *f = *state;

        write_and_wait(f, "a");
        limit_file_size((rlim_t)size_of(f->path) + 40); /* the next line fits in part */
        enum error_code full = write_and_wait(f, "b");
        limit_file_size(RLIM_INFINITY);
        assert_int_equal(full, ERROR_RESOURCE_EXHAUSTED);
        assert_nodes(f, "a");
        assert_int_equal(write_and_wait(f, "c"), 0);
        assert_nodes(f, "a c");
}

/* Auth knows the directory by a descriptor. */
static void names_the_directory_that_an_administrator_knows(void **state)
{
        static const char *const broken[] = { "events.log", "events.torn" };
        struct fixture *f = *state;
        AUTO_MEM char *log_dir = path_in(f->dir, "log");
        AUTO_FD int fd = open(log_dir, O_RDONLY | O_DIRECTORY);
        AUTO_MEM char *by_descriptor = mem_printf("/proc/self/fd/%d", fd);

        close_log(f);
        path_show_as(by_descriptor, "/var/lib/teleport/log");
        for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
                AUTO_MEM char *path = mem_printf("%s/%s", log_dir, broken[i]);
                AUTO_MEM char *shown = mem_printf("'/var/lib/teleport/log/%s'", broken[i]);

                if (i == 1)
                        assert_null(file_write_atomic(f->path, STR("{\"torn\":"), 0600));
                unlink(path);
                assert_int_equal(mkdir(path, 0700), 0);
                AUTO_PTR(error) err = audit_log_open(&f->loop, by_descriptor, &f->log);
                assert_non_null(err);
                assert_non_null(strstr(err->what, shown));
                assert_null(strstr(err->what, "/proc/"));
                assert_int_equal(rmdir(path), 0);
        }
        reopen(f);
}

static void closing_finishes_requests_at_every_stage_of_their_job(void **state)
{
        struct fixture *f = *state;

        for (int m = 0; m < JOB_MOMENTS; m++) {
                reopen(f);
                f->last_code = ERROR_UNAVAILABLE;
                job_hold(&f->loop, (enum job_moment)m);
                write_one(f, "a");
                job_await_held(&f->loop);
                write_one(f, "b"); /* for the next batch */
                audit_log_close(f->log, on_closed, f);
                job_resume();
                while (f->log != NULL)
                        uv_run(&f->loop.uv, UV_RUN_ONCE);
                assert_int_equal(f->waiting, 0);
                assert_int_equal(f->last_code, 0);
        }
        reopen(f);
        assert_nodes(f, "a b a b a b");
}

static void does_not_wait_for_the_pool(void **state)
{
        struct fixture *f = *state;

        job_block_pool(&f->loop);
        assert_int_equal(write_and_wait(f, "a"), 0);
        job_free_pool();
        assert_nodes(f, "a");
}

struct taken {
        size_t written, refused;
};

static void on_taken(void *ctx, struct error *err)
{
        struct taken *t = ctx;

        if (err == NULL)
                t->written++;
        else
                t->refused++;
        if (err != NULL)
                assert_int_equal(err->code, ERROR_RESOURCE_EXHAUSTED);
        error_free(err);
}

static void holds_no_more_in_memory_than_its_limit(void **state)
{
        enum { FITS = LIMIT_AUDIT_WAITING / LIMIT_AUDIT_RECORD, MORE = 50 };
        struct fixture *f = *state;
        struct taken t = { 0 };
        AUTO_MEM char *line = mem_alloc(LIMIT_AUDIT_RECORD);

        memset(line, 'x', LIMIT_AUDIT_RECORD);
        line[0] = '{';
        line[LIMIT_AUDIT_RECORD - 1] = '\n';
        for (size_t i = 0; i < FITS + MORE; i++)
                audit_append_text(f->log, str_of_bytes(line, LIMIT_AUDIT_RECORD), on_taken, &t);
        audit_append_text(f->log, str_of_bytes(line, LIMIT_AUDIT_RECORD), NULL, NULL); /* without a callback */
        assert_int_equal(audit_log_waiting(f->log), LIMIT_AUDIT_WAITING);
        while (t.written + t.refused < FITS + MORE)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
        assert_int_equal(t.refused, MORE);
        assert_int_equal(audit_log_waiting(f->log), 0);
        audit_append_text(f->log, str_of_bytes(line, LIMIT_AUDIT_RECORD), on_taken, &t);
        while (t.written < FITS + 1)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
        assert_int_equal(t.refused, MORE);
}

static void removes_a_line_that_a_full_disk_did_not_sync(void **state)
{
        struct fixture *f = *state;

        write_and_wait(f, "a");
        sync_errno = ENOSPC;
        enum error_code full = write_and_wait(f, "b");
        sync_errno = 0;
        assert_int_equal(full, ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(write_and_wait(f, "c"), 0);
        assert_nodes(f, "a c");
}

static void ends_the_process_when_a_sync_fails(void **state)
{
        struct fixture *f = *state;
        int status;

        close_log(f); /* threads of the pool do not survive a fork */
        pid_t child = fork();
        if (child == 0) {
                close(STDERR_FILENO);
                if (uv_loop_fork(&f->loop.uv) != 0)
                        _exit(9);
                sync_errno = EIO;
                reopen(f);
                write_and_wait(f, "a");
                _exit(0); /* acknowledged, or refused: both would be wrong */
        }
        waitpid(child, &status, 0);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), EXIT_FAILURE);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        const struct CMUnitTest tests[] = {
                ROW(ends_the_process_when_a_sync_fails), /* first: it forks, and libuv has no threads yet */
                cmocka_unit_test(a_record_begins_with_the_fields_of_every_event),
                cmocka_unit_test(an_error_makes_the_event_a_failure_with_its_causes),
                cmocka_unit_test(records_once_whether_it_was_a_success),
                cmocka_unit_test(every_record_has_an_id_of_its_own),
                cmocka_unit_test(truncates_and_escapes_text_of_peers),
                cmocka_unit_test(a_command_is_recorded_beside_text_that_grows_in_json),
                cmocka_unit_test(files_have_kinds_of_their_own),
                cmocka_unit_test(a_record_over_its_limit_stays_valid_and_is_marked),
                ROW(writes_lines_in_the_order_they_were_asked),
                ROW(closing_finishes_pending_requests),
                ROW(appends_to_an_existing_file),
                ROW(keeps_a_torn_line_apart),
                ROW(repairs_a_file_that_is_one_torn_line),
                ROW(starts_a_new_file_when_the_old_one_was_moved_away),
                ROW(names_the_events_in_the_file),
                ROW(refuses_while_the_disk_is_full_and_works_afterwards),
                ROW(closing_finishes_requests_at_every_stage_of_their_job),
                ROW(does_not_wait_for_the_pool),
                ROW(names_the_directory_that_an_administrator_knows),
                ROW(removes_a_line_that_a_full_disk_did_not_sync),
                ROW(holds_no_more_in_memory_than_its_limit),
        };
#undef ROW
        job_use_one_thread();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
