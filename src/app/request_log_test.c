/* SPDX-License-Identifier: Apache-2.0 */
#include "app/request_log.h"

#include "base/error_testing.h"
#include "base/limits.h"

static const struct {
        const char *query, *out;
} queries[] = {
        { "", "" },
        { "a=1", "a=" },
        { "a=1&b=2", "a=&b=" },
        { "a", "*" },
        { "a&b=2&c", "*&b=&*" },
        { "a=1=2", "a=" },
        { "=secret", "=" },
        { "&&a=1&", "&&a=" },
        { "a=1;b=2", "a=" },
        { "a=?b=2", "a=" },
        { "a%3D1", "*" },
};

static void values_of_a_query_are_left_out(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
                AUTO(buf) out = BUF_MAX(KiB);

                request_query_put(&out, str_of(queries[i].query));
                assert_string_equal(buf_c(&out), queries[i].out);
        }
}

static const char *line_of(struct buf *out, const char *method, struct str target, int status)
{
        struct request_entry e = { .began = { 1700000000123000000 }, .method = str_of(method), .target = target, .status = status, .received = 5,
                                   .sent = 12, .took = MILLISECONDS(34) };

        buf_clear(out);
        request_entry_put(out, &e);
        assert_false(out->overflowed);
        return buf_c(out);
}

static void a_line_has_the_fields_of_the_event(void **state)
{
        AUTO(buf) out = BUF_MAX(REQUEST_LINE_MAX);

        (void)state;
        assert_string_equal(line_of(&out, "POST", STR("/a/b?token=secret&x"), 201),
                            "{\"event\":\"app.session.request\",\"code\":\"T2009I\",\"time\":\"2023-11-14T22:13:20.123Z\",\"method\":\"POST\",\"path\":\"/a/b\","
                            "\"raw_query\":\"token=&*\",\"status_code\":201,\"rx\":5,\"tx\":12,\"duration_ms\":34}\r\n");
        assert_non_null(strstr(line_of(&out, "", STR(""), 400), "\"method\":\"\",\"path\":\"\",\"raw_query\":\"\",\"status_code\":400"));
}

static void bytes_of_a_client_stay_inside_their_texts(void **state)
{
        static const struct {
                struct str target;
                const char *part;
        } rows[] = {
                { STR_INIT("/\033[2J\n"), "\"path\":\"/\\\\x1b[2J\\\\n\"" },
                { STR_INIT("/\",\"status_code\":1"), "\"path\":\"/\\\",\\\"status_code\\\":1\"" },
                { STR_INIT("/\xff\xc0"), "\"path\":\"/\\\\xff\\\\xc0\"" },
                { STR_INIT("/?\"=x"), "\"raw_query\":\"\\\"=\"" },
                { STR_INIT("/\xe2\x80\xae"), "\"path\":\"/\\\\u{202e}\"" },
        };
        AUTO(buf) out = BUF_MAX(REQUEST_LINE_MAX);

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_non_null(strstr(line_of(&out, "GET", rows[i].target, 200), rows[i].part));
}

static void a_request_without_a_whole_response_is_marked(void **state)
{
        AUTO(buf) out = BUF_MAX(REQUEST_LINE_MAX);
        struct request_entry e = { .method = STR("GET"), .target = STR("/"), .status = 200, .sent = 7, .took = MILLISECONDS(5) };

        (void)state;
        request_entry_put(&out, &e);
        assert_null(strstr(buf_c(&out), "cut"));
        buf_clear(&out);
        e.is_cut = true;
        request_entry_put(&out, &e);
        assert_non_null(strstr(buf_c(&out), "\"status_code\":200,\"rx\":0,\"tx\":7,\"duration_ms\":5,\"cut\":true}\r\n"));
}

/* The longest head, of bytes that become four, or that JSON doubles. */
static void long_texts_are_cut_with_a_mark(void **state)
{
        static const char bytes[] = { 'a', '"', '\\', '\001' };
        AUTO(buf) out = BUF_MAX(REQUEST_LINE_MAX);

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
                AUTO(buf) target = BUF_MAX(LIMIT_HTTP_HEAD);

                buf_put_char(&target, '/');
                for (size_t j = 0; j < 2 * LIMIT_APP_REQUEST_TEXT; j++)
                        buf_put_char(&target, bytes[i]);
                buf_put_char(&target, '?');
                for (size_t j = 0; j < 2 * LIMIT_APP_REQUEST_TEXT; j++)
                        buf_put_char(&target, bytes[i]);
                buf_put_c(&target, "=secret");
                const char *line = line_of(&out, "GET", buf_str(&target), 200);
                assert_non_null(strstr(line, "...\",\"raw_query\":\""));
                assert_non_null(strstr(line, "...\",\"status_code\":200"));
                assert_null(strstr(line, "secret"));
                assert_true(out.len < 6 * LIMIT_APP_REQUEST_TEXT);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_of_a_query_are_left_out),
                cmocka_unit_test(a_line_has_the_fields_of_the_event),
                cmocka_unit_test(bytes_of_a_client_stay_inside_their_texts),
                cmocka_unit_test(a_request_without_a_whole_response_is_marked),
                cmocka_unit_test(long_texts_are_cut_with_a_mark),
        };

        return cmocka_run_group_tests_name("app_request_log", tests, NULL, NULL);
}
