/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/host_pace.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error_testing.h"
#include "base/limits.h"
#include "base/log.h"

static const struct instant start = { 1000000000000 };

static size_t take_all(struct host_pace *p, const char *host, struct instant now)
{
        for (size_t count = 0;; count++) {
                AUTO_PTR(error) err = host_pace_take(p, str_of(host), now);

                if (err != NULL) {
                        assert_int_equal(err->code, ERROR_RESOURCE_EXHAUSTED);
                        assert_non_null(strstr(err->what, "more than 60 certificates a minute"));
                        return count;
                }
        }
}

static void a_host_has_a_burst_and_then_its_pace(void **state)
{
        struct host_pace p = { .per_minute = 60, .burst = 10, .what = "certificates" };

        (void)state;
        assert_int_equal(take_all(&p, "a", start), 10);
        assert_int_equal(take_all(&p, "a", instant_add(start, MILLISECONDS(999))), 0);
        assert_int_equal(take_all(&p, "a", instant_add(start, SECONDS(1))), 1);
        assert_int_equal(take_all(&p, "a", instant_add(start, SECONDS(4))), 3);
        assert_int_equal(take_all(&p, "a", instant_add(start, SECONDS(3600))), 10);
        host_pace_release(&p);
}

static void other_hosts_are_not_affected(void **state)
{
        struct host_pace p = { .per_minute = 60, .burst = 10, .what = "certificates" };

        (void)state;
        assert_int_equal(take_all(&p, "a", start), 10);
        assert_int_equal(take_all(&p, "b", start), 10);
        host_pace_release(&p);
}

static void without_limits_nothing_is_refused(void **state)
{
        struct host_pace p = { 0 };

        (void)state;
        for (int i = 0; i < 1000; i++)
                assert_done(host_pace_take(&p, STR("a"), start));
        assert_int_equal(p.hosts.count, 0);
        host_pace_release(&p);
}

static void users_get_a_text_of_their_own(void **state)
{
        struct host_pace p = { .per_minute = 20, .burst = 2, .what = "sessions", .is_of_users = true };

        (void)state;
        assert_done(host_pace_take(&p, STR("alice"), start));
        assert_done(host_pace_take(&p, STR("alice"), start));
        AUTO_PTR(error) err = host_pace_take(&p, STR("alice"), start);
        assert_int_equal(err->code, ERROR_RESOURCE_EXHAUSTED);
        assert_string_equal(err->what, "you send more than 20 sessions a minute, which is the limit");
        assert_done(host_pace_take(&p, STR("bob"), start));
        host_pace_release(&p);
}

/* Hosts that are at rest leave no memory. */
static void idle_hosts_are_forgotten(void **state)
{
        struct host_pace p = { .per_minute = 60, .burst = 10, .what = "certificates" };
        char name[32];

        (void)state;
        for (int i = 0; i < 3 * LIMIT_EVENT_SUBJECTS; i++) {
                snprintf(name, sizeof name, "host-%d", i);
                assert_done(host_pace_take(&p, str_of(name), instant_add(start, SECONDS(i))));
        }
        assert_in_range(p.hosts.count, 1, 2 * LIMIT_EVENT_SUBJECTS);
        host_pace_release(&p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_host_has_a_burst_and_then_its_pace),
                cmocka_unit_test(other_hosts_are_not_affected),
                cmocka_unit_test(without_limits_nothing_is_refused),
                cmocka_unit_test(idle_hosts_are_forgotten),
                cmocka_unit_test(users_get_a_text_of_their_own),
        };

        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
