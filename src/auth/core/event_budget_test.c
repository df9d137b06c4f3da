/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/event_budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"

enum { DAY_BYTES = 24 * 3600 * 10 };

static int refused(struct event_budget *b, const char *subject, struct instant now)
{
        AUTO_PTR(error) err = event_budget_check(b, str_of(subject), now);

        return err == NULL ? 0 : (int)err->code;
}

static void refuses_beyond_the_bytes_of_a_day(void **state)
{
        struct event_budget b = { .bytes_per_day = DAY_BYTES, .what = "audit events" };
        struct instant now = { SECONDS(1000).ns };

        (void)state;
        event_budget_charge(&b, STR("user alice"), DAY_BYTES - 1, now);
        assert_int_equal(refused(&b, "user alice", now), 0);
        event_budget_charge(&b, STR("user alice"), 1, now);
        assert_int_equal(refused(&b, "user alice", now), ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(refused(&b, "user bob", now), 0);
        event_budget_release(&b);
}

static void comes_back_within_a_day(void **state)
{
        struct event_budget b = { .bytes_per_day = DAY_BYTES, .what = "audit events" };
        struct instant now = { SECONDS(1000).ns };

        (void)state;
        event_budget_charge(&b, STR("user alice"), DAY_BYTES + 99, now);
        now = instant_add(now, SECONDS(9));
        assert_int_equal(refused(&b, "user alice", now), ERROR_RESOURCE_EXHAUSTED);
        now = instant_add(now, SECONDS(1));
        assert_int_equal(refused(&b, "user alice", now), 0);
        event_budget_charge(&b, STR("user alice"), DAY_BYTES, now);
        assert_int_equal(refused(&b, "user alice", instant_add(now, SECONDS(24 * 3600))), 0);
        event_budget_release(&b);
}

static void removes_a_budget_that_has_recovered(void **state)
{
        struct event_budget b = { .bytes_per_day = DAY_BYTES, .what = "audit events" };
        struct instant now = { SECONDS(1000).ns };
        char subject[32];

        (void)state;
        for (int i = 0; i < 3 * LIMIT_EVENT_SUBJECTS; i++) {
                snprintf(subject, sizeof subject, "user %d", i);
                event_budget_charge(&b, str_of(subject), 1, now);
                now = instant_add(now, SECONDS(1));
        }
        assert_true(b.spent.count <= LIMIT_EVENT_SUBJECTS);
        event_budget_release(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(refuses_beyond_the_bytes_of_a_day),
                cmocka_unit_test(comes_back_within_a_day),
                cmocka_unit_test(removes_a_budget_that_has_recovered),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
