/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shares.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct share_limits few = { .total = 10, .each = 6, .reserve = 3, .reserved = 2 };

static size_t take_all(struct shares *s, const char *holder)
{
        size_t count = 0;

        for (; shares_have_room(s, str_of(holder)); count++)
                shares_add(s, str_of(holder));
        return count;
}

static void a_holder_gets_no_more_than_its_share(void **state)
{
        struct shares s = { .limits = few };

        (void)state;
        assert_int_equal(take_all(&s, "alice"), 6);
        shares_remove(&s, STR("alice"));
        assert_int_equal(take_all(&s, "alice"), 1);
        shares_release(&s);
}

static void the_last_units_are_for_holders_that_have_few(void **state)
{
        struct shares s = { .limits = few };

        (void)state;
        assert_int_equal(take_all(&s, "alice"), 6);
        assert_int_equal(take_all(&s, "bob"), 2); /* one of all, one of the reserve */
        assert_int_equal(take_all(&s, "carol"), 2);
        assert_int_equal(take_all(&s, "dave"), 0);
        shares_remove(&s, STR("alice"));
        assert_false(shares_have_room(&s, STR("alice")));
        assert_true(shares_have_room(&s, STR("dave")));
        shares_release(&s);
}

static void counts_holders_only_while_they_have_something(void **state)
{
        struct shares s = { .limits = few };

        (void)state;
        shares_remove(&s, STR("unknown"));
        shares_add(&s, STR("alice"));
        shares_add(&s, STR("alice"));
        assert_int_equal(shares_count(&s, STR("alice")), 2);
        shares_remove(&s, STR("alice"));
        shares_remove(&s, STR("alice"));
        shares_remove(&s, STR("alice"));
        assert_int_equal(s.total, 0);
        assert_int_equal(s.counts.count, 0);
        shares_release(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_holder_gets_no_more_than_its_share),
                cmocka_unit_test(the_last_units_are_for_holders_that_have_few),
                cmocka_unit_test(counts_holders_only_while_they_have_something),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
