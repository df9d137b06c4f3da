/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/container.h"

#include <stdio.h>

#include "base/error_testing.h"

static void sends_secrets_over_plain_http_to_near_addresses_only(void **state)
{
        static const struct {
                const char *relative, *full;
                const char *url; /* or NULL */
                const char *sends;
        } cases[] = {
                { "/credentials", "", "http://169.254.170.2/credentials", NULL },
                { "/credentials?a=1", "", "http://169.254.170.2/credentials?a=1", NULL },
                { "/credentials", "http://localhost/other", "http://169.254.170.2/credentials", NULL },
                { "credentials", "", NULL, "must be a path" },
                { "/a b", "", NULL, "must be a path" },
                { "@evil.example/", "", NULL, "must be a path" },
                { "", "/credentials", NULL, "must begin with http" },
                { "", "ftp://localhost/", NULL, "must begin with http" },
                { "", "http://", NULL, "names no host" },
                { "", "https:///x", NULL, "names no host" },
                { "", "https://mypersonalsite/credentials", "https://mypersonalsite/credentials", NULL },
                { "", "https://mypersonalsite:8080/credentials", "https://mypersonalsite:8080/credentials", NULL },
                { "", "http://localhost:8080/c", "http://localhost:8080/c", NULL },
                { "", "http://localhost", "http://localhost", NULL },
                { "", "http://127.0.0.1/c", "http://127.0.0.1/c", NULL },
                { "", "http://127.9.9.9:1/c", "http://127.9.9.9:1/c", NULL },
                { "", "http://[::1]:8080/c", "http://[::1]:8080/c", NULL },
                { "", "http://169.254.170.2/c", "http://169.254.170.2/c", NULL },
                { "", "http://169.254.170.23/v1/c", "http://169.254.170.23/v1/c", NULL },
                { "", "http://[fd00:ec2::23]/v1/c", "http://[fd00:ec2::23]/v1/c", NULL },
                { "", "http://192.0.2.1/c", NULL, "only to this machine" },
                { "", "http://169.254.169.254/c", NULL, "only to this machine" },
                { "", "http://[fd00:ec2::254]/c", NULL, "only to this machine" },
                { "", "http://localhost.example.com/c", NULL, "only to this machine" },
                { "", "http://127.0.0.1.example.com/c", NULL, "only to this machine" },
                { "", "http://localhost@example.com/c", NULL, "must not name a user" },
                { "", "http://example.com#localhost", NULL, "not a URL" },
                { "", "http://example.com\\localhost", NULL, "not a URL" },
                { "", "http://0177.0.0.1/c", NULL, "only to this machine" },
                { "", "http://2130706433/c", NULL, "only to this machine" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(buf) url = BUF_MAX(4 * KiB);
                AUTO_PTR(error) err = container_url(str_of(cases[i].relative), str_of(cases[i].full), &url);

                print_message("%s %s\n", cases[i].relative, cases[i].full);
                assert_int_equal(err == NULL, cases[i].url != NULL);
                if (err == NULL)
                        assert_string_equal(buf_c(&url), cases[i].url);
                else
                        assert_non_null(strstr(err->what, cases[i].sends));
        }
}

static void refuses_tokens_that_are_no_header_value(void **state)
{
        (void)state;
        AUTO_PTR(error) fine = container_token_check(STR("Basic YWJj"), "it");
        assert_null(fine);
        AUTO_PTR(error) newline = container_token_check(STR("abc\n"), "it");
        assert_non_null(newline);
        assert_null(strstr(newline->what, "abc"));
        assert_failed(container_token_check(STR("a\0b"), "it"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sends_secrets_over_plain_http_to_near_addresses_only),
                cmocka_unit_test(refuses_tokens_that_are_no_header_value),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
