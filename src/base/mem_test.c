/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MUCH = 1024 * 1024 }; /* more than a pipe holds */

/* Reads slowly to the end; exits 0 if it received MUCH bytes. */
static void read_slowly(int fd)
{
        char bytes[1000];
        size_t total = 0;
        ssize_t n;

        while ((n = read(fd, bytes, sizeof bytes)) > 0)
                total += (size_t)n;
        _exit(total == MUCH ? 0 : 1);
}

static void writes_all_that_a_pipe_takes_in_pieces(void **state)
{
        AUTO_MEM char *bytes = mem_alloc(MUCH);
        int ends[2], status;

        (void)state;
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        if (pid == 0) {
                close(ends[1]);
                read_slowly(ends[0]);
        }
        close(ends[0]);
        assert_true(fd_write_all(ends[1], (struct str){ bytes, MUCH }));
        assert_true(fd_write_all(ends[1], STR("")));
        close(ends[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void reports_the_reason_of_a_failure(void **state)
{
        int ends[2];

        (void)state;
        signal(SIGPIPE, SIG_IGN);
        assert_int_equal(pipe(ends), 0);
        close(ends[0]);
        assert_false(fd_write_all(ends[1], STR("x")));
        assert_int_equal(errno, EPIPE);
        close(ends[1]);
        assert_false(fd_write_all(ends[1], STR("x")));
        assert_int_equal(errno, EBADF);
}

static const char constants[1024 * 1024] = { [0] = 1, [512 * 1024] = 2, [1024 * 1024 - 1] = 3 };

/* Whether the page is in the memory of this process (Linux, Documentation/admin-guide/mm/pagemap.rst, bit 63). */
static bool is_resident(const volatile char *at)
{
        uint64_t entry = 0;
        int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        off_t offset = (off_t)((uintptr_t)at / (uintptr_t)sysconf(_SC_PAGESIZE) * sizeof entry);

        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &entry, sizeof entry, offset), sizeof entry);
        close(fd);
        return entry >> 63;
}

static void constants_leave_the_memory_and_come_back(void **state)
{
        const volatile char *middle = &constants[512 * 1024]; /* the kernel maps pages beside a page that is read */

        (void)state;
        assert_int_equal(*middle, 2);
        assert_true(is_resident(middle));
        mem_trim();
        assert_false(is_resident(middle));
        assert_int_equal(*middle, 2);
        assert_int_equal(constants[0], 1);
        assert_int_equal(constants[sizeof constants - 1], 3);
}

static __attribute__((noinline)) int use_stack(size_t count)
{
        volatile char deep[64 * 1024];
        int sum = 0;

        for (size_t i = 0; i < sizeof deep; i++)
                deep[i] = 1;
        for (size_t i = 0; i < count; i++)
                sum += deep[i];
        return sum;
}

static void stack_that_was_used_leaves_the_memory(void **state)
{
        const volatile char *below = (const volatile char *)__builtin_frame_address(0) - 40 * 1024;
        char here[256];

        (void)state;
        memset(here, 'x', sizeof here);
        assert_int_equal(use_stack(10), 10);
        assert_true(is_resident(below));
        mem_trim();
        assert_false(is_resident(below));
        for (size_t i = 0; i < sizeof here; i++)
                assert_int_equal(here[i], 'x');
        assert_int_equal(use_stack(sizeof here), sizeof here);
}

/* Whether the page that the thread has used is still there after mem_trim(). */
static void *trim(void *ret)
{
        const volatile char *below = (const volatile char *)__builtin_frame_address(0) - 40 * 1024;

        (void)use_stack(10);
        mem_trim();
        *(bool *)ret = is_resident(below);
        return NULL;
}

static void the_stack_of_another_thread_is_left_alone(void **state)
{
        bool is_there = false;
        pthread_t thread;

        (void)state;
        assert_int_equal(pthread_create(&thread, NULL, trim, &is_there), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(is_there);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_all_that_a_pipe_takes_in_pieces),
                cmocka_unit_test(reports_the_reason_of_a_failure),
                cmocka_unit_test(constants_leave_the_memory_and_come_back),
                cmocka_unit_test(stack_that_was_used_leaves_the_memory),
                cmocka_unit_test(the_stack_of_another_thread_is_left_alone),
        };

        return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
