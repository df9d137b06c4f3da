/* SPDX-License-Identifier: Apache-2.0 */
#include "os/file.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/file_testing.h"

struct fixture {
        char *dir;
        char path[128];
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = test_dir_new();
        snprintf(f->path, sizeof(f->path), "%s/identity", f->dir);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        test_dir_free(f->dir);
        free(f);
        return 0;
}

static void reads_back_the_written_file(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) out = BUF_MAX(100);

        assert_null(file_write_atomic(f->path, STR("one"), 0600));
        assert_null(file_write_atomic(f->path, STR("two\0three"), 0600));
        assert_null(file_read(f->path, &out));
        assert_true(str_equal(buf_str(&out), STR("two\0three")));
}

static void gives_the_file_its_mode_under_any_umask(void **state)
{
        struct fixture *f = *state;
        mode_t before = umask(0077);

        assert_null(file_write_atomic(f->path, STR("x"), 0644));
        assert_int_equal(mode_of(f->path), 0644);
        assert_null(file_write_atomic(f->path, STR("x"), 0400));
        assert_int_equal(mode_of(f->path), 0400);
        umask(before);
}

static void leaves_nothing_beside_the_file(void **state)
{
        struct fixture *f = *state;

        assert_null(file_write_atomic(f->path, STR("x"), 0600));
        assert_int_equal(count_entries(f->dir), 1);
        /* A directory cannot be replaced by a file: the write fails at its last step. */
        AUTO_MEM char *occupied = path_in(f->dir, "occupied");
        assert_int_equal(mkdir(occupied, 0700), 0);
        assert_failed(file_write_atomic(occupied, STR("x"), 0600));
        assert_int_equal(count_entries(f->dir), 2);
        rmdir(occupied);
}

static void writes_files_with_the_longest_name(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) out = BUF_MAX(100);
        char name[NAME_MAX + 2] = { 0 };

        memset(name, 'a', NAME_MAX);
        AUTO_MEM char *longest = path_in(f->dir, name);
        assert_null(file_write_atomic(longest, STR("x"), 0600));
        assert_null(file_read(longest, &out));
        assert_true(str_equal(buf_str(&out), STR("x")));
        assert_int_equal(unlink(longest), 0);
        name[NAME_MAX] = 'a';
        AUTO_MEM char *longer = path_in(f->dir, name);
        assert_failed(file_write_atomic(longer, STR("x"), 0600));
}

static void replaces_a_symbolic_link_instead_of_following_it(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *elsewhere = path_in(f->dir, "elsewhere");
        AUTO(buf) out = BUF_MAX(100);

        assert_null(file_write_atomic(elsewhere, STR("untouched"), 0600));
        assert_int_equal(symlink(elsewhere, f->path), 0);
        assert_null(file_write_atomic(f->path, STR("new"), 0600));
        assert_null(file_read(elsewhere, &out));
        assert_true(str_equal(buf_str(&out), STR("untouched")));
}

static void reads_a_file_that_just_fits_and_refuses_one_byte_more(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) fits = BUF_MAX(10);
        AUTO(buf) small = BUF_MAX(9);

        assert_null(file_write_atomic(f->path, STR("0123456789"), 0600));
        assert_null(file_read(f->path, &fits));
        assert_int_equal(fits.len, 10);
        assert_code(file_read(f->path, &small), ERROR_RESOURCE_EXHAUSTED);
}

static void reads_files_that_do_not_say_how_long_they_are(void **state)
{
        AUTO(buf) out = BUF_MAX(64 * KiB);
        AUTO(buf) small = BUF_MAX(8);

        (void)state;
        assert_null(file_read("/proc/self/status", &out));
        assert_true(str_starts_with(buf_str(&out), STR("Name:")));
        assert_code(file_read("/proc/self/status", &small), ERROR_RESOURCE_EXHAUSTED);
}

static void refuses_files_that_are_not_regular(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) out = BUF_MAX(100);

        assert_code(file_read(f->dir, &out), ERROR_FAILED_PRECONDITION);
        assert_int_equal(mkfifo(f->path, 0600), 0);
        assert_code(file_read(f->path, &out), ERROR_FAILED_PRECONDITION);
}

static void names_the_missing_file(void **state)
{
        AUTO(buf) out = BUF_MAX(100);
        (void)state;
        assert_refused(file_read("/nonexistent/identity", &out), ERROR_NOT_FOUND, "/nonexistent/identity");
}

static void refuses_a_secret_that_others_may_read_or_write(void **state)
{
        struct fixture *f = *state;
        static const unsigned refused[] = { 0640, 0604, 0620, 0602, 0666 };

        for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
                AUTO(buf) out = BUF_MAX(100);

                assert_null(file_write_atomic(f->path, STR("secret"), refused[i]));
                assert_code(file_read_private(f->path, &out), ERROR_PERMISSION_DENIED);
                assert_int_equal(out.len, 0);
        }
        AUTO(buf) out = BUF_MAX(100);
        assert_null(file_write_atomic(f->path, STR("secret"), 0400));
        assert_null(file_read_private(f->path, &out));
}

static void refuses_a_secret_of_another_user(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) out = BUF_MAX(100);

        if (geteuid() != 0)
                skip();
        assert_null(file_write_atomic(f->path, STR("secret"), 0600));
        assert_int_equal(chown(f->path, 12345, 12345), 0);
        assert_code(file_read_private(f->path, &out), ERROR_PERMISSION_DENIED);
}

static void makes_a_directory_and_those_above_it(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *above = path_in(f->dir, "a");
        AUTO_MEM char *last = path_in(f->dir, "a/b");

        assert_null(dir_make(last, 0700));
        assert_null(dir_make(last, 0700));
        assert_int_equal(mode_of(last), 0700);
        assert_int_equal(chmod(last, 0770), 0);
        assert_code(dir_make(last, 0700), ERROR_PERMISSION_DENIED);
        rmdir(last);
        rmdir(above);
}

static void makes_a_directory_with_its_mode_and_follows_no_link(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *other = path_in(f->dir, "other");
        mode_t before = umask(0077);

        assert_null(dir_make_exact(f->path, 0755));
        assert_int_equal(mode_of(f->path), 0755);
        assert_int_equal(chmod(f->path, 0711), 0);
        assert_null(dir_make_exact(f->path, 0755)); /* it is there, and no other account may write in it */
        assert_int_equal(mode_of(f->path), 0711);
        assert_int_equal(chmod(f->path, 0777), 0);
        assert_code(dir_make_exact(f->path, 0755), ERROR_PERMISSION_DENIED);
        assert_int_equal(rmdir(f->path), 0);

        assert_int_equal(mkdir(other, 0700), 0);
        assert_int_equal(symlink(other, f->path), 0);
        assert_failed(dir_make_exact(f->path, 0755));
        assert_int_equal(mode_of(other), 0700);
        assert_int_equal(rmdir(other), 0);
        umask(before);
}

static void refuses_a_file_where_a_directory_should_be(void **state)
{
        struct fixture *f = *state;

        assert_null(file_write_atomic(f->path, STR("x"), 0600));
        assert_code(dir_make(f->path, 0700), ERROR_FAILED_PRECONDITION);
}

static void locks_a_directory_for_one_process_and_names_it(void **state)
{
        struct fixture *f = *state;
        AUTO_FD int first = -1;
        int second = -1;
        AUTO_MEM char *pid = mem_printf("process %ld", (long)getpid());

        assert_false(dir_is_locked(f->dir));
        assert_null(dir_lock(f->dir, &first));
        assert_true(dir_is_locked(f->dir));
        assert_refused(dir_lock(f->dir, &second), ERROR_FAILED_PRECONDITION, pid);
        close(first);
        first = -1;
        assert_false(dir_is_locked(f->dir));
        assert_null(dir_lock(f->dir, &second));
        close(second);
}

static void gives_the_lock_back_when_the_process_dies(void **state)
{
        struct fixture *f = *state;
        int fd = -1;
        pid_t child = fork();

        if (child == 0) {
                struct error *err = dir_lock(f->dir, &fd);

                _exit(err == NULL ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_null(dir_lock(f->dir, &fd));
        close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(reads_back_the_written_file),
                TEST(gives_the_file_its_mode_under_any_umask),
                TEST(leaves_nothing_beside_the_file),
                TEST(writes_files_with_the_longest_name),
                TEST(replaces_a_symbolic_link_instead_of_following_it),
                TEST(reads_a_file_that_just_fits_and_refuses_one_byte_more),
                TEST(reads_files_that_do_not_say_how_long_they_are),
                TEST(refuses_files_that_are_not_regular),
                TEST(names_the_missing_file),
                TEST(refuses_a_secret_that_others_may_read_or_write),
                TEST(refuses_a_secret_of_another_user),
                TEST(makes_a_directory_and_those_above_it),
                TEST(makes_a_directory_with_its_mode_and_follows_no_link),
                TEST(refuses_a_file_where_a_directory_should_be),
                TEST(locks_a_directory_for_one_process_and_names_it),
                TEST(gives_the_lock_back_when_the_process_dies),
        };

        return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
