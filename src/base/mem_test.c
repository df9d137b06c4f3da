/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_all_that_a_pipe_takes_in_pieces),
                cmocka_unit_test(reports_the_reason_of_a_failure),
        };

        return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
