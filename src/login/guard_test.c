/* SPDX-License-Identifier: Apache-2.0 */
#include "login/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"

static struct instant at(int64_t minutes)
{
        return (struct instant){ MINUTES(minutes).ns };
}

static bool received(struct guard *g, const char *user, const char *source, bool is_known, int64_t minute)
{
        const struct guard_attempt a = { str_of(user), str_of(source), is_known };
        struct error *err = guard_enter(g, &a, at(minute));
        bool is_received = err == NULL;

        if (err != NULL) {
                assert_int_equal(err->code, ERROR_RESOURCE_EXHAUSTED);
                assert_non_null(err->hint);
        }
        error_free(err);
        return is_received;
}

static void lets_a_pair_wait_after_five_failures(void **state)
{
        AUTO(guard) g = { 0 };

        (void)state;
        for (int i = 0; i < LIMIT_LOGIN_FAILURES; i++)
                assert_true(received(&g, "alice", "192.0.2.1", false, i));
        assert_false(received(&g, "alice", "192.0.2.1", false, 4));
        assert_true(received(&g, "bob", "192.0.2.1", false, 4));
        assert_true(received(&g, "alice", "192.0.2.2", false, 4));
        assert_false(received(&g, "alice", "192.0.2.1", false, 4 + 19));
        assert_true(received(&g, "alice", "192.0.2.1", false, 4 + 20)); /* refused attempts did not extend it */
}

static void counts_known_sources_like_a_pair(void **state)
{
        AUTO(guard) g = { 0 };

        (void)state;
        for (int i = 0; i < LIMIT_LOGIN_FAILURES; i++)
                assert_true(received(&g, "alice", "192.0.2.1", true, 0));
        assert_false(received(&g, "alice", "192.0.2.1", true, 0));
        assert_true(received(&g, "alice", "192.0.2.1", true, 20));
}

static void attackers_cannot_lock_a_user_out_of_known_sources(void **state)
{
        AUTO(guard) g = { 0 };
        int received_count = 0;

        (void)state;
        for (int i = 0; i < 1000; i++) {
                char source[32];

                snprintf(source, sizeof source, "198.51.100.%d", i);
                received_count += received(&g, "alice", source, false, 0);
        }
        assert_int_equal(received_count, LIMIT_LOGIN_FAILURES_USER);
        assert_true(guard_is_closed(&g, STR("alice"), at(1)));
        assert_false(guard_is_closed(&g, STR("bob"), at(1)));
        assert_false(received(&g, "alice", "192.0.2.1", false, 1));
        assert_true(received(&g, "alice", "192.0.2.1", true, 1));
        assert_true(received(&g, "bob", "192.0.2.1", false, 1));
        assert_false(guard_is_closed(&g, STR("alice"), at(60))); /* an hour from the first of them */
        assert_true(received(&g, "alice", "192.0.2.1", false, 60));
}

static void slows_a_source_that_tries_all_users(void **state)
{
        AUTO(guard) g = { 0 };
        int received_count = 0;

        (void)state;
        for (int i = 0; i < 200; i++) {
                char user[32];

                snprintf(user, sizeof user, "user%d", i);
                received_count += received(&g, user, "192.0.2.1", false, 0);
        }
        assert_int_equal(received_count, LIMIT_LOGIN_FAILURES_SOURCE);
        assert_true(received(&g, "alice", "192.0.2.1", true, 0)); /* a colleague behind the same address */
        assert_true(received(&g, "user7", "192.0.2.2", false, 0));
        assert_true(received(&g, "alice", "192.0.2.1", false, 20));
}

static void counts_attempts_that_are_under_way(void **state)
{
        AUTO(guard) g = { 0 };
        const struct guard_attempt a = { STR("alice"), STR("192.0.2.1"), false };

        (void)state;
        for (int i = 0; i < LIMIT_LOGIN_FAILURES; i++)
                assert_true(received(&g, "alice", "192.0.2.1", false, 0));
        assert_false(received(&g, "alice", "192.0.2.1", false, 0));
        guard_undecided(&g, &a, at(0)); /* one of them met trouble of ours */
        assert_true(received(&g, "alice", "192.0.2.1", false, 0));
        assert_false(received(&g, "alice", "192.0.2.1", false, 0));
}

static void begins_anew_after_a_login(void **state)
{
        AUTO(guard) g = { 0 };
        const struct guard_attempt a = { STR("alice"), STR("192.0.2.1"), false };

        (void)state;
        for (int round = 0; round < 100; round++) { /* typing errors of a day never add up */
                for (int i = 0; i < 3; i++)
                        assert_true(received(&g, "alice", "192.0.2.1", round > 0, round));
                guard_passed(&g, &(struct guard_attempt){ a.user, a.source, round > 0 }, at(round));
        }
        assert_true(received(&g, "alice", "192.0.2.1", false, 100));
}

static void a_new_password_clears_the_failures(void **state)
{
        AUTO(guard) g = { 0 };

        (void)state;
        for (int i = 0; i <= LIMIT_LOGIN_FAILURES; i++) {
                (void)received(&g, "alice", "192.0.2.1", false, 0);
                (void)received(&g, "alicex", "192.0.2.1", false, 0);
        }
        guard_reset_user(&g, STR("alice"));
        assert_true(received(&g, "alice", "192.0.2.1", false, 0));
        assert_false(received(&g, "alicex", "192.0.2.1", false, 0));
}

static void stays_within_its_memory(void **state)
{
        AUTO(guard) g = { 0 };

        (void)state;
        for (int i = 0; i < LIMIT_LOGIN_FAILURES; i++)
                assert_true(received(&g, "victim", "192.0.2.1", false, 0));
        for (int i = 0; i < 2 * LIMIT_LOGIN_COUNTERS; i++) {
                char user[32], source[32];

                snprintf(user, sizeof user, "user%d", i);
                snprintf(source, sizeof source, "10.0.%d.%d", i / 200, i % 200);
                (void)received(&g, user, source, false, 1);
        }
        assert_true(g.counters.count <= LIMIT_LOGIN_COUNTERS);
        assert_false(received(&g, "victim", "192.0.2.1", false, 1)); /* a flood does not remove counters with many failures */
}

static void counts_by_the_prefix_of_one_subscriber(void **state)
{
        static const struct {
                struct str address;
                const char *source;
        } rows[] = {
                { STR_INIT("192.0.2.1:4711"), "192.0.2.1" },
                { STR_INIT("192.0.2.1"), "192.0.2.1" },
                { STR_INIT("[2001:db8::1]:4711"), "2001:db8::/64" },
                { STR_INIT("[2001:db8:0:0:ffff::1]:1"), "2001:db8::/64" },
                { STR_INIT("[2001:db8:0:1::1]:1"), "2001:db8:0:1::/64" },
                { STR_INIT("2001:db8::1"), "2001:db8::/64" },
                { STR_INIT("[::ffff:192.0.2.1]:4711"), "192.0.2.1" },
                { STR_INIT(""), "?" },
                { STR_INIT("["), "?" },
                { STR_INIT("[]"), "?" },
                { STR_INIT(":"), "?" },
                { STR_INIT(":1"), "?" },
                { STR_INIT("web-1:22"), "?" },
                { STR_INIT("192.0.2.1\0x"), "?" },
                { STR_INIT("[2001:db8::1"), "2001:db8::/64" },
                { STR_INIT("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff:1:1:1:1:1:1:1:1"), "?" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                char got[SOURCE_TEXT_MAX];

                source_of(rows[i].address, got);
                assert_string_equal(got, rows[i].source);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lets_a_pair_wait_after_five_failures),
                cmocka_unit_test(counts_known_sources_like_a_pair),
                cmocka_unit_test(attackers_cannot_lock_a_user_out_of_known_sources),
                cmocka_unit_test(slows_a_source_that_tries_all_users),
                cmocka_unit_test(counts_attempts_that_are_under_way),
                cmocka_unit_test(begins_anew_after_a_login),
                cmocka_unit_test(a_new_password_clears_the_failures),
                cmocka_unit_test(stays_within_its_memory),
                cmocka_unit_test(counts_by_the_prefix_of_one_subscriber),
        };

        return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
