/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ingress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"

#define BALANCER "10.0.0.5:40000"
#define OTHER "203.0.113.9:40000"
#define HELLO "\x16\x03\x01"
#define ANNOUNCED "PROXY TCP4 198.51.100.1 10.0.0.1 4711 443\r\n"

static char *const load_balancers[] = { "10.0.0.0/24", "2001:db8::5" };

static struct arena *arena;

static struct ingress given(const char *proxy_protocol, bool trusts_forwarded_for)
{
        struct ingress in;

        assert_null(ingress_init(arena, &(struct ingress_settings){ proxy_protocol, trusts_forwarded_for, load_balancers, ARRAY_LEN(load_balancers) }, &in));
        return in;
}

static int set_up(void **state)
{
        (void)state;
        arena = arena_new(64 * KiB);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        arena_free(arena);
        return 0;
}

/* The decision as text: the client, "direct", "more", or the error. */
static void assert_decision(const struct ingress *in, const char *peer, bool is_own, struct str bytes, const char *expected, size_t skip)
{
        enum ingress_decision decision;
        char client[ADDRESS_TEXT_MAX];
        size_t skipped;
        struct error *err = ingress_read(in, peer, is_own, bytes, &decision, client, &skipped);
        const char *got = err != NULL ? err->what : decision == INGRESS_CLIENT ? client : decision == INGRESS_DIRECT ? "direct" : "more";

        assert_string_equal(got, expected);
        if (err == NULL)
                assert_int_equal(skipped, skip);
        else if (err->code == ERROR_PERMISSION_DENIED)
                assert_non_null(err->hint);
        error_free(err);
}

static void decides_by_setting_sender_and_header(void **state)
{
#define OFF "it began with a PROXY protocol header, and proxy_protocol is off"
#define FORGED "it began with a PROXY protocol header, and its sender is none of load_balancers"
#define MISSING "the load balancer sent no PROXY protocol header, and proxy_protocol is on"
#define CLIENT "198.51.100.1:4711"
        static const struct {
                const char *setting, *peer;
                bool is_own;
                const char *with_header, *without;
        } rows[] = {
                { "on", BALANCER, false, CLIENT, MISSING },
                { "on", "[::ffff:10.0.0.5]:1", false, CLIENT, MISSING },
                { "on", "[2001:db8::5]:1", false, CLIENT, MISSING },
                { "on", BALANCER, true, CLIENT, "direct" },
                { "on", OTHER, false, FORGED, "direct" },
                { "on", OTHER, true, FORGED, "direct" },
                { "on", "[2001:db8::6]:1", false, FORGED, "direct" },
                { NULL, BALANCER, false, "direct", "direct" },
                { NULL, OTHER, false, "direct", "direct" },
                { "off", BALANCER, false, OFF, "direct" },
                { "off", OTHER, false, OFF, "direct" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct ingress in = given(rows[i].setting, false);

                print_message("          %s %s\n", rows[i].setting == NULL ? "unset" : rows[i].setting, rows[i].peer);
                assert_decision(&in, rows[i].peer, rows[i].is_own, STR(ANNOUNCED HELLO), rows[i].with_header, strlen(ANNOUNCED));
                assert_decision(&in, rows[i].peer, rows[i].is_own, STR(HELLO), rows[i].without, 0);
                assert_decision(&in, rows[i].peer, rows[i].is_own, STR("PROXY TC"), "more", 0);
                assert_decision(&in, rows[i].peer, rows[i].is_own, STR("PROXY TCP5 \r\n"),
                                "not a valid PROXY protocol header: the protocol is none of TCP4, TCP6 and UNKNOWN", 0);
        }
}

static void a_header_without_address_counts_for_the_balancer(void **state)
{
        struct ingress in = given("on", false);

        (void)state;
        assert_decision(&in, BALANCER, false, STR("PROXY UNKNOWN\r\n"), "direct", 15);
        assert_decision(&in, BALANCER, false, STR("\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"), "direct", 16);
        assert_decision(&in, OTHER, false, STR("PROXY UNKNOWN\r\n"), FORGED, 0);
}

static void knows_which_peers_stand_for_others(void **state)
{
        static const struct {
                const char *setting;
                bool trusts_forwarded_for, announces;
        } rows[] = { { NULL, false, false }, { "off", false, false }, { "on", false, true }, { "off", true, true }, { NULL, true, true } };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct ingress in = given(rows[i].setting, rows[i].trusts_forwarded_for);

                assert_int_equal(ingress_announces(&in, BALANCER), rows[i].announces);
                assert_false(ingress_announces(&in, OTHER));
                assert_false(ingress_announces(&in, "local"));
                assert_false(ingress_announces(&in, ""));
        }
}

static void knows_the_sources_of_load_balancers(void **state)
{
        static const struct {
                const char *source;
                bool is_listed;
        } rows[] = { { "10.0.0.5", true }, { "10.0.1.5", false }, { "2001:db8::/64", true }, { "2001:db8:1::/64", false }, { "?", false } };
        struct ingress in = given(NULL, false);

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_int_equal(ingress_has_source(&in, str_of(rows[i].source)), rows[i].is_listed);
}

static void refuses_a_list_with_another_text(void **state)
{
        static char *const texts[] = { "10.0.0.0/8", "lb.example.com" };
        struct ingress in;
        struct error *err = ingress_init(arena, &(struct ingress_settings){ "on", false, texts, ARRAY_LEN(texts) }, &in);

        (void)state;
        assert_non_null(err);
        assert_string_equal(err->what, "'lb.example.com' is not a network");
        error_free(err);
}

/* ---- X-Forwarded-For ----------------------------------------------------------------------------------------- */

static void parses_one_forwarded_address(void **state)
{
        static const struct {
                const char *value, *written; /* written: NULL: refused */
        } rows[] = {
                { "198.51.100.1", "198.51.100.1:0" },
                { "198.51.100.1:4711", "198.51.100.1:4711" },
                { "2001:db8::7", "[2001:db8::7]:0" },
                { "[2001:db8::7]", "[2001:db8::7]:0" },
                { "[2001:db8::7]:4711", "[2001:db8::7]:4711" },
                { "::ffff:198.51.100.1", "198.51.100.1:0" },
                { "[::ffff:198.51.100.1]:1", "198.51.100.1:1" },
                { "2001:db8::7:4711", "[2001:db8::7:4711]:0" }, /* without brackets it is all address */
                { "", NULL },
                { "198.51.100.1, 10.0.0.1", NULL },
                { "198.51.100.1,", NULL },
                { ",198.51.100.1", NULL },
                { "unknown", NULL },
                { "_hidden", NULL },
                { "client.example.com", NULL },
                { "198.51.100.1:", NULL },
                { "198.51.100.1:http", NULL },
                { "198.51.100.1:65536", NULL },
                { "198.51.100.1:-1", NULL },
                { "198.51.100.1:1:2", NULL },
                { "198.51.100.01", NULL },
                { "[198.51.100.1]", NULL },
                { "[198.51.100.1]:1", NULL },
                { "[2001:db8::7", NULL },
                { "2001:db8::7]", NULL },
                { "[2001:db8::7]4711", NULL },
                { "[2001:db8::7]:", NULL },
                { "[[2001:db8::7]]", NULL },
                { "[]", NULL },
                { "[", NULL },
                { ":", NULL },
                { "fe80::1%eth0", NULL },
                { "\"198.51.100.1\"", NULL },
                { "198.51.100.1 10.0.0.1", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                char written[IP_PORT_TEXT_MAX];
                struct ip_address ip;
                unsigned port;
                struct error *err = forwarded_for_parse(str_of(rows[i].value), &ip, &port);

                print_message("          %s\n", rows[i].value);
                assert_int_equal(err == NULL, rows[i].written != NULL);
                error_free(err);
                if (rows[i].written == NULL)
                        continue;
                ip_text_with_port(&ip, port, written);
                assert_string_equal(written, rows[i].written);
        }
}

static void a_request_counts_for_the_forwarded_client(void **state)
{
        static const struct {
                const char *peer, *value;
                size_t count;
                const char *trusted, *untrusted; /* client, or NULL: refused */
        } rows[] = {
                { BALANCER, "198.51.100.1", 1, "198.51.100.1:0", BALANCER },
                { BALANCER, "", 0, BALANCER, BALANCER },
                { BALANCER, "", 1, BALANCER, BALANCER },
                { BALANCER, "198.51.100.1", 2, NULL, BALANCER },
                { BALANCER, "198.51.100.1, 198.51.100.2", 1, NULL, BALANCER },
                { BALANCER, "unknown", 1, NULL, BALANCER },
                { OTHER, "198.51.100.1", 1, OTHER, OTHER },
                { OTHER, "198.51.100.1", 2, OTHER, OTHER },
                { OTHER, "unknown", 1, OTHER, OTHER },
        };
        struct ingress trusting = given("off", true), other = given("on", false);

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                char client[ADDRESS_TEXT_MAX];
                struct error *err = ingress_client(&trusting, rows[i].peer, str_of(rows[i].value), rows[i].count, client);

                assert_int_equal(err == NULL, rows[i].trusted != NULL);
                assert_string_equal(client, rows[i].trusted != NULL ? rows[i].trusted : rows[i].peer);
                error_free(err);
                assert_null(ingress_client(&other, rows[i].peer, str_of(rows[i].value), rows[i].count, client));
                assert_string_equal(client, rows[i].untrusted);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(decides_by_setting_sender_and_header, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_header_without_address_counts_for_the_balancer, set_up, tear_down),
                cmocka_unit_test_setup_teardown(knows_which_peers_stand_for_others, set_up, tear_down),
                cmocka_unit_test_setup_teardown(knows_the_sources_of_load_balancers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_a_list_with_another_text, set_up, tear_down),
                cmocka_unit_test_setup_teardown(parses_one_forwarded_address, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_request_counts_for_the_forwarded_client, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
