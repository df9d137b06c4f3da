/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_tries.h"

#include <stdio.h>

#include "base/error_testing.h"

static const struct instant start = { 1000000000000 };

static void given_host(struct app_tries *t, const char *id, bool has_alternatives)
{
        snprintf(t->host_id, sizeof t->host_id, "%s", id);
        t->has_alternatives = has_alternatives;
}

static void hosts_are_tried_up_to_the_limit(void **state)
{
        struct app_tries t = { 0 };

        (void)state;
        given_host(&t, "a", true);
        assert_true(app_tries_another(&t, STR("refused \x1b"), start));
        assert_string_equal(t.list, "a");
        assert_string_equal(t.reason, "refused \\x1b");
        given_host(&t, "b", true);
        assert_true(app_tries_another(&t, STR("refused"), start));
        assert_string_equal(t.list, "a,b");
        given_host(&t, "c", true);
        assert_false(app_tries_another(&t, STR("refused"), start));
        assert_string_equal(t.list, "");
        assert_null(t.reason);
        app_tries_release(&t);
}

static void none_is_tried_for_a_while_after_all_have_failed(void **state)
{
        struct app_tries t = { 0 };
        struct instant later = instant_add(start, MILLISECONDS(PACE_APP_NEXT_HOST));

        (void)state;
        given_host(&t, "a", true);
        assert_true(app_tries_another(&t, STR("refused"), start));
        given_host(&t, "b", false); /* there is no third one; its connection is kept */
        assert_false(app_tries_another(&t, STR("refused"), start));
        assert_false(app_tries_another(&t, STR("refused"), instant_add(start, MILLISECONDS(PACE_APP_NEXT_HOST - 1))));
        assert_true(app_tries_another(&t, STR("refused"), later));
        assert_string_equal(t.list, "b");
        app_tries_give_up(&t, later);
        app_tries_reset(&t); /* it is reached again */
        assert_true(app_tries_another(&t, STR("refused"), later));
        app_tries_release(&t);
}

static void a_single_host_is_not_left(void **state)
{
        struct app_tries t = { 0 };

        (void)state;
        given_host(&t, "a", false);
        assert_false(app_tries_another(&t, STR("refused"), start));
        given_host(&t, "a", true); /* another host offers it now */
        assert_true(app_tries_another(&t, STR("refused"), start));
        app_tries_release(&t);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hosts_are_tried_up_to_the_limit),
                cmocka_unit_test(none_is_tried_for_a_while_after_all_have_failed),
                cmocka_unit_test(a_single_host_is_not_left),
        };

        return cmocka_run_group_tests_name("app_tries", tests, NULL, NULL);
}
