/* SPDX-License-Identifier: Apache-2.0 */
#include "http/html.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void escapes_every_text(void **state)
{
        AUTO(buf) b = BUF_MAX(1 * KiB);

        (void)state;
        html_print(&b, "<a href=\"%s\">%.*s</a> %d %u %zu %lld 100%%", "\"><script>", 3, "a&b'<x>", -1, 2U, (size_t)3, 4LL);
        assert_string_equal(buf_c(&b), "<a href=\"&quot;&gt;&lt;script&gt;\">a&amp;b</a> -1 2 3 4 100%");
        buf_clear(&b);
        html_print(&b, "%s%s", "%s", "'");
        assert_string_equal(buf_c(&b), "%s&#39;");
}

static void escapes_texts_for_urls(void **state)
{
        AUTO(buf) b = BUF_MAX(1 * KiB);

        (void)state;
        url_put(&b, STR("/web?a=b&c=\xc3\xa9 %-._~"));
        assert_string_equal(buf_c(&b), "%2Fweb%3Fa%3Db%26c%3D%C3%A9%20%25-._~");
}

static void writes_sentences_and_times(void **state)
{
        AUTO(buf) b = BUF_MAX(1 * KiB);

        (void)state;
        html_put_sentence(&b, "it's <late>");
        html_put_sentence(&b, "");
        html_put_sentence(&b, "why?");
        html_put_time(&b, 1700000000);
        assert_string_equal(buf_c(&b), "It&#39;s &lt;late&gt;.Why?<time datetime=\"2023-11-14T22:13:20Z\">2023-11-14 22:13:20 UTC</time>");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(escapes_every_text),
                cmocka_unit_test(escapes_texts_for_urls),
                cmocka_unit_test(writes_sentences_and_times),
        };

        return cmocka_run_group_tests_name("html", tests, NULL, NULL);
}
