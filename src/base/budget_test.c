/* SPDX-License-Identifier: Apache-2.0 */
#include "base/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void one_holder_has_a_share_and_all_have_the_total(void **state)
{
        struct budget b = { .total = 100, .share = 60 };
        struct budget_holder *alice = budget_hold(&b, STR("alice")), *again = budget_hold(&b, STR("alice")), *bob = budget_hold(&b, STR("bob"));

        (void)state;
        assert_ptr_equal(alice, again);
        assert_true(budget_reserve(alice, 50));
        assert_false(budget_reserve(again, 11));
        assert_true(budget_reserve(again, 10));
        assert_false(budget_reserve(bob, 41));
        assert_true(budget_reserve(bob, 40));
        assert_false(budget_reserve(bob, 1));
        budget_unreserve(alice, 60);
        assert_true(budget_reserve(bob, 20));
        assert_false(budget_reserve(bob, SIZE_MAX));
        budget_unreserve(bob, 60);
        budget_drop(alice);
        assert_true(budget_reserve(again, 1));
        budget_unreserve(again, 1);
        budget_drop(again);
        budget_drop(bob);
        budget_drop(NULL);
        budget_release(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(one_holder_has_a_share_and_all_have_the_total) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
