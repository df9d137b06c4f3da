/* SPDX-License-Identifier: Apache-2.0 */
#include "base/names.h"

#include "base/compiler.h"
#include "base/error_testing.h"
#include "base/limits.h"
#include "base/mem.h"

#define UUID "3f2c0a52-7d3c-4c5e-9b0e-0123456789ab"

/* Each text by its bytes: they need no terminating NUL. */
static const struct row {
        struct str text;
        bool is_host, is_token, is_host_id, is_ip;
} rows[] = {
        { STR_INIT("web-1"), .is_host = true, .is_token = true },
        { STR_INIT("WEB-1.example.com"), .is_host = true, .is_token = true },
        { STR_INIT("1"), .is_host = true, .is_token = true },
        { STR_INIT("a-"), .is_host = true, .is_token = true },
        { STR_INIT("xn--bcher-kva"), .is_host = true, .is_token = true },
        { STR_INIT(""), .is_host = false },
        { STR_INIT("-web"), .is_host = false },
        { STR_INIT("--proxy-command"), .is_host = false },
        { STR_INIT(".web"), .is_token = true },
        { STR_INIT("web."), .is_token = true },
        { STR_INIT("web..1"), .is_token = true },
        { STR_INIT(".."), .is_token = true },
        { STR_INIT("web_1"), .is_token = true },
        { STR_INIT("a@b"), .is_token = true },
        { STR_INIT("a:b"), .is_token = true },
        { STR_INIT("a=b+c"), .is_token = true },
        { STR_INIT("web 1"), .is_host = false },
        { STR_INIT("web\n1"), .is_host = false },
        { STR_INIT("web\0001"), .is_host = false },
        { STR_INIT("web-1\0"), .is_host = false },
        { STR_INIT("w\xc3\xa9"
                   "b"),
          .is_host = false },
        { STR_INIT("web/1"), .is_host = false },
        { STR_INIT("../web"), .is_host = false },
        { STR_INIT("web*"), .is_host = false },
        { STR_INIT("*.example.com"), .is_host = false },
        { STR_INIT("we?b"), .is_host = false },
        { STR_INIT("web,db"), .is_host = false },
        { STR_INIT("web;id"), .is_host = false },
        { STR_INIT("$web"), .is_host = false },
        { STR_INIT("web\x1b[2J"), .is_host = false },
        { STR_INIT(UUID), .is_host = true, .is_token = true, .is_host_id = true },
        { STR_INIT("3F2C0A52-7D3C-4C5E-9B0E-0123456789AB"), .is_host = true, .is_token = true },
        { STR_INIT("3f2c0a527d3c4c5e9b0e0123456789ab"), .is_host = true, .is_token = true },
        { STR_INIT(UUID "\n"), .is_host_id = false },
        { STR_INIT("123456789012-i-0123456789abcdef0"), .is_host = true, .is_token = true, .is_host_id = true },
        { STR_INIT("123456789012-i-"), .is_host = true, .is_token = true },
        { STR_INIT("12345678901-i-0123456789abcdef0"), .is_host = true, .is_token = true },
        { STR_INIT("192.0.2.1"), .is_host = true, .is_token = true, .is_ip = true },
        { STR_INIT("192.0.2.01"), .is_host = true, .is_token = true },
        { STR_INIT("2001:db8::1"), .is_token = true, .is_ip = true },
        { STR_INIT("::ffff:192.0.2.1"), .is_token = true, .is_ip = true },
        { STR_INIT("192.0.2.1\0"), .is_ip = false },
        { STR_INIT("fe80::1%eth0"), .is_ip = false },
        { STR_INIT("[::1]"), .is_ip = false },
};

static void knows_one_alphabet_for_each_kind_of_name(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                const struct row *r = &rows[i];

                if (name_is_host(r->text) != r->is_host || name_is_token(r->text) != r->is_token ||
                    name_is_host_id(r->text) != r->is_host_id || name_is_ip(r->text) != r->is_ip)
                        fail_msg("row %zu: '%.*s'", i, STR_ARG(r->text));
        }
}

static void knows_users_and_accounts(void **state)
{
        static const struct {
                struct str text;
                bool is_user, is_login;
        } users[] = {
                { STR_INIT("alice"), true, true },
                { STR_INIT("a"), true, true },
                { STR_INIT("1st"), true, true },
                { STR_INIT("_apt"), true, true },
                { STR_INIT("alice.b-c_d"), true, true },
                { STR_INIT("alice+test@example.com"), true, false },
                { STR_INIT("me@corp.example.com"), true, true },
                { STR_INIT("me@"), true, false },
                { STR_INIT("me@corp@corp"), true, false },
                { STR_INIT(""), false, false },
                { STR_INIT("-alice"), false, false },
                { STR_INIT(".alice"), false, false },
                { STR_INIT("@alice"), false, false },
                { STR_INIT("al ice"), false, false },
                { STR_INIT("alice\n"), false, false },
                { STR_INIT("alice\0"), false, false },
                { STR_INIT("alice:root"), false, false },
                { STR_INIT("alice,root"), false, false },
                { STR_INIT("alice*"), false, false },
                { STR_INIT("$alice"), false, false },
                { STR_INIT("..\x2f"
                           "alice"),
                  false, false },
                { STR_INIT("al\xc3\xafs"), false, false },
        };
        char text[LIMIT_USER_NAME + 1];

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(users); i++)
                if (name_is_user(users[i].text) != users[i].is_user || name_is_login(users[i].text) != users[i].is_login)
                        fail_msg("row %zu: '%.*s'", i, STR_ARG(users[i].text));
        memset(text, 'a', sizeof text);
        assert_true(name_is_user((struct str){ text, LIMIT_USER_NAME }));
        assert_false(name_is_user((struct str){ text, LIMIT_USER_NAME + 1 }));
        assert_true(name_is_login((struct str){ text, LIMIT_LOGIN_NAME }));
        assert_false(name_is_login((struct str){ text, LIMIT_LOGIN_NAME + 1 }));
}

static void takes_names_of_256_bytes_and_no_longer(void **state)
{
        char text[LIMIT_NAME + 1];

        (void)state;
        memset(text, 'a', sizeof text);
        assert_true(name_is_host((struct str){ text, LIMIT_NAME }));
        assert_false(name_is_host((struct str){ text, LIMIT_NAME + 1 }));
        assert_true(name_is_token((struct str){ text, LIMIT_NAME }));
        assert_false(name_is_token((struct str){ text, LIMIT_NAME + 1 }));
}

/* A host name of this length: labels of 63 bytes, and a shorter one at its end. */
static struct str long_name(char text[LIMIT_NAME], size_t len)
{
        for (size_t i = 0; i < len; i++)
                text[i] = i % 64 == 63 ? '.' : 'a';
        return (struct str){ text, len };
}

static void knows_the_lengths_of_dns_names(void **state)
{
        char text[LIMIT_NAME];

        (void)state;
        assert_true(name_is_dns(long_name(text, 253)));
        assert_null(name_dns_hint(long_name(text, 253)));
        assert_false(name_is_dns(long_name(text, 254)));
        assert_non_null(strstr(name_dns_hint(long_name(text, 254)), "at most 253 bytes"));
        assert_true(name_is_dns(long_name(text, 63 + 64)));
        for (size_t at = 0; at <= 64; at += 64) { /* the first label, and the last */
                long_name(text, 63 + 64 + 1);
                text[at == 0 ? 63 : 127] = 'a';
                text[64] = at == 0 ? '.' : 'a';
                assert_false(name_is_dns((struct str){ text, 63 + 64 + 1 }));
                assert_non_null(strstr(name_dns_hint((struct str){ text, 63 + 64 + 1 }), "at most 63 bytes"));
        }
}

static void encodes_no_internationalized_name(void **state)
{
        static const char *const names[] = { "b\xc3\xbc" "cher.example.com", "\xd0\xb0pple.example.com", "example\xe3\x80\x82" "com", "b\xfc" "cher.de" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                AUTO_PTR(error) err = name_check_host(str_of(names[i]), "host name");

                assert_false(name_is_dns(str_of(names[i])));
                assert_non_null(strstr(name_dns_hint(str_of(names[i])), "xn--"));
                assert_non_null(err);
                assert_non_null(strstr(err->hint, "xn--"));
        }
        assert_true(name_is_dns(STR("xn--bcher-kva.example.com")));
        assert_null(name_dns_hint(STR("a b")));
        assert_null(name_dns_hint(STR("127.0.0.1")));
        assert_non_null(strstr(name_dns_hint(STR("127.1")), "all four numbers"));
}

static void keeps_the_names_of_the_cluster_for_itself(void **state)
{
        static const char *const reserved[] = { "localhost", "LocalHost", "127.0.0.1", "127.3.2.1", "::1", "0.0.0.0", "::",
                                                "example.com", "Example.COM", "teleport.cluster.local",
                                                "6578.teleport.cluster.local", "a.b.Teleport.Cluster.Local",
                                                "localhost.example.com", "example.com.example.com", "Localhost.", "Example.com.",
                                                "0:0:0:0:0:0:0:1", "0::1", "::FFFF:127.0.0.1", "::ffff:7f00:1", "0:0::0", "127.1", "0177.0.0.1",
                                                "2130706433", "0x7F000001", "0", "0.0", "127.1.example.com.", "web.localhost",
                                                "Localhost.LocalDomain", "ip6-localhost" };
        static const char *const free_names[] = { "web-1", "web-1.example.com", "cluster.local", "127.example.org", "192.0.2.1",
                                                  "notteleport.cluster.local", "localhost.example.org",
                                                  "notlocalhost", "42", "0x2a", "128.1", "2001:db8::1", "1.2.3.4.5" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
                if (!name_is_reserved(str_of(reserved[i]), STR("example.com")))
                        fail_msg("'%s' is not reserved", reserved[i]);
        for (size_t i = 0; i < ARRAY_LEN(free_names); i++)
                if (name_is_reserved(str_of(free_names[i]), STR("example.com")))
                        fail_msg("'%s' is reserved", free_names[i]);
}

static void keeps_inner_names_that_end_in_the_clusters(void **state)
{
        static const struct {
                const char *name, *cluster;
                bool is_reserved;
        } inner[] = {
                { "teleport", "cluster.local", true },
                { "Teleport.", "Cluster.Local", true },
                { "teleport.cluster.local", "cluster.local", true },
                { "teleport.cluster.local.cluster.local", "cluster.local", true },
                { "6578.teleport", "cluster.local", true },
                { "6578.Teleport.Cluster.Local", "cluster.local", true },
                { "teleport.cluster", "local", true },
                { "6578.teleport.cluster", "LOCAL", true },
                { "teleport.cluster.local", "local", true },
                { "teleport.cluster", "cluster.local", false },
                { "teleport", "local", false },
                { "notteleport", "cluster.local", false },
                { "teleport-1", "cluster.local", false },
                { "web-1", "cluster.local", false },
                { "web-1.cluster.local", "cluster.local", false },
                { "web-1.localhost", "localhost", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(inner); i++)
                if (name_is_reserved(str_of(inner[i].name), str_of(inner[i].cluster)) != inner[i].is_reserved)
                        fail_msg("'%s' in '%s' is %sreserved", inner[i].name, inner[i].cluster, inner[i].is_reserved ? "not " : "");
}

static void refuses_a_cluster_with_an_inner_name(void **state)
{
        static const char *const bad[] = { "teleport.cluster.local", "Teleport.Cluster.Local", "a.teleport.cluster.local", "", "a b" };
        static const char *const good[] = { "example.com", "cluster.local", "local", "notteleport.cluster.local", "auth-1" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_code(name_check_cluster(str_of(bad[i]), "cluster_name"), ERROR_INVALID_ARGUMENT);
        for (size_t i = 0; i < ARRAY_LEN(good); i++) {
                AUTO_PTR(error) err = name_check_cluster(str_of(good[i]), "cluster_name");

                assert_null(err);
        }
}

static const struct {
        const char *spelling, *canonical;
} spellings[] = {
        { "web7", "web7" },
        { "WEB7", "web7" },
        { "web7.", "web7" },
        { "web7.example.com", "web7" },
        { "Web7.Example.COM", "web7" },
        { "web7.example.com.", "web7" },
        { "web7.example.com.example.com", "web7" },
        { "a.web7.example.com", "a.web7" },
        { "example.com", "example.com" },
        { "EXAMPLE.com.", "example.com" },
        { "example.com.example.com", "example.com" },
        { "web7.example.org", "web7.example.org" },
        { "web7example.com", "web7example.com" },
        { "1F2E3D4C-1111-4222-8333-444455556666", "1f2e3d4c-1111-4222-8333-444455556666" },
        { "1F2E3D4C-1111-4222-8333-444455556666.Example.com", "1f2e3d4c-1111-4222-8333-444455556666" },
        { "10.0.0.1.example.com", "10.0.0.1" },
        { "2001:DB8:0::7", "2001:db8::7" },
        { "::FFFF:203.0.113.7", "203.0.113.7" },
        { "203.0.113.07", "203.0.113.7" },
        { "203.0.113.09", "203.0.113.09" }, /* that is no octal number */
        { "10.1.example.com", "10.0.0.1" },
        { "0xA.1", "10.0.0.1" },
        { "167772161", "10.0.0.1" },
        { "0", "0.0.0.0" },
        { "42", "42" },
        { "7.web", "7.web" },
        { "dead:web", "dead:web" },
        { "", "" },
        { ".", "." },
};

static void knows_a_name_in_every_spelling(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
                AUTO(buf) once = BUF_MAX(1 * KiB), twice = BUF_MAX(1 * KiB);

                name_put_canonical(&once, str_of(spellings[i].spelling), STR("example.com"));
                name_put_canonical(&twice, buf_str(&once), STR("Example.com"));
                assert_string_equal(buf_c(&once), spellings[i].canonical);
                assert_string_equal(buf_c(&twice), spellings[i].canonical);
        }
        assert_true(name_is_same(STR("Web7.example.com."), STR("web7"), STR("example.com")));
        assert_false(name_is_same(STR("web7.example.com"), STR("web7"), STR("")));
        assert_false(name_is_same(STR(""), STR(""), STR("example.com")));
}

static void knows_host_ids_in_names(void **state)
{
        AUTO(buf) id = BUF_MAX(1 * KiB);

        (void)state;
        assert_true(name_is_under_host_id(STR("1F2E3D4C-1111-4222-8333-444455556666.Internal"), STR("example.com"), &id));
        assert_string_equal(buf_c(&id), "1f2e3d4c-1111-4222-8333-444455556666");
        assert_true(name_is_under_host_id(STR("123456789012-I-0123456789ABCDEF0"), STR("example.com"), NULL));
        assert_false(name_is_under_host_id(STR("web7.1f2e3d4c-1111-4222-8333-444455556666"), STR("example.com"), NULL));
        assert_false(name_is_under_host_id(STR("1f2e3d4c"), STR("example.com"), NULL));
}

static void takes_an_address_out_of_a_url(void **state)
{
        static const struct {
                const char *url, *address;
        } urls[] = {
                { "https://a:443", "a:443" }, { "HTTPS://a:443/", "a:443" }, { "https://[::1]:443/web?x=1#y", "[::1]:443" }, { "https://a?x", "a" },
                { "https://", "" }, { "a:443", "a:443" }, { "http://a", "http://a" }, { "a/b", "a/b" }, { "", "" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(urls); i++)
                assert_true(str_equal(name_of_url(str_of(urls[i].url)), str_of(urls[i].address)));
}

static void joins_host_and_port(void **state)
{
        AUTO_MEM char *name = address_join(STR("a.example.com"), 3080), *v4 = address_join(STR("10.0.0.1"), 0), *v6 = address_join(STR("2001:db8::1"), 443);

        (void)state;
        assert_string_equal(name, "a.example.com:3080");
        assert_string_equal(v4, "10.0.0.1:0");
        assert_string_equal(v6, "[2001:db8::1]:443");
}

static void shows_a_bad_name_harmless(void **state)
{
        AUTO_PTR(error) err = name_check_host(STR("a\x1b[2Jb"), "host name");

        (void)state;
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
        assert_null(strchr(err->what, '\x1b'));
        assert_null(name_check_host(STR("web-1"), "host name"));
        assert_null(name_check_token(STR("iam-token"), "token"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(knows_one_alphabet_for_each_kind_of_name),
                cmocka_unit_test(knows_users_and_accounts),
                cmocka_unit_test(takes_names_of_256_bytes_and_no_longer),
                cmocka_unit_test(keeps_the_names_of_the_cluster_for_itself),
                cmocka_unit_test(keeps_inner_names_that_end_in_the_clusters),
                cmocka_unit_test(refuses_a_cluster_with_an_inner_name),
                cmocka_unit_test(knows_a_name_in_every_spelling),
                cmocka_unit_test(knows_host_ids_in_names),
                cmocka_unit_test(knows_the_lengths_of_dns_names),
                cmocka_unit_test(encodes_no_internationalized_name),
                cmocka_unit_test(takes_an_address_out_of_a_url),
                cmocka_unit_test(joins_host_and_port),
                cmocka_unit_test(shows_a_bad_name_harmless),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
