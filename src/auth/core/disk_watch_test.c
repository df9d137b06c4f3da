/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/disk_watch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/log.h"
#include "loop/job_testing.h"

static void ends_at_any_moment_of_a_look(void **state)
{
        (void)state;
        for (int m = 0; m < JOB_MOMENTS; m++) {
                struct loop loop;

                assert_null(loop_init(&loop, NULL));
                job_hold(&loop, (enum job_moment)m);
                struct disk_watch *d = disk_watch_new(&loop, "/");
                job_await_held(&loop);
                disk_watch_free(d);
                job_resume();
                loop_release(&loop);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(ends_at_any_moment_of_a_look) };

        job_use_one_thread();
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
