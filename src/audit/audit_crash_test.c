/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process is killed at each step of writing, rotating and compressing the log: what was acknowledged is there once. The steps are the
 * calls below, which this program counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/audit_archive.h"
#include "audit/audit_names.h"
#include "audit/audit_search.h"
#include "base/limits.h"
#include "loop/loop.h"
#include "os/file_testing.h"
#include "os/zlib_api.h"

/* ---- calls that change the disk ------------------------------------------------------------------------- */

static struct {
        atomic_int count;
        int kill_at;      /* number of the call before or within which the process is killed; 0: never */
        int rename_errno; /* the result of the next rename; 0: the system's result */
        int sync_errno;   /* the same of the next fsync */
        const char *stuck; /* the path of a file that cannot be removed; NULL: there is none */
} steps;

/* Whether the process is to be killed in this call. */
static bool is_last(void)
{
        return atomic_fetch_add(&steps.count, 1) + 1 == steps.kill_at;
}

static void die_if(bool is_time)
{
        if (is_time)
                kill(getpid(), SIGKILL);
}

int rename(const char *from, const char *to)
{
        int errnum = steps.rename_errno;

        die_if(is_last());
        steps.rename_errno = 0;
        errno = errnum;
        return errnum != 0 ? -1 : (int)syscall(SYS_rename, from, to);
}

int unlink(const char *path)
{
        die_if(is_last());
        if (steps.stuck != NULL && strcmp(path, steps.stuck) == 0) {
                errno = EPERM;
                return -1;
        }
        return (int)syscall(SYS_unlink, path);
}

int fsync(int fd)
{
        int errnum = steps.sync_errno;

        die_if(is_last());
        steps.sync_errno = 0;
        errno = errnum;
        return errnum != 0 ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
        die_if(is_last());
        return (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t size)
{
        die_if(is_last());
        return (int)syscall(SYS_ftruncate, fd, size);
}

/* Half of the bytes are written. */
ssize_t write(int fd, const void *from, size_t len)
{
        bool is_time = fd > 2 && len > 8 && is_last(); /* not output, and not the loop's eventfd */
        ssize_t done = syscall(SYS_write, fd, from, is_time ? len / 2 : len);

        die_if(is_time);
        return done;
}

/* ---- one life of a writer --------------------------------------------------------------------------------- */

enum { EVENTS = 8, ROTATION = 1000, STEPS_MAX = 1000 };

struct writer {
        struct loop loop;
        struct audit_log *log;
        atomic_uchar *acknowledged; /* shared with the parent */
        int number;
        enum error_code code;
};

static void on_written(void *ctx, struct error *err)
{
        struct writer *w = ctx;

        w->code = err == NULL ? 0 : err->code;
        if (err == NULL)
                w->acknowledged[w->number] = 1;
        error_free(err);
        loop_stop(&w->loop);
}

static void write_event(struct writer *w, int number)
{
        struct audit_record r;

        w->number = number;
        audit_begin(&r, &audit_exec, walltime_of_unix(1700000000 + number), STR("example.com"));
        audit_int(&r, "number", number);
        audit_str(&r, "padding", STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        audit_write(w->log, &r, on_written, w);
        loop_run(&w->loop);
}

static void on_closed(void *ctx)
{
        loop_stop(&((struct writer *)ctx)->loop);
}

static void open_log(struct writer *w, const char *dir)
{
        assert_done(loop_init(&w->loop, NULL));
        assert_done(audit_log_open(&w->loop, dir, &w->log));
        audit_log_rotate(w->log, (struct audit_rotation){ .size = ROTATION });
}

static void close_log(struct writer *w)
{
        audit_log_close(w->log, on_closed, w);
        loop_run(&w->loop);
        loop_release(&w->loop);
}

static struct audit_archived archive(const char *dir)
{
        struct audit_archived done;

        assert_done(audit_archive(dir, &(struct audit_archive_options){ 0 }, &done));
        return done;
}

/* Whether it was killed. */
static bool live(const char *dir, atomic_uchar *acknowledged, int kill_at)
{
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
                struct writer w = { .acknowledged = acknowledged };

                steps.count = 0;
                steps.kill_at = kill_at;
                open_log(&w, dir);
                for (int i = 0; i < EVENTS; i++) {
                        write_event(&w, i);
                        (void)archive(dir);
                }
                _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
        return WIFSIGNALED(status);
}

static void assert_found_once(const char *dir, const atomic_uchar *acknowledged)
{
        struct audit_query q = { .to = { INT64_MAX } };
        struct audit_page page = { 0 };

        assert_done(audit_search(dir, &q, &page));
        assert_string_equal(page.next, "");
        assert_int_equal(page.skipped, 0);
        for (int i = 0; i < EVENTS; i++) {
                AUTO_MEM char *mark = mem_printf("\"number\":%d,", i);
                const char *first = strstr(buf_c(&page.text), mark);

                if (first != NULL)
                        assert_null(strstr(first + 1, mark));
                else
                        assert_int_equal(acknowledged[i], 0);
        }
        audit_page_release(&page);
}

static bool exists(const char *dir, const char *name)
{
        AUTO_MEM char *path = path_in(dir, name);

        return access(path, F_OK) == 0;
}

static void nothing_acknowledged_is_lost_at_any_step(void **state)
{
        atomic_uchar *acknowledged = mmap(NULL, EVENTS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        bool was_killed = true;
        int step = 0;

        (void)state;
        assert_ptr_not_equal(acknowledged, MAP_FAILED);
        while (was_killed) {
                char *dir = test_dir_new();
                struct writer w = { .acknowledged = acknowledged };

                for (int i = 0; i < EVENTS; i++)
                        acknowledged[i] = 0;
                was_killed = live(dir, acknowledged, ++step);
                assert_found_once(dir, acknowledged);
                open_log(&w, dir); /* the next start */
                assert_found_once(dir, acknowledged);
                (void)archive(dir);
                assert_found_once(dir, acknowledged);
                assert_false(exists(dir, AUDIT_PACKING_NAME));
                close_log(&w);
                test_dir_free(dir);
                assert_true(step < STEPS_MAX);
        }
        for (int i = 0; i < EVENTS; i++)
                assert_int_equal(acknowledged[i], 1);
        assert_true(step > 40); /* eight writes, and some rotations and compressions */
        munmap(acknowledged, EVENTS);
}

/* ---- a rotation or compression that fails ------------------------------------------------------------------- */

static int count_files(const char *dir)
{
        DIR *d = opendir(dir);
        int count = 0;

        while (d != NULL && readdir(d) != NULL)
                count++;
        closedir(d);
        return count - 2;
}

static void a_log_that_cannot_be_rotated_goes_on(void **state)
{
        atomic_uchar acknowledged[EVENTS] = { 0 };
        struct writer w = { .acknowledged = acknowledged };
        char *dir = test_dir_new();

        (void)state;
        open_log(&w, dir);
        for (int i = 0; i < 3; i++)
                write_event(&w, i);
        assert_int_equal(count_files(dir), 1);
        steps.rename_errno = ENOSPC;
        write_event(&w, 3); /* the rotation is due, and tried again after a minute */
        write_event(&w, 4);
        assert_int_equal(w.code, 0);
        assert_int_equal(count_files(dir), 1);
        close_log(&w);
        open_log(&w, dir);
        steps.sync_errno = EIO; /* of the directory, when the new file is there: the old one gets its name back */
        write_event(&w, 5);
        assert_int_equal(w.code, 0);
        assert_int_equal(count_files(dir), 1);
        close_log(&w);
        open_log(&w, dir);
        write_event(&w, 6);
        assert_int_equal(count_files(dir), 2);
        close_log(&w);
        assert_found_once(dir, acknowledged);
        test_dir_free(dir);
}

static void reopen(struct writer *w, const char *dir, struct fake_clock *clock)
{
        if (w->log != NULL)
                close_log(w);
        assert_done(loop_init(&w->loop, &clock->clock));
        assert_done(audit_log_open(&w->loop, dir, &w->log));
        audit_log_rotate(w->log, (struct audit_rotation){ .age = HOURS(1) });
}

/* The age is that of the first event, also after a restart. A clock that jumps causes one rotation at most. */
static void the_log_is_rotated_by_age_despite_a_wrong_clock(void **state)
{
        atomic_uchar acknowledged[EVENTS] = { 0 };
        struct writer w = { .acknowledged = acknowledged };
        struct fake_clock clock;
        char *dir = test_dir_new();

        (void)state;
        fake_clock_init(&clock, 1700000000);
        reopen(&w, dir, &clock);
        write_event(&w, 0);
        fake_clock_advance(&clock, SECONDS(3599));
        write_event(&w, 1);
        assert_int_equal(count_files(dir), 1);
        reopen(&w, dir, &clock);
        fake_clock_advance(&clock, SECONDS(1));
        write_event(&w, 2);
        assert_int_equal(count_files(dir), 2);
        clock.walltime = walltime_sub(clock.walltime, HOURS(24));
        write_event(&w, 3);
        write_event(&w, 4);
        assert_int_equal(count_files(dir), 3);
        clock.walltime = walltime_add(clock.walltime, HOURS(48));
        write_event(&w, 5);
        write_event(&w, 6);
        assert_int_equal(count_files(dir), 4);
        close_log(&w);
        assert_found_once(dir, acknowledged);
        test_dir_free(dir);
}

/* A machine without a battery starts in 1970, until a time server answers: the events of before are neither removed as old, nor missed by a search. */
static void a_start_in_1970_makes_no_event_old(void **state)
{
        const struct walltime right = walltime_of_unix(1700000060);
        const struct audit_archive_options options = { .now = right, .age = HOURS(24) };
        const struct audit_query q = { .from = walltime_sub(right, HOURS(1)), .to = { INT64_MAX } };
        atomic_uchar acknowledged[EVENTS] = { 0 };
        struct writer w = { .acknowledged = acknowledged };
        struct audit_archived done;
        struct audit_page page = { 0 };
        struct fake_clock clock;
        char *dir = test_dir_new();

        (void)state;
        fake_clock_init(&clock, 1700000000);
        reopen(&w, dir, &clock);
        write_event(&w, 0);
        write_event(&w, 1);
        clock.walltime = walltime_of_unix(1000);
        reopen(&w, dir, &clock);
        write_event(&w, 2);
        assert_int_equal(count_files(dir), 2);
        close_log(&w);
        assert_done(audit_archive(dir, &options, &done));
        assert_int_equal(done.removed, 0);
        assert_int_equal(count_files(dir), 2);
        assert_done(audit_search(dir, &q, &page));
        assert_int_equal(page.count, 3);
        audit_page_release(&page);
        test_dir_free(dir);
}

/* The limit of the size of a file stands for the end of the disk. */
static void a_full_disk_keeps_the_uncompressed_file(void **state)
{
        struct rlimit usual, small;
        struct audit_archived done;
        atomic_uchar acknowledged[EVENTS] = { 0 };
        struct writer w = { .acknowledged = acknowledged };
        char *dir = test_dir_new();

        (void)state;
        open_log(&w, dir);
        for (int i = 0; i < EVENTS; i++)
                write_event(&w, i);
        close_log(&w);
        int count = count_files(dir);
        assert_true(count > 2);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
        small = usual;
        small.rlim_cur = 100;
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        struct error *err = audit_archive(dir, &(struct audit_archive_options){ 0 }, &done);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
        assert_code(err, ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(done.packed, 0);
        assert_int_equal(count_files(dir), count);
        assert_found_once(dir, acknowledged);
        done = archive(dir);
        assert_int_equal(done.packed, count - 1);
        assert_found_once(dir, acknowledged);
        test_dir_free(dir);
}

/* As one with chattr +i. */
static void a_file_that_cannot_be_removed_keeps_no_other(void **state)
{
        struct audit_archive_options by_size = { .size = 25, .tail = INT64_MAX };
        char *dir = test_dir_new();
        AUTO_MEM char *oldest = path_in(dir, "events.log-20260101-000000"), *second = path_in(dir, "events.log-20260102-000000");
        AUTO_MEM char *newest = path_in(dir, "events.log-20260103-000000");
        struct audit_archived done;

        (void)state;
        given_file(dir, "events.log-20260101-000000", "twenty bytes of text");
        given_file(dir, "events.log-20260102-000000", "twenty bytes of text");
        given_file(dir, "events.log-20260103-000000", "twenty bytes of text");
        steps.stuck = oldest;
        assert_code(audit_archive(dir, &by_size, &done), ERROR_PERMISSION_DENIED);
        assert_int_equal(done.removed, 1);
        assert_true(access(oldest, F_OK) == 0 && access(second, F_OK) != 0 && access(newest, F_OK) == 0);
        assert_code(audit_archive(dir, &by_size, &done), ERROR_PERMISSION_DENIED);
        assert_int_equal(done.removed, 0); /* nothing else is removed for it */
        steps.stuck = NULL;
        assert_done(audit_archive(dir, &by_size, &done));
        assert_true(access(oldest, F_OK) != 0 && access(newest, F_OK) == 0);
        test_dir_free(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_acknowledged_is_lost_at_any_step),
                cmocka_unit_test(a_log_that_cannot_be_rotated_goes_on),
                cmocka_unit_test(the_log_is_rotated_by_age_despite_a_wrong_clock),
                cmocka_unit_test(a_start_in_1970_makes_no_event_old),
                cmocka_unit_test(a_full_disk_keeps_the_uncompressed_file),
                cmocka_unit_test(a_file_that_cannot_be_removed_keeps_no_other),
        };
        struct error *err = zlib_load();

        if (err != NULL)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
