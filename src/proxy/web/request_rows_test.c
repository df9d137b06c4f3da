/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/request_rows.h"

#include "base/error_testing.h"

#define ENTRY(method, path, status) "{\"event\":\"app.session.request\",\"time\":\"2026-01-31T12:00:00.000Z\",\"method\":\"" method "\",\"path\":\"" path \
        "\",\"raw_query\":\"a=\",\"status_code\":" #status ",\"rx\":1,\"tx\":2,\"duration_ms\":3}\n"

static void keeps_the_newest_that_match(void **state)
{
        static struct request_rows r;

        (void)state;
        request_rows_begin(&r, STR("get 200"));
        for (size_t i = 0; i < LIMIT_WEB_REQUESTS_SHOWN; i++) {
                request_rows_put(&r, STR(ENTRY("GET", "/old", 200)));
                request_rows_put(&r, STR(ENTRY("POST", "/", 200)));
        }
        for (const char *c = ENTRY("GET", "/new", 200) ENTRY("GET", "/", 404); *c != '\0'; c++)
                request_rows_put(&r, str_of_bytes(c, 1));
        assert_int_equal(r.seen, 2 * LIMIT_WEB_REQUESTS_SHOWN + 2);
        assert_int_equal(r.matching, LIMIT_WEB_REQUESTS_SHOWN + 1);
        assert_int_equal(request_rows_shown(&r), LIMIT_WEB_REQUESTS_SHOWN);
        const struct request_row *newest = request_rows_at(&r, 0);
        assert_string_equal(newest->path, "/new");
        assert_string_equal(newest->query, "a=");
        assert_true(newest->status == 200 && newest->received == 1 && newest->sent == 2 && newest->took_ms == 3 && !newest->is_cut);
        assert_string_equal(request_rows_at(&r, 1)->path, "/old");
        assert_string_equal(request_rows_at(&r, LIMIT_WEB_REQUESTS_SHOWN - 1)->path, "/old");
        assert_int_equal(r.note_count, 0);
        request_rows_release(&r);
        request_rows_release(&r);
}

static void reads_hostile_lines(void **state)
{
        static const struct {
                const char *line;
                size_t seen, notes;
        } cases[] = {
                { "", 0, 0 },
                { "{}\n", 1, 0 },
                { "{\"method\":7,\"path\":null,\"status_code\":\"x\",\"rx\":1e99,\"cut\":true}\r\n", 1, 0 },
                { "{\"method\":\"a\\u0000b\"}\n", 0, 1 },
                { "{\"a\":1,\"a\":2}\n", 0, 1 },
                { "7\n[]\n\"x\"\n", 0, 3 },
                { "[the recording has no end]\n\n", 0, 1 },
                { "{\"method\":\"GET\"", 0, 0 },
                { "x\nx\nx\nx\nx\nx\nx\nx\nx\nx\n", 0, REQUEST_NOTES_MAX },
        };
        static struct request_rows r;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                request_rows_begin(&r, STR(""));
                request_rows_put(&r, str_of(cases[i].line));
                assert_int_equal(r.seen, cases[i].seen);
                assert_int_equal(r.note_count, cases[i].notes);
                if (r.seen > 0)
                        assert_string_equal(request_rows_at(&r, 0)->method, "");
                request_rows_release(&r);
        }
}

static void passes_over_a_line_without_end(void **state)
{
        static struct request_rows r;
        static char many[REQUEST_LINE_MAX];

        (void)state;
        memset(many, '{', sizeof many);
        request_rows_begin(&r, STR(""));
        for (int i = 0; i < 5; i++)
                request_rows_put(&r, str_of_bytes(many, sizeof many));
        request_rows_put(&r, STR("\n" ENTRY("GET", "/", 200)));
        assert_int_equal(r.note_count, 1);
        assert_int_equal(r.seen, 1);
        request_rows_release(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(keeps_the_newest_that_match),
                cmocka_unit_test(reads_hostile_lines),
                cmocka_unit_test(passes_over_a_line_without_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
