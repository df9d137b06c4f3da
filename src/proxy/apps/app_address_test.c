/* SPDX-License-Identifier: Apache-2.0 */
/* Host names of applications, and the texts of the cookie exchange: the good ones and hostile ones. */
#include "base/error_testing.h"
#include "base/text.h"
#include "proxy/apps/app_address.h"

static char *const public_addrs[] = { (char *)"proxy.example.com:443", (char *)"Other.example.net", (char *)"10.0.0.1:3080", (char *)"[2001:db8::1]:443",
                                      (char *)"localhost:3080" };

static void finds_the_application_of_a_host_name(void **state)
{
        static const struct {
                const char *host, *app;
        } cases[] = {
                { "grafana.proxy.example.com", "grafana" },
                { "grafana.proxy.example.com:443", "grafana" },
                { "GRAFANA.Proxy.Example.COM", "grafana" },
                { "grafana-2.other.example.net:8443", "grafana-2" },
                { "grafana.localhost:3080", "grafana" },
                /* the proxy itself */
                { "proxy.example.com", "" },
                { "proxy.example.com:443", "" },
                { "OTHER.EXAMPLE.NET", "" },
                { "localhost", "" },
                { "10.0.0.1:3080", "" },
                { "[2001:db8::1]:443", "" },
                /* others, and hostile ones */
                { "", "" },
                { ".", "" },
                { ".proxy.example.com", "" },
                { "a.b.proxy.example.com", "" },
                { "example.com", "" },
                { "grafana.example.com", "" },
                { "grafanaproxy.example.com", "" },
                { "grafana.proxy.example.com.evil.org", "" },
                { "grafana.proxy.example.com.", "" },
                { "grafana.proxy.example.com@evil.org", "" },
                { "evil.org:80@grafana.proxy.example.com", "" },
                { "grafana_1.proxy.example.com", "" },
                { "-x.proxy.example.com", "" },
                { "1x.proxy.example.com", "" },
                { "x-.proxy.example.com", "" },
                { "a b.proxy.example.com", "" },
                { "a%2e.proxy.example.com", "" },
                { "xn--\xc3\xa4.proxy.example.com", "" },
                { "grafana.10.0.0.1", "" },
                { "grafana.[2001:db8::1]", "" },
                { "[grafana.proxy.example.com]", "" },
                { "127.0.0.1", "" },
                { "grafana", "" },
                { "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk.proxy.example.com",
                  "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk" },
                { "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl.proxy.example.com", "" },
        };
        char app[APP_NAME_MAX + 1];
        struct str public_addr;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                bool is_app = app_address_find(str_of(cases[i].host), public_addrs, ARRAY_LEN(public_addrs), app, &public_addr);

                assert_string_equal(app, cases[i].app);
                assert_int_equal(is_app, cases[i].app[0] != '\0');
        }
        assert_false(app_address_find(STR("grafana.proxy.example.com"), public_addrs, 0, app, &public_addr));
}

static void a_target_is_on_the_same_host(void **state)
{
        static const char *const good[] = { "/", "/a", "/a/b%20c", "/a//b", "/:80", "/@x", "/a;b=c" };
        static const char *const bad[] = { "", "a", "//evil.org", "///evil.org", "/\\evil.org", "\\\\evil.org", "https://evil.org/", "/a b", "/a\r\nSet-Cookie: x=y",
                                           "/a\tb", "/a#b", "/a?b", "/\x7f", "/\xc3\xa4", "@evil.org/" };
        AUTO(buf) longest = BUF_MAX(2 * APP_TARGET_MAX);

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good); i++)
                assert_true(app_address_is_path(str_of(good[i])));
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_false(app_address_is_path(str_of(bad[i])));
        buf_put_char(&longest, '/');
        while (longest.len < APP_TARGET_MAX)
                buf_put_char(&longest, 'a');
        assert_true(app_address_is_path(buf_str(&longest)));
        buf_put_char(&longest, 'a');
        assert_false(app_address_is_path(buf_str(&longest)));
        assert_true(app_address_is_query(STR("")));
        assert_true(app_address_is_query(STR("a=b&c=%20?d=//e")));
        assert_false(app_address_is_query(STR("a=b#c")));
        assert_false(app_address_is_query(STR("a=b\r\nX: y")));
}

static void a_state_has_one_form(void **state)
{
        struct str good = STR("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef_0123456789abcdef"), secret, id;
        AUTO(buf) changed = BUF_MAX(128);

        (void)state;
        assert_true(app_address_split_state(good, &secret, &id));
        assert_int_equal(secret.len, APP_STATE_SECRET_LEN);
        assert_true(str_equal(id, STR("0123456789abcdef")));
        for (size_t len = 0; len < good.len; len++)
                assert_false(app_address_split_state(str_slice(good, 0, len), &secret, &id));
        for (size_t at = 0; at < good.len; at++) {
                buf_release(&changed);
                changed = BUF_MAX(128);
                buf_put(&changed, good);
                changed.ptr[at] = 'G';
                assert_false(app_address_split_state(buf_str(&changed), &secret, &id));
        }
}

static void a_target_is_carried_through_the_launch_page(void **state)
{
        AUTO(buf) out = BUF_MAX(8 * KiB);
        AUTO(buf) longest = BUF_MAX(8 * KiB);

        (void)state;
        app_address_put_target(&out, STR("/deep"), STR("x=1&y=a+b"));
        assert_string_equal(buf_c(&out), "path=%2Fdeep&query=x%3D1%26y%3Da%2Bb");
        buf_release(&out);
        out = BUF_MAX(8 * KiB);
        app_address_put_target(&out, STR("//evil.org"), STR(""));
        assert_string_equal(buf_c(&out), "path=%2F");
        buf_put_c(&longest, "/");
        while (longest.len < 2 * APP_TARGET_MAX)
                buf_put_char(&longest, 'a');
        buf_release(&out);
        out = BUF_MAX(8 * KiB);
        app_address_put_target(&out, STR("/short"), buf_str(&longest));
        assert_string_equal(buf_c(&out), "path=%2Fshort");
        buf_release(&out);
        out = BUF_MAX(8 * KiB);
        app_address_put_target(&out, buf_str(&longest), STR(""));
        assert_string_equal(buf_c(&out), "path=%2F");
}

static void a_chain_of_applications_ends(void **state)
{
        static const struct {
                const char *app, *at, *carried;
        } rows[] = {
                { "", "", "" },
                { "", "0", "" },
                { "", "1", "&at=1" },
                { "", "8", "&at=8" },
                { "grafana", "0", "&for=grafana&at=0" },
                { "grafana", "7", "&for=grafana&at=7" },
                { "grafana", "8", "" }, /* there is no ninth one */
                { "", "9", "" },
                { "grafana", "", "" },
                { "grafana", "00", "" },
                { "grafana", "-1", "" },
                { "grafana", "a", "" },
                { "grafana", "\xb2", "" },
                { "grafana.evil", "0", "" },
                { "grafana/", "0", "" },
                { "a&b", "0", "" },
                { "//evil.org", "0", "" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO(buf) out = BUF_MAX(1 * KiB);
                struct app_chain chain;

                (void)app_address_read_chain(str_of(rows[i].app), str_of(rows[i].at), &chain);
                app_address_put_chain(&out, &chain);
                assert_string_equal(buf_c(&out), rows[i].carried);
        }
}

static void a_public_address_is_no_name_of_the_proxy(void **state)
{
        static const struct {
                const char *host, *app; /* NULL: none */
        } cases[] = {
                { "pages.example.org", "pages" },
                { "PAGES.example.ORG:8443", "pages" },
                { "deep.a.proxy.example.com", "pages" },
                { "grafana.proxy.example.com", "grafana" }, /* not "evil", which has announced it */
                { "grafana_1.proxy.example.com", NULL },
                { "proxy.example.com", NULL },
                { "localhost", NULL },
                { "10.0.0.1", NULL },
                { "twice.example.org", "" },
                { "pages.example.org.", NULL },
                { "x.pages.example.org", NULL },
                { "example.org", NULL },
                { "", NULL },
        };
        static const char *const sent[][2] = {
                { "pages.example.org", "pages" }, { "deep.a.proxy.example.com", "pages" }, { "grafana.proxy.example.com", "evil" }, { "grafana_1.proxy.example.com", "evil" },
                { "proxy.example.com", "evil" },  { "localhost", "evil" },                 { "10.0.0.1", "evil" },                  { "twice.example.org", "" },
                { "bad.example.org", "no name" },     { "near.example.net", "pages" },
        };
        Cteleport__V1__AppAddress rows[ARRAY_LEN(sent)], *list[ARRAY_LEN(sent)];
        Cteleport__V1__AppAddresses addresses = CTELEPORT__V1__APP_ADDRESSES__INIT;
        struct app_addresses known = { 0 };
        char app[APP_NAME_MAX + 1];
        struct str public_addr;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
                cteleport__v1__app_address__init(&rows[i]);
                rows[i].addr = (char *)(uintptr_t)sent[i][0];
                rows[i].app = (char *)(uintptr_t)sent[i][1];
                list[i] = &rows[i];
        }
        addresses.addresses = list;
        addresses.n_addresses = ARRAY_LEN(sent);
        app_addresses_set(&known, &addresses);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                bool is_app = app_addresses_find(&known, str_of(cases[i].host), public_addrs, ARRAY_LEN(public_addrs), app, &public_addr);

                print_message("  %s\n", cases[i].host);
                assert_int_equal(is_app, cases[i].app != NULL);
                if (is_app)
                        assert_string_equal(app, cases[i].app);
        }
        assert_true(app_addresses_find(&known, STR("deep.a.proxy.example.com"), public_addrs, ARRAY_LEN(public_addrs), app, &public_addr));
        assert_true(str_equal(public_addr, STR("proxy.example.com:443")));
        assert_true(app_addresses_find(&known, STR("near.EXAMPLE.net"), public_addrs, ARRAY_LEN(public_addrs), app, &public_addr));
        assert_true(str_equal(public_addr, STR("Other.example.net")));
        assert_false(app_addresses_find(&known, STR("bad.example.org"), public_addrs, ARRAY_LEN(public_addrs), app, &public_addr));
        assert_false(app_addresses_find(&known, STR("pages.example.org"), NULL, 0, app, &public_addr)); /* a proxy without a public name */
        addresses.n_addresses = 0;
        app_addresses_set(&known, &addresses);
        assert_false(app_addresses_find(&known, STR("pages.example.org"), public_addrs, ARRAY_LEN(public_addrs), app, &public_addr));
        app_addresses_release(&known);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_the_application_of_a_host_name),
                cmocka_unit_test(a_public_address_is_no_name_of_the_proxy),
                cmocka_unit_test(a_target_is_on_the_same_host),
                cmocka_unit_test(a_state_has_one_form),
                cmocka_unit_test(a_target_is_carried_through_the_launch_page),
                cmocka_unit_test(a_chain_of_applications_ends),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
