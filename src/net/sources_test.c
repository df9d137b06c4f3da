/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/limits.h"

static struct sources limited(size_t total, size_t per_source)
{
        return (struct sources){ .limits = { { total, per_source }, { total, per_source } } };
}

static void lets_a_source_have_its_share_and_no_more(void **state)
{
        struct sources s = limited(100, 2);

        (void)state;
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.1:1000"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.1:1001"));
        assert_false(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.1:1002"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.2:1002"));
        assert_true(sources_enter(&s, SOURCE_JOINS, "192.0.2.1:1002"));
        sources_leave(&s, SOURCE_CONNECTIONS, "192.0.2.1:1001");
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.1:1003"));
        sources_release(&s);
}

static void an_exempt_unit_counts_for_its_source_without_its_limit(void **state)
{
        struct sources s = limited(4, 2);

        (void)state;
        for (int i = 0; i < 3; i++)
                assert_true(sources_enter_exempt(&s, SOURCE_CONNECTIONS, "192.0.2.1:1000"));
        assert_int_equal(sources_count(&s, SOURCE_CONNECTIONS, STR("192.0.2.1")), 3);
        assert_false(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.1:1000"));
        assert_true(sources_enter_exempt(&s, SOURCE_CONNECTIONS, "192.0.2.1:1000"));
        assert_false(sources_enter_exempt(&s, SOURCE_CONNECTIONS, "192.0.2.1:1000"));
        sources_leave(&s, SOURCE_CONNECTIONS, "192.0.2.1:1000");
        assert_true(sources_enter_exempt(&s, SOURCE_CONNECTIONS, "192.0.2.2:1000"));
        sources_release(&s);
}

static bool is_our_proxy(void *ctx, enum source_counter which, struct str address)
{
        (void)ctx;
        (void)which;
        return str_equal(address, STR("192.0.2.9"));
}

static void limits_sources_with_many_clients_by_the_total_only(void **state)
{
        struct sources s = limited(3, 1);

        (void)state;
        s.is_known = is_our_proxy;
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.9:1"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.9:2"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.1:1"));
        assert_false(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.9:3"));
        sources_release(&s);
}

static void gives_sources_with_many_clients_a_larger_share(void **state)
{
        struct sources s = limited(10, 1);

        (void)state;
        s.is_known = is_our_proxy;
        s.limits[SOURCE_CONNECTIONS].per_known = 2;
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.9:1"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.9:2"));
        assert_false(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.9:3"));
        assert_int_equal(sources_count(&s, SOURCE_CONNECTIONS, STR("192.0.2.9")), 2);
        assert_int_equal(sources_count(&s, SOURCE_CONNECTIONS, STR("192.0.2.1")), 0);
        sources_release(&s);
}

static void stops_at_the_total(void **state)
{
        struct sources s = limited(2, 2);

        (void)state;
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.1:1"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.2:1"));
        assert_false(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.3:1"));
        assert_int_equal(s.table.count, 2);
        sources_release(&s);
}

static void counts_a_slash_64_as_one_source(void **state)
{
        struct sources s = limited(10, 2);

        (void)state;
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "[2001:db8::1]:1"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "[2001:db8::2]:2"));
        assert_false(sources_enter(&s, SOURCE_CONNECTIONS, "[2001:db8:0:0:1234::3]:1"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "[2001:db8:0:1::1]:1"));
        assert_int_equal(sources_count(&s, SOURCE_CONNECTIONS, STR("2001:db8::/64")), 2);
        sources_leave(&s, SOURCE_CONNECTIONS, "[2001:db8::1]:1");
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "[2001:db8:0:0:1234::3]:1"));
        sources_release(&s);
}

static void counts_a_mapped_address_as_ipv4(void **state)
{
        struct sources s = limited(10, 1);

        (void)state;
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "[::ffff:192.0.2.1]:1"));
        assert_false(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.1:2"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "[::ffff:192.0.2.2]:1"));
        sources_release(&s);
}

static void reserves_the_last_connections_for_authenticated_sources(void **state)
{
        struct sources s = limited(4, 2);

        (void)state;
        s.limits[SOURCE_CONNECTIONS].reserve = 2;
        sources_note_authenticated(&s, "192.0.2.9:1");
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.1:1"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.2:1"));
        assert_false(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.3:1"));
        assert_true(sources_is_full(&s, SOURCE_CONNECTIONS, "192.0.2.3:1"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.9:1"));
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.9:2"));
        assert_false(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.9:3"));
        sources_release(&s);
}

static void remembers_a_bounded_number_of_authenticated_sources(void **state)
{
        struct sources s = limited(10, 10);
        char peer[32];

        (void)state;
        for (int i = 0; i < 3 * LIMIT_SOURCES_AUTHENTICATED; i++) {
                snprintf(peer, sizeof peer, "10.%d.%d.%d:1", i >> 16, i >> 8 & 255, i & 255);
                sources_note_authenticated(&s, peer);
        }
        assert_true(s.authenticated <= LIMIT_SOURCES_AUTHENTICATED);
        assert_int_equal(s.table.count, s.authenticated);
        assert_non_null(sources_find(&s, peer));
        assert_null(sources_find(&s, "10.0.0.0:1"));
        sources_release(&s);
}

static void closes_the_oldest_of_the_source_with_most(void **state)
{
        static const char *const there[] = { "192.0.2.1:1", "192.0.2.2:1", "192.0.2.2:2", "192.0.2.9:1", "192.0.2.9:2", "192.0.2.9:3" };
        struct sources s = limited(6, 3);
        struct source_pick of_new, of_full;
        struct instant now = { SECONDS(10).ns };

        (void)state;
        sources_note_authenticated(&s, "192.0.2.9:1");
        for (size_t i = 0; i < ARRAY_LEN(there); i++)
                assert_true(sources_enter(&s, SOURCE_CONNECTIONS, there[i]));
        of_new = source_pick_begin(&s, SOURCE_CONNECTIONS, "192.0.2.3:1", now);
        of_full = source_pick_begin(&s, SOURCE_CONNECTIONS, "192.0.2.2:3", now);
        for (size_t i = 0; i < ARRAY_LEN(there); i++) {
                source_pick_consider(&of_new, sources_find(&s, there[i]), (struct instant){ (int64_t)i }, (void *)(uintptr_t)there[i]);
                source_pick_consider(&of_full, sources_find(&s, there[i]), (struct instant){ (int64_t)i }, (void *)(uintptr_t)there[i]);
        }
        assert_string_equal(of_new.who, "192.0.2.2:1");
        assert_null(of_full.who);
        sources_release(&s);
}

static void removes_a_source_without_connections(void **state)
{
        struct sources s = limited(10, 10);

        (void)state;
        assert_true(sources_enter(&s, SOURCE_CONNECTIONS, "192.0.2.1:1"));
        sources_leave(&s, SOURCE_CONNECTIONS, "192.0.2.1:1");
        assert_int_equal(s.table.count, 0);
        sources_leave(&s, SOURCE_CONNECTIONS, "192.0.2.1:1");
        assert_int_equal(s.totals[SOURCE_CONNECTIONS], 0);
        sources_release(&s);
}

static void limits_a_failing_source_until_the_minute_is_over(void **state)
{
        struct sources s = limited(10, 10);
        struct instant now = { SECONDS(1000).ns };

        (void)state;
        for (int i = 0; i < LIMIT_FAILURES_PER_MINUTE; i++)
                assert_int_equal(sources_failed(&s, "192.0.2.1:1", now).ns, 0);
        assert_int_equal(duration_ms(sources_failed(&s, "192.0.2.1:1", now)), 100);
        assert_int_equal(sources_failed(&s, "192.0.2.2:1", now).ns, 0);
        now = instant_add(now, MINUTES(1));
        assert_int_equal(sources_failed(&s, "192.0.2.1:1", now).ns, 0);
        sources_release(&s);
}

static void remembers_a_bounded_number_of_failing_sources(void **state)
{
        struct sources s = limited(10, 10);
        struct instant now = { SECONDS(1000).ns };

        (void)state;
        for (int i = 0; i < 2 * LIMIT_FAILURE_SOURCES; i++) {
                char peer[32];

                snprintf(peer, sizeof peer, "10.%d.%d.%d:1", i >> 16, i >> 8 & 255, i & 255);
                (void)sources_failed(&s, peer, now);
        }
        assert_true(s.table.count <= LIMIT_FAILURE_SOURCES);
        sources_release(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lets_a_source_have_its_share_and_no_more),
                cmocka_unit_test(an_exempt_unit_counts_for_its_source_without_its_limit),
                cmocka_unit_test(limits_sources_with_many_clients_by_the_total_only),
                cmocka_unit_test(gives_sources_with_many_clients_a_larger_share),
                cmocka_unit_test(stops_at_the_total),
                cmocka_unit_test(counts_a_slash_64_as_one_source),
                cmocka_unit_test(counts_a_mapped_address_as_ipv4),
                cmocka_unit_test(reserves_the_last_connections_for_authenticated_sources),
                cmocka_unit_test(remembers_a_bounded_number_of_authenticated_sources),
                cmocka_unit_test(closes_the_oldest_of_the_source_with_most),
                cmocka_unit_test(removes_a_source_without_connections),
                cmocka_unit_test(limits_a_failing_source_until_the_minute_is_over),
                cmocka_unit_test(remembers_a_bounded_number_of_failing_sources),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
