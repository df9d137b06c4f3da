/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_answer.h"

#include <stdlib.h>

#include "net/net_testing.h"

#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
        const char *name, *head, *rest, *body;
        bool is_enough;
} bodies[] = {
        { "a length", "Content-Length: 3\r\n\r\n", "abcd", "abc", true },
        { "a length that is not reached", "Content-Length: 3\r\n\r\n", "ab", "ab", false },
        { "no body", "Content-Length: 0\r\n\r\n", "", "", true },
        { "without a length", "\r\n", "abc", "abc", false },
        { "without a length, full", "\r\n", "0123456789abcdefg", "0123456789abcdef", true },
        { "a length that is none", "Content-Length: x\r\n\r\n", "abc", "", true },
        { "chunks", CHUNKED, "2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", "abc", true },
        { "a chunk that is not complete", CHUNKED, "4\r\nab", "ab", false },
        { "chunks, full", CHUNKED, "11\r\n0123456789abcdefg", "0123456789abcdef", true },
        { "no chunk yet", CHUNKED, "1", "", false },
        { "no size", CHUNKED, "x\r\nabc", "", true },
        { "a size beyond every number", CHUNKED, "ffffffffffffffff1\r\nabc", "", true },
};

static void reads_bodies_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
                AUTO(buf) out = BUF_MAX(16);
                AUTO_MEM char *head = mem_printf("HTTP/1.1 400 Bad Request\r\n%s", bodies[i].head);
                bool is_enough = http_answer_body(str_of(head), str_of(bodies[i].rest), &out);

                if (!str_equal(buf_str(&out), str_of(bodies[i].body)) || is_enough != bodies[i].is_enough || out.overflowed)
                        fail_msg("%s: '%s', %d", bodies[i].name, buf_c(&out), is_enough);
        }
}

static const struct {
        const char *reason, *body, *shown;
} reasons[] = {
        { "Bad Request", "This port speaks TLS: use https.\nMore.\n", "This port speaks TLS: use https." },
        { "Bad Request", "{\"error\":{\"message\":\"no \\\"a\\\" or '\\\\'\"}}", "no \"a\" or '\\\\'" },
        { "Bad Request", " { \"message\" : \"cut", "cut" },
        { "Bad Request", "{\"message\":4}", "" },
        { "Bad Request", "{\"error\":\"x\"}", "" },
        { "Bad Request", "<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>", "400 No required SSL certificate was sent" },
        { "Bad Request", "<html>\r\n<HEAD><TITLE>400 Bad Request</TITLE></HEAD>", "" },
        { "OK", "<!doctype html><p>hello</p>", "" },
        { "Bad Request", "400 Bad Request", "" },
        { "", "a reason", "a reason" },
        { "", "", "" },
        { "Bad Request", "", "" },
        { "Bad Request", "\x1b[2Jred\x07\xff", "\\x1b[2Jred\\x07\\xff" },
};

static void shows_reasons_as_the_table_says(void **state)
{
        AUTO(buf) lots = BUF_MAX(HTTP_ANSWER_BODY_MAX);

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
                AUTO_MEM char *shown = http_answer_reason(str_of(reasons[i].reason), str_of(reasons[i].body));

                assert_string_equal(shown, reasons[i].shown);
        }
        for (int i = 0; i < HTTP_ANSWER_BODY_MAX; i++)
                buf_put_char(&lots, '\x1b');
        AUTO_MEM char *shown = http_answer_reason(STR(""), buf_str(&lots));
        assert_in_range(strlen(shown), 200, 208);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_bodies_as_the_table_says),
                cmocka_unit_test(shows_reasons_as_the_table_says),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
