/* SPDX-License-Identifier: Apache-2.0 */
#include "base/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void parses_addresses_of_both_families(void **state)
{
        static const struct {
                const char *text, *written; /* written: with port 5; NULL: not an address */
        } rows[] = {
                { "203.0.113.7", "203.0.113.7:5" },
                { "0.0.0.0", "0.0.0.0:5" },
                { "2001:DB8::1", "[2001:db8::1]:5" },
                { "::", "[::]:5" },
                { "::ffff:203.0.113.7", "203.0.113.7:5" },
                { "::ffff:cb00:7107", "203.0.113.7:5" },
                { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:5" },
                { "", NULL },
                { "203.0.113", NULL },
                { "203.0.113.07", NULL },
                { "203.0.113.256", NULL },
                { "203.0.113.7 ", NULL },
                { "203.0.113.7:5", NULL },
                { "fe80::1%eth0", NULL },
                { "[::1]", NULL },
                { "1:2:3:4:5:6:7:8:9", NULL },
                { "::1::", NULL },
                { "proxy.example.com", NULL },
                { "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255:ffff:ffff", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                char written[IP_PORT_TEXT_MAX];
                struct ip_address ip;

                assert_int_equal(ip_parse(str_of(rows[i].text), &ip), rows[i].written != NULL);
                if (rows[i].written == NULL)
                        continue;
                ip_text_with_port(&ip, 5, written);
                assert_string_equal(written, rows[i].written);
        }
        struct ip_address ip;
        assert_false(ip_parse((struct str){ "::1\0", 4 }, &ip));
}

static void parses_ports_of_digits_alone(void **state)
{
        static const char *const others[] = { "", "65536", "-1", "-0", "+1", "01", "00", " 1", "1 ", "0x1", "http", "99999999999999999999" };
        unsigned port = 1;

        (void)state;
        assert_true(ip_port_parse(STR("0"), &port));
        assert_int_equal(port, 0);
        assert_true(ip_port_parse(STR("65535"), &port));
        assert_int_equal(port, 65535);
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
                assert_false(ip_port_parse(str_of(others[i]), &port));
}

static void a_network_has_the_addresses_of_its_prefix(void **state)
{
        static const struct {
                const char *network, *ip;
                bool has;
        } rows[] = {
                { "10.0.0.0/8", "10.255.255.255", true },
                { "10.0.0.0/8", "11.0.0.0", false },
                { "10.0.0.0/8", "::ffff:10.1.2.3", true },
                { "10.0.0.0/8", "a00::", false },
                { "10.0.0.128/25", "10.0.0.128", true },
                { "10.0.0.128/25", "10.0.0.127", false },
                { "10.0.0.5", "10.0.0.5", true },
                { "10.0.0.5", "10.0.0.4", false },
                { "::ffff:10.0.0.5", "10.0.0.5", true },
                { "0.0.0.0/0", "203.0.113.7", true },
                { "0.0.0.0/0", "2001:db8::1", false },
                { "::/0", "2001:db8::1", true },
                { "::/0", "203.0.113.7", false },
                { "2001:db8::/33", "2001:db8:7fff::1", true },
                { "2001:db8::/33", "2001:db8:8000::1", false },
                { "2001:db8::1/128", "2001:db8::1", true },
                { "2001:db8::1", "2001:db8::2", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct ip_address ip;
                struct network n;

                assert_null(network_parse(str_of(rows[i].network), &n));
                assert_true(ip_parse(str_of(rows[i].ip), &ip));
                assert_int_equal(network_has(&n, &ip), rows[i].has);
        }
}

static void refuses_texts_that_are_not_networks(void **state)
{
        static const struct {
                const char *text, *what;
        } rows[] = {
                { "", "'' is not a network" },
                { "/8", "'/8' is not a network" },
                { "lb.example.com", "'lb.example.com' is not a network" },
                { "10.0.0.0:443", "'10.0.0.0:443' is not a network" },
                { "10.0.0.0/", "'10.0.0.0/' has no valid length of a prefix" },
                { "10.0.0.0/33", "'10.0.0.0/33' has no valid length of a prefix" },
                { "10.0.0.0/-1", "'10.0.0.0/-1' has no valid length of a prefix" },
                { "10.0.0.0/8/8", "'10.0.0.0/8/8' has no valid length of a prefix" },
                { "10.0.0.0/255.0.0.0", "'10.0.0.0/255.0.0.0' has no valid length of a prefix" },
                { "::/129", "'::/129' has no valid length of a prefix" },
                { "::ffff:10.0.0.0/104", "'::ffff:10.0.0.0/104' has no valid length of a prefix" },
                { "10.0.0.5/8", "'10.0.0.5/8' has bits after its prefix" },
                { "2001:db8::1/64", "'2001:db8::1/64' has bits after its prefix" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct network n;
                struct error *err = network_parse(str_of(rows[i].text), &n);

                assert_non_null(err);
                assert_string_equal(err->what, rows[i].what);
                assert_non_null(err->hint);
                error_free(err);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parses_addresses_of_both_families),
                cmocka_unit_test(parses_ports_of_digits_alone),
                cmocka_unit_test(a_network_has_the_addresses_of_its_prefix),
                cmocka_unit_test(refuses_texts_that_are_not_networks),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
