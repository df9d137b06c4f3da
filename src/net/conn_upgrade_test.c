/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conn_upgrade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"

enum { DETECT = CONN_UPGRADE_DETECT, ALWAYS = CONN_UPGRADE_ALWAYS, NEVER = CONN_UPGRADE_NEVER, REFUSED = -1 };

/* All for lb.example.com:443. */
static const struct {
        const char *setting;
        int expected;
} settings[] = {
        { NULL, DETECT },
        { "", DETECT },
        { " , ;; ", DETECT },
        { "yes", ALWAYS },
        { "TRUE", ALWAYS },
        { "1", ALWAYS },
        { " on ", ALWAYS },
        { "no", NEVER },
        { "False", NEVER },
        { "0", NEVER },
        { "off", NEVER },
        { "lb.example.com=yes", ALWAYS },
        { "lb.example.com:443=yes", ALWAYS },
        { "LB.Example.COM=no", NEVER },
        { "lb.example.com:8443=yes", DETECT },
        { "example.com=yes", DETECT },
        { "lb.example.com.evil=yes", DETECT },
        { "other=yes,lb.example.com=no", NEVER },
        { "other=yes;lb.example.com=no", NEVER },
        { "0,lb.example.com=1", ALWAYS },
        { "lb.example.com=1,0", ALWAYS },
        { "1;lb.example.com:443=0", NEVER },
        { "0,other=1", NEVER },
        { "yes,no", ALWAYS },
        { "lb.example.com=no,lb.example.com=yes", NEVER },
        { " lb.example.com = yes ", ALWAYS },
        { "[2001:db8::1]:443=yes", DETECT },
        { "maybe", REFUSED },
        { "2", REFUSED },
        { "lb.example.com", REFUSED },
        { "lb.example.com=", REFUSED },
        { "lb.example.com=perhaps", REFUSED },
        { "other=perhaps", REFUSED },
        { "=yes", REFUSED },
        { "lb.example.com:http=yes", REFUSED },
        { "lb.example.com=yes=no", REFUSED },
        { "yes no", REFUSED },
        { "no\nyes", REFUSED },
        { "b\xc3\xbc" "cher.example.com=yes", REFUSED },
};

static void reads_settings_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
                enum conn_upgrade found = CONN_UPGRADE_DETECT;
                struct error *err = conn_upgrade_choose(settings[i].setting, STR("lb.example.com"), 443, &found);
                int outcome = err == NULL ? (int)found : REFUSED;

                if (err != NULL)
                        assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                if (outcome != settings[i].expected)
                        fail_msg("'%s': %d instead of %d", settings[i].setting, outcome, settings[i].expected);
                error_free(err);
        }
}

static void an_ipv6_address_is_named_in_brackets(void **state)
{
        (void)state;
        enum conn_upgrade found;

        assert_null(conn_upgrade_choose("no,[2001:db8::1]:443=yes", STR("2001:db8::1"), 443, &found));
        assert_int_equal(found, CONN_UPGRADE_ALWAYS);
}

static void an_address_is_known_until_it_is_unlearned(void **state)
{
        (void)state;
        assert_false(conn_upgrade_is_known(STR("a:443")));
        conn_upgrade_learn(STR("a:443"), false);
        assert_false(conn_upgrade_is_known(STR("a:443")));
        conn_upgrade_learn(STR("a:443"), true);
        conn_upgrade_learn(STR("a:443"), true);
        assert_true(conn_upgrade_is_known(STR("a:443")));
        assert_false(conn_upgrade_is_known(STR("a:444")));
        conn_upgrade_learn(STR("a:443"), false);
        assert_false(conn_upgrade_is_known(STR("a:443")));
}

static void the_oldest_address_is_forgotten_first(void **state)
{
        (void)state;
        char address[32];

        for (int i = 0; i <= LIMIT_UPGRADE_ADDRESSES; i++) {
                snprintf(address, sizeof address, "host-%d:443", i);
                conn_upgrade_learn(str_of(address), true);
        }
        assert_false(conn_upgrade_is_known(STR("host-0:443")));
        assert_true(conn_upgrade_is_known(STR("host-1:443")));
        assert_true(conn_upgrade_is_known(str_of(address)));
        for (int i = 0; i <= LIMIT_UPGRADE_ADDRESSES; i++) {
                snprintf(address, sizeof address, "host-%d:443", i);
                conn_upgrade_learn(str_of(address), false);
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_settings_as_the_table_says),
                cmocka_unit_test(an_ipv6_address_is_named_in_brackets),
                cmocka_unit_test(an_address_is_known_until_it_is_unlearned),
                cmocka_unit_test(the_oldest_address_is_forgotten_first),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
