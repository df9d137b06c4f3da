/* SPDX-License-Identifier: Apache-2.0 */
#include "app/local_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool is_safe(const char *host)
{
        char *redirect[] = { unconst("wiki.internal"), unconst("www.wiki.internal") };
        Cteleport__V1__AppRewriteConfig rewrite = CTELEPORT__V1__APP_REWRITE_CONFIG__INIT;
        Cteleport__V1__AppConfig app = CTELEPORT__V1__APP_CONFIG__INIT;

        rewrite.redirect = redirect;
        rewrite.n_redirect = ARRAY_LEN(redirect);
        app.rewrite = &rewrite;
        app.public_addr = unconst("wiki.example.com");
        return local_host_is_safe(&app, STR("backend.lan:8080"), str_of(host));
}

static void addresses_and_own_names_are_safe(void **state)
{
        static const char *const hosts[] = {
                "", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "10.1.2.3:80", "localhost", "localhost:1", "LocalHost:8080", "wiki.localhost", "a.b.LOCALHOST:99",
                "wiki.example.com", "WIKI.example.com:8080", "backend.lan", "backend.lan:1234", "wiki.internal", "www.wiki.internal:80",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
                if (!is_safe(hosts[i]))
                        fail_msg("'%s' is refused", hosts[i]);
}

static void names_that_an_attacker_can_resolve_are_not(void **state)
{
        static const char *const hosts[] = {
                "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost", ".localhost", "evil.localhost.", "localhost.",
                "wiki.example.com.evil.example", "evil-wiki.example.com", "a.wiki.internal", "xwiki.internal", "backend.lan.evil.example", "wiki", "127.1", "2130706433", "0x7f.1",
                ":8080", "localhost:", "localhost:x", "[::1", "::1]:80", "user@localhost", "localhost/x", "localhost evil.example",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
                if (is_safe(hosts[i]))
                        fail_msg("'%s' is permitted", hosts[i]);
}

static void an_application_without_names_has_none(void **state)
{
        Cteleport__V1__AppConfig app = CTELEPORT__V1__APP_CONFIG__INIT;

        (void)state;
        assert_false(local_host_is_safe(&app, STR("127.0.0.1:8080"), STR("evil.example")));
        assert_true(local_host_is_safe(&app, STR("127.0.0.1:8080"), STR("127.0.0.1:9")));
        assert_false(local_host_is_safe(&app, STR(""), STR(":1")));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(addresses_and_own_names_are_safe),
                cmocka_unit_test(names_that_an_attacker_can_resolve_are_not),
                cmocka_unit_test(an_application_without_names_has_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
