/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/error_testing.h"

static void reports_exhaustion_of_its_limit(void **state)
{
        AUTO_PTR(arena) a = arena_new(1000);

        (void)state;
        assert_non_null(arena_try_alloc(a, 900));
        assert_null(arena_check(a, "the answer"));
        assert_null(arena_try_alloc(a, 200));
        assert_null(arena_check(a, "the answer"));
        char *more = arena_alloc(a, 100000);
        more[0] = more[99999] = 1;
        assert_int_equal(arena_str(a, STR("and this")).len, 8);
        assert_string_equal(arena_printf(a, "%d", 7), "7");
        assert_null(arena_try_alloc(a, 1));
        assert_refused(arena_check(a, "the answer"), ERROR_RESOURCE_EXHAUSTED, "the answer");
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(reports_exhaustion_of_its_limit) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
