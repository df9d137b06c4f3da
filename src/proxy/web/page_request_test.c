/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/page_request.h"

#include "base/error_testing.h"

static void redirects_to_pages_of_this_host_only(void **state)
{
        static const char *const own[] = { "/web", "/web?a=b", "/web/", "/web/sessions", "/web/launch/app.example.com?path=%2F&query=a%3Db", "/web//evil.example" };
        static const char *const foreign[] = { "", "/", "web", "/webx", "//web", "/\\web", "/web\\x", "/web/\r\nX: y", "/web/ x", "/web/\xc3\xa9", "https://evil.example/web",
                                               "/we", "javascript:/web", "/Web", "/web\x7f" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(own); i++)
                assert_true(page_is_own(str_of(own[i])));
        for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
                assert_false(page_is_own(str_of(foreign[i])));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(redirects_to_pages_of_this_host_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
