/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "session/session_internal.h"

/*
 * A terminal's hang-up is seen on its descriptor and arrives as a signal; the shell may have ended by then. The end of
 * the session must still be reported.
 */
static void a_signal_after_the_end_of_the_child_is_not_sent(void **state)
{
        static const int late[] = { SIGHUP, SIGTERM, SIGINT };
        int status;

        (void)state;
        for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
                pid_t pid = fork();

                if (pid == 0) {
                        struct child c;

                        if (child_prepare(&c) != NULL)
                                _exit(2);
                        raise(late[i]); /* not read any more */
                        child_release(&c);
                        raise(late[i]);
                        _exit(0);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_signal_after_the_end_of_the_child_is_not_sent),
        };

        return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
