/* SPDX-License-Identifier: Apache-2.0 */
#include "os/process_fork.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { FORKS = 200 };

static pid_t parent;
static int ends[2]; /* as a loop has one for its handlers: open in both processes */

static void on_signal(int signum)
{
        ssize_t n = write(ends[1], &signum, sizeof(signum));
        (void)n;
        if (getpid() != parent)
                _exit(1);
}

/* Sent before the child has run: it is there when its first instruction is. */
static void a_signal_for_a_new_child_is_not_the_parents(void **state)
{
        struct sigaction before, action = { .sa_handler = on_signal };
        char byte;
        int status;

        (void)state;
        parent = getpid();
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(sigaction(SIGTERM, &action, &before), 0);
        for (int i = 0; i < FORKS; i++) {
                pid_t child = process_fork();

                if (child == 0)
                        for (;;)
                                pause();
                assert_int_equal(kill(child, SIGTERM), 0);
                assert_int_equal(waitpid(child, &status, 0), child);
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
        }
        sigaction(SIGTERM, &before, NULL);
        close(ends[1]);
        assert_int_equal(read(ends[0], &byte, 1), 0);
        close(ends[0]);
}

static void keeps_ignored_and_blocked_signals(void **state)
{
        struct sigaction before, action = { .sa_handler = SIG_IGN }, now;
        sigset_t blocked, mask;
        int status;

        (void)state;
        assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR2);
        assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
        pid_t child = process_fork();
        if (child == 0) {
                sigprocmask(SIG_SETMASK, NULL, &mask);
                sigaction(SIGUSR1, NULL, &now);
                _exit(now.sa_handler == SIG_IGN && sigismember(&mask, SIGUSR2) == 1 && sigismember(&mask, SIGTERM) == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        assert_int_equal(sigismember(&mask, SIGTERM), 0);
        sigprocmask(SIG_UNBLOCK, &blocked, NULL);
        sigaction(SIGUSR1, &before, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_signal_for_a_new_child_is_not_the_parents),
                cmocka_unit_test(keeps_ignored_and_blocked_signals),
        };

        return cmocka_run_group_tests_name("process_fork", tests, NULL, NULL);
}
