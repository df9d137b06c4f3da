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
        assert_true(budget_take(alice, 50));
        assert_false(budget_take(again, 11));
        assert_true(budget_take(again, 10));
        assert_false(budget_take(bob, 41));
        assert_true(budget_take(bob, 40));
        assert_false(budget_take(bob, 1));
        budget_give(alice, 60);
        assert_true(budget_take(bob, 20));
        assert_false(budget_take(bob, SIZE_MAX));
        budget_give(bob, 60);
        budget_drop(alice);
        assert_true(budget_take(again, 1));
        budget_give(again, 1);
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
