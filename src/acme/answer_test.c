/* SPDX-License-Identifier: Apache-2.0 */
#include "acme/answer.h"

#include "acme/names.h"
#include "base/error_testing.h"
#include "base/mem.h"

#define URL "https://ca.example.com/x"

static void tells_which_urls_may_be_used(void **state)
{
        static const struct {
                const char *url;
                bool is_good;
        } cases[] = {
                { "https://ca.example.com", true },
                { "https://ca.example.com/", true },
                { "HTTPS://ca.example.com/acme/order/1?x=%20&y=~", true },
                { "https://127.0.0.1:14000/dir", true },
                { "https://[::1]:14000/dir", true },
                { "https://ca.example.com?x", true },
                { "http://ca.example.com/", false },
                { "file:///etc/passwd", false },
                { "https://", false },
                { "https:///x", false },
                { "https://?x", false },
                { "https://user@ca.example.com/", false },
                { "https://user:x@ca.example.com/", false },
                { "https://ca.example.com#x", false },
                { "https://ca.example.com/a b", false },
                { "https://ca.example.com/a\nb", false },
                { "https://ca.example.com/\x7f", false },
                { "https://ca.example.com/\xc3\xa4", false },
                { "https://ca.example.com\\@other.example.com/", false },
                { "https://ca.example.com/\"", false },
                { "https://:443/", false },
                { "https://-ca.example.com/", false },
                { "ca.example.com", false },
                { "", false },
        };
        AUTO(buf) longest = BUF_MAX(8 * KiB);

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                if (acme_is_url(str_of(cases[i].url)) != cases[i].is_good)
                        fail_msg("'%s'", cases[i].url);
        buf_put_c(&longest, "https://ca.example.com/");
        while (longest.len < LIMIT_ACME_URL)
                buf_put_char(&longest, 'a');
        assert_true(acme_is_url(buf_str(&longest)));
        buf_put_char(&longest, 'a');
        assert_false(acme_is_url(buf_str(&longest)));
        assert_false(acme_is_url((struct str){ "https://a\0b/", 12 }));
}

static void reads_a_directory(void **state)
{
        AUTO_PTR(arena) a = arena_new(1 * MiB);
        struct acme_directory d;

        (void)state;
        /* RFC 8555 section 7.1.1. */
        assert_done(acme_read_directory(a, STR("{\"newNonce\": \"https://example.com/acme/new-nonce\",\"newAccount\": \"https://example.com/acme/new-account\","
                                               "\"newOrder\": \"https://example.com/acme/new-order\",\"newAuthz\": \"https://example.com/acme/new-authz\","
                                               "\"meta\": {\"termsOfService\": \"https://example.com/acme/terms/2017-5-30\",\"externalAccountRequired\": false}}"),
                                        &d));
        assert_string_equal(d.new_nonce, "https://example.com/acme/new-nonce");
        assert_string_equal(d.new_account, "https://example.com/acme/new-account");
        assert_string_equal(d.new_order, "https://example.com/acme/new-order");
        assert_false(d.needs_external_account);
        assert_done(acme_read_directory(a, STR("{\"newNonce\":\"" URL "\",\"newAccount\":\"" URL "\",\"newOrder\":\"" URL "\","
                                               "\"meta\":{\"externalAccountRequired\":true}}"), &d));
        assert_true(d.needs_external_account);
}

static void reads_an_order(void **state)
{
        AUTO_PTR(arena) a = arena_new(1 * MiB);
        struct acme_order_document o;

        (void)state;
        /* RFC 8555 section 7.1.3. */
        assert_done(acme_read_order(a, STR("{\"status\": \"valid\",\"expires\": \"2016-01-20T14:09:07.99Z\",\"identifiers\": [{\"type\": \"dns\", \"value\": \"www.example.org\"}],"
                                           "\"authorizations\": [\"https://example.com/acme/authz/PAniVnsZcis\",\"https://example.com/acme/authz/r4HqLzrSrpI\"],"
                                           "\"finalize\": \"https://example.com/acme/order/TOlocE8rfgo/finalize\","
                                           "\"certificate\": \"https://example.com/acme/cert/mAt3xBGaobw\"}"), &o));
        assert_int_equal(o.status, ACME_VALID);
        assert_int_equal(o.authorization_count, 2);
        assert_string_equal(o.authorizations[1], "https://example.com/acme/authz/r4HqLzrSrpI");
        assert_string_equal(o.finalize, "https://example.com/acme/order/TOlocE8rfgo/finalize");
        assert_string_equal(o.certificate, "https://example.com/acme/cert/mAt3xBGaobw");
        assert_done(acme_read_order(a, STR("{\"status\":\"invalid\",\"error\":{\"type\":\"urn:ietf:params:acme:error:caa\",\"detail\":\"no\\nway\"}}"), &o));
        assert_int_equal(o.status, ACME_INVALID);
        assert_null(o.certificate);
        assert_string_equal(o.problem.type, "caa");
        assert_string_equal(o.problem.detail, "no\\nway");
}

static void reads_an_authorization(void **state)
{
        AUTO_PTR(arena) a = arena_new(1 * MiB);
        struct acme_authorization au;

        (void)state;
        assert_done(acme_read_authorization(a, STR("{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":\"www.example.org\"},"
                                                   "\"challenges\":[{\"url\":\"https://example.com/acme/chall/prV_B7yEyA4\",\"type\":\"http-01\",\"status\":\"pending\",\"token\":\"x\"},"
                                                   "{\"url\":\"" URL "\",\"type\":\"tls-alpn-01\",\"status\":\"pending\",\"token\":\"DGyRejmCefe7v4NfDGDKfA\"}]}"), &au));
        assert_int_equal(au.status, ACME_PENDING);
        assert_str(au.name, "www.example.org");
        assert_string_equal(au.url, URL);
        assert_string_equal(au.token, "DGyRejmCefe7v4NfDGDKfA");
        assert_done(acme_read_authorization(a, STR("{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":\"www.example.org\"},"
                                                   "\"challenges\":[{\"url\":\"" URL "\",\"type\":\"dns-01\",\"token\":\"x\"}]}"), &au));
        assert_null(au.url);
        static const char *const over[] = { "deactivated", "expired", "revoked", "invalid" };
        for (size_t i = 0; i < ARRAY_LEN(over); i++) {
                AUTO_MEM char *json = mem_printf("{\"status\":\"%s\",\"challenges\":[{\"url\":\"" URL "\",\"type\":\"tls-alpn-01\",\"token\":\"x\","
                                                 "\"error\":{\"type\":\"urn:ietf:params:acme:error:tls\",\"detail\":\"d\"}}]}", over[i]);

                assert_done(acme_read_authorization(a, str_of(json), &au));
                assert_int_equal(au.status, ACME_INVALID);
                assert_str(au.name, "");
                assert_string_equal(au.problem.type, "tls");
        }
}

/* Answers of a broken or hostile server. */
static const struct {
        const char *name, *json, *error;
        enum { DIRECTORY, ORDER, AUTHORIZATION } document;
} refused[] = {
        { "nothing", "", "not well-formed JSON", DIRECTORY },
        { "a page", "<html>", "not well-formed JSON", ORDER },
        { "a list", "[]", "not a JSON object", ORDER },
        { "two members of a name", "{\"status\":\"valid\",\"status\":\"pending\"}", "not well-formed JSON", ORDER },
        { "a NUL in a text", "{\"status\":\"val\\u0000id\"}", "not well-formed JSON", ORDER },
        { "deep nesting", "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "nested too deeply", AUTHORIZATION },
        { "a directory without members", "{}", "no valid 'newNonce'", DIRECTORY },
        { "a URL that is a number", "{\"newNonce\":1}", "no valid 'newNonce'", DIRECTORY },
        { "a URL of a file", "{\"newNonce\":\"file:///etc/shadow\"}", "no valid 'newNonce'", DIRECTORY },
        { "a URL without TLS", "{\"newNonce\":\"" URL "\",\"newAccount\":\"http://ca.example.com/\"}", "no valid 'newAccount'", DIRECTORY },
        { "a URL with a line break", "{\"newNonce\":\"" URL "\",\"newAccount\":\"" URL "\",\"newOrder\":\"https://a/\\r\\nX: y\"}", "no valid 'newOrder'", DIRECTORY },
        { "an order without state", "{}", "no valid 'status'", ORDER },
        { "an unknown state", "{\"status\":\"perhaps\"}", "no valid 'status'", ORDER },
        { "a state in capitals", "{\"status\":\"VALID\"}", "no valid 'status'", ORDER },
        { "a state that is a list", "{\"status\":[\"valid\"]}", "no valid 'status'", ORDER },
        { "authorizations that are no list", "{\"status\":\"pending\",\"authorizations\":{}}", "no valid 'authorizations'", ORDER },
        { "an authorization that is no text", "{\"status\":\"pending\",\"authorizations\":[1]}", "no valid 'authorizations'", ORDER },
        { "an authorization that is no URL", "{\"status\":\"pending\",\"authorizations\":[\"x\"]}", "no valid 'authorizations'", ORDER },
        { "a certificate elsewhere", "{\"status\":\"valid\",\"certificate\":\"ftp://x/\"}", "no valid 'certificate'", ORDER },
        { "a valid order without certificate", "{\"status\":\"valid\"}", "no valid 'certificate'", ORDER },
        { "a finalize that is null", "{\"status\":\"ready\",\"finalize\":null}", "no valid 'finalize'", ORDER },
        { "a challenge without URL", "{\"status\":\"pending\",\"challenges\":[{\"type\":\"tls-alpn-01\",\"token\":\"x\"}]}", "no valid 'url'", AUTHORIZATION },
        { "a challenge without token", "{\"status\":\"pending\",\"challenges\":[{\"type\":\"tls-alpn-01\",\"url\":\"" URL "\"}]}", "no valid 'token'", AUTHORIZATION },
        { "an empty token", "{\"status\":\"pending\",\"challenges\":[{\"type\":\"tls-alpn-01\",\"url\":\"" URL "\",\"token\":\"\"}]}", "no valid 'token'", AUTHORIZATION },
        { "a token with other characters", "{\"status\":\"pending\",\"challenges\":[{\"type\":\"tls-alpn-01\",\"url\":\"" URL "\",\"token\":\"a.b\"}]}", "no valid 'token'",
          AUTHORIZATION },
};

static void refuses_malformed_documents(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
                AUTO_PTR(arena) a = arena_new(1 * MiB);
                struct str json = str_of(refused[i].json);
                struct acme_directory d;
                struct acme_order_document o;
                struct acme_authorization au;
                struct error *err = refused[i].document == DIRECTORY ? acme_read_directory(a, json, &d) :
                                    refused[i].document == ORDER     ? acme_read_order(a, json, &o) :
                                                                       acme_read_authorization(a, json, &au);

                print_message("%s\n", refused[i].name);
                assert_refused(err, ERROR_INVALID_ARGUMENT, refused[i].error);
        }
}

static void bounds_the_authorizations(void **state)
{
        (void)state;
        for (size_t count = LIMIT_CERT_NAMES; count <= LIMIT_CERT_NAMES + 1; count++) {
                AUTO_PTR(arena) a = arena_new(1 * MiB);
                AUTO(buf) json = BUF_MAX(64 * KiB);
                struct acme_order_document o;

                buf_put_c(&json, "{\"status\":\"pending\",\"authorizations\":[");
                for (size_t i = 0; i < count; i++)
                        buf_put_c(&json, i == 0 ? "\"" URL "\"" : ",\"" URL "\"");
                buf_put_c(&json, "]}");
                if (count == LIMIT_CERT_NAMES)
                        assert_done(acme_read_order(a, buf_str(&json), &o));
                else
                        assert_refused(acme_read_order(a, buf_str(&json), &o), ERROR_INVALID_ARGUMENT, "101 authorizations");
        }
}

static void a_name_that_is_no_hosts_is_left_out(void **state)
{
        static const char *const identifiers[] = { "{\"type\":\"dns\",\"value\":\"a b\"}", "{\"type\":\"ip\",\"value\":\"10.0.0.1\"}", "{\"type\":\"dns\"}", "[]", "1" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(identifiers); i++) {
                AUTO_PTR(arena) a = arena_new(1 * MiB);
                AUTO_MEM char *json = mem_printf("{\"status\":\"pending\",\"identifier\":%s}", identifiers[i]);
                struct acme_authorization au;

                assert_done(acme_read_authorization(a, str_of(json), &au));
                assert_str(au.name, "");
        }
}

static void compares_the_contact_of_an_account(void **state)
{
        enum { SAME, OTHER, REFUSED };
        static const struct {
                const char *json, *contact;
                int outcome;
        } cases[] = {
                { "{\"contact\":[\"mailto:a@b\"]}", "mailto:a@b", SAME },
                { "{\"contact\":[\"mailto:a@c\"]}", "mailto:a@b", OTHER },
                { "{\"contact\":[\"mailto:a@b\",\"mailto:c@d\"]}", "mailto:a@b", OTHER },
                { "{\"contact\":[\"mailto:a@b\"]}", "", OTHER },
                { "{\"contact\":[]}", "", SAME },
                { "{\"contact\":[]}", "mailto:a@b", OTHER },
                { "{}", "", SAME },
                { "{}", "mailto:a@b", OTHER },
                { "{\"contact\":\"mailto:a@b\"}", "mailto:a@b", REFUSED },
                { "{\"contact\":[1]}", "mailto:a@b", REFUSED },
                { "[]", "", REFUSED },
                { "", "", REFUSED },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                bool is_same = false;
                AUTO_PTR(error) err = acme_read_account(str_of(cases[i].json), str_of(cases[i].contact), &is_same);

                if ((err != NULL ? REFUSED : is_same ? SAME : OTHER) != cases[i].outcome)
                        fail_msg("%s, '%s'", cases[i].json, cases[i].contact);
        }
}

static void an_error_has_a_hint(void **state)
{
        static const struct {
                const char *json;
                int status;
                enum error_code code;
                const char *what, *hint;
        } cases[] = {
                { "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"too many certificates\"}", 429, ERROR_RESOURCE_EXHAUSTED,
                  "no (rateLimited: too many certificates, HTTP status 429)", "staging" },
                { "{\"type\":\"urn:ietf:params:acme:error:connection\",\"detail\":\"Timeout\"}", 0, ERROR_FAILED_PRECONDITION, "no (connection: Timeout)", "port 443" },
                { "{\"type\":\"urn:ietf:params:acme:error:unauthorized\",\"detail\":\"\"}", 403, ERROR_FAILED_PRECONDITION, "no (unauthorized, HTTP status 403)",
                  "account.pem" },
                { "{\"type\":\"urn:ietf:params:acme:error:unauthorized\",\"detail\":\"\"}", 0, ERROR_FAILED_PRECONDITION, "no (unauthorized)",
                  "load balancer" },
                { "{\"type\":\"urn:ietf:params:acme:error:accountDoesNotExist\"}", 400, ERROR_FAILED_PRECONDITION,
                  "no (accountDoesNotExist, HTTP status 400)", "account.pem" },
                { "{\"type\":\"urn:ietf:params:acme:error:dns\"}", 0, ERROR_FAILED_PRECONDITION, "no (dns)", "DNS record" },
                { "{\"type\":\"urn:ietf:params:acme:error:new\",\"detail\":\"x\"}", 400, ERROR_FAILED_PRECONDITION, "no (new: x, HTTP status 400)", "acme.uri" },
                { "{\"type\":\"about:blank\",\"detail\":\"x\"}", 503, ERROR_UNAVAILABLE, "no (x, HTTP status 503)", "again by itself" },
                { "<html>", 404, ERROR_FAILED_PRECONDITION, "no (not a message of ACME, HTTP status 404)", "acme.uri" },
                { "", 502, ERROR_UNAVAILABLE, "no (not a message of ACME, HTTP status 502)", "again by itself" },
                { "{}", 0, ERROR_FAILED_PRECONDITION, "no (it gave no reason)", "" },
                { "{\"detail\":\"a\\u001b[31mb\"}", 0, ERROR_FAILED_PRECONDITION, "no (a\\x1b[31mb)", "" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO_PTR(arena) a = arena_new(1 * MiB);
                struct acme_problem problem;

                acme_read_problem(a, str_of(cases[i].json), &problem);
                AUTO_PTR(error) err = acme_problem_error(&problem, cases[i].status, "no");
                assert_string_equal(err->what, cases[i].what);
                assert_int_equal(err->code, cases[i].code);
                assert_non_null(strstr(err->hint, cases[i].hint));
        }
}

static void reads_the_time_to_wait(void **state)
{
        static const struct {
                const char *value;
                int64_t seconds;
        } cases[] = {
                { "", 0 }, { "0", 0 }, { "3", 3 }, { " 120 ", 120 }, { "-1", 0 }, { "1.5", 0 }, { "x", 0 }, { "3600", 3600 }, { "86401", 86400 },
                { "99999999999999999999", 0 }, { "Tue, 14 Nov 2023 22:13:30 GMT", 11 }, { "Tue, 14 Nov 2023 22:13:10 GMT", 0 },
                { "Wed, 14 Nov 2040 22:13:10 GMT", 86400 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                assert_int_equal(duration_ms(acme_retry_after(str_of(cases[i].value), walltime_of_unix(1700000000))), cases[i].seconds * 1000);
}

static void takes_nonces_in_their_alphabet_only(void **state)
{
        char longest[LIMIT_ACME_NONCE + 1];

        (void)state;
        memset(longest, 'a', sizeof longest);
        assert_true(acme_is_nonce(STR("oFvnlFP1wIhRlYS2jTaXbA")));
        assert_true(acme_is_nonce(STR("a-_0")));
        assert_true(acme_is_nonce(str_of_bytes(longest, LIMIT_ACME_NONCE)));
        assert_false(acme_is_nonce(str_of_bytes(longest, LIMIT_ACME_NONCE + 1)));
        assert_false(acme_is_nonce(STR("")));
        assert_false(acme_is_nonce(STR("a\"b")));
        assert_false(acme_is_nonce(STR("a=")));
}

static void orders_for_the_hosts_of_the_public_addresses(void **state)
{
        char *addresses[] = { "a.example.com:443", "10.0.0.1:443", "A.example.com", "[::1]:3080", "b.example.com:3080" };
        Cteleport__V1__ProxyConfig proxy = CTELEPORT__V1__PROXY_CONFIG__INIT;
        struct acme_names names;

        (void)state;
        proxy.public_addr = addresses;
        proxy.n_public_addr = ARRAY_LEN(addresses);
        acme_names_collect(&proxy, &names);
        assert_int_equal(names.count, 2);
        assert_str(names.list[0], "a.example.com");
        assert_str(names.list[1], "b.example.com");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tells_which_urls_may_be_used),
                cmocka_unit_test(reads_a_directory),
                cmocka_unit_test(reads_an_order),
                cmocka_unit_test(reads_an_authorization),
                cmocka_unit_test(refuses_malformed_documents),
                cmocka_unit_test(bounds_the_authorizations),
                cmocka_unit_test(a_name_that_is_no_hosts_is_left_out),
                cmocka_unit_test(compares_the_contact_of_an_account),
                cmocka_unit_test(an_error_has_a_hint),
                cmocka_unit_test(reads_the_time_to_wait),
                cmocka_unit_test(takes_nonces_in_their_alphabet_only),
                cmocka_unit_test(orders_for_the_hosts_of_the_public_addresses),
        };

        return cmocka_run_group_tests_name("acme_answer", tests, NULL, NULL);
}
