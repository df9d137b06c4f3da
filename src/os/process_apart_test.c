/* SPDX-License-Identifier: Apache-2.0 */
#include "os/process_apart.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error_testing.h"

struct sum {
        int a, b, result;
};

static int additions;

static void add(void *result)
{
        struct sum *s = result;

        additions++;
        s->result = s->a + s->b;
}

static void end_early(void *result)
{
        struct sum *s = result;

        s->result = 1;
        _exit(0);
}

static void crash(void *result)
{
        (void)result;
        (void)kill(getpid(), SIGKILL);
        pause();
}

static void returns_the_result_and_nothing_else(void **state)
{
        struct sum s = { 2, 3, 0 };

        (void)state;
        assert_done(process_apart(add, &s, sizeof s));
        assert_int_equal(s.result, 5);
        assert_int_equal(additions, 0);
}

static void an_early_end_is_an_error(void **state)
{
        struct sum s = { 2, 3, 0 };

        (void)state;
        AUTO_PTR(error) ended = process_apart(end_early, &s, sizeof s);
        AUTO_PTR(error) killed = process_apart(crash, &s, sizeof s);
        assert_int_equal(ended->code, ERROR_UNAVAILABLE);
        assert_int_equal(killed->code, ERROR_UNAVAILABLE);
        assert_int_equal(s.result, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(returns_the_result_and_nothing_else),
                cmocka_unit_test(an_early_end_is_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
