/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sign_message.h"

#include <string.h>

#include "base/error_testing.h"

#define CHALLENGE "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define BINDING "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define REQUEST "\x01" CHALLENGE BINDING

static void reads_the_request_it_writes(void **state)
{
        AUTO(buf) packet = BUF_MAX(AWS_SIGN_REQUEST_SIZE);
        struct aws_sign_request read;

        (void)state;
        assert_null(aws_sign_request_put(&packet, STR(CHALLENGE), STR(BINDING)));
        assert_true(str_equal(buf_str(&packet), STR(REQUEST)));
        assert_null(aws_sign_request_parse(buf_str(&packet), &read));
        assert_true(str_equal(read.challenge, STR(CHALLENGE)));
        assert_true(str_equal(read.binding, STR(BINDING)));
}

static void refuses_hostile_requests(void **state)
{
        /* a byte of a good request instead */
        static const struct {
                size_t offset;
                char byte;
        } table[] = {
                { 0, 0 },     { 0, 2 },     { 0, (char)0xff },                              /* version */
                { 1, '\r' },  { 1, '\n' },  { 1, 0 },    { 1, '-' },  { 1, '_' }, { 1, '=' }, /* challenge */
                { 43, '\n' }, { 43, 'B' },  { 43, '=' }, { 43, 0 },   { 20, (char)0xff },
                { 44, 'A' },  { 44, 'g' },  { 44, 0 },   { 44, ' ' }, { 60, '\r' },         /* binding */
                { 107, '\n' }, { 107, 'F' }, { 107, 0 },
        };
        struct aws_sign_request read;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                char packet[] = REQUEST;

                packet[table[i].offset] = table[i].byte;
                assert_code(aws_sign_request_parse(str_of_bytes(packet, sizeof packet - 1), &read), ERROR_INVALID_ARGUMENT);
        }
        for (size_t len = 0; len < sizeof REQUEST - 1; len++)
                assert_code(aws_sign_request_parse(str_of_bytes(REQUEST, len), &read), ERROR_INVALID_ARGUMENT);
        assert_code(aws_sign_request_parse(STR(REQUEST "x"), &read), ERROR_INVALID_ARGUMENT);
        assert_code(aws_sign_request_parse(str_of_bytes(REQUEST, sizeof REQUEST), &read), ERROR_INVALID_ARGUMENT);
}

static void reads_the_answer_it_writes(void **state)
{
        const struct aws_sign_answer a = {
                .request = STR("POST /"), .source = STR("environment"), .region = STR("us-west-2"),
                .warnings = { STR("one"), STR("two") }, .warning_count = 2,
        };
        AUTO(buf) packet = BUF_MAX(AWS_SIGN_ANSWER_MAX);
        struct aws_sign_answer read;

        (void)state;
        aws_sign_answer_put(&packet, &a);
        assert_null(aws_sign_answer_parse(buf_str(&packet), &read));
        assert_int_equal(read.code, 0);
        assert_true(str_equal(read.request, a.request));
        assert_true(str_equal(read.region, a.region));
        assert_int_equal(read.warning_count, 2);
        assert_true(str_equal(read.warnings[1], STR("two")));
        for (size_t len = 0; len < packet.len; len++)
                assert_code(aws_sign_answer_parse(str_of_bytes(packet.ptr, len), &read), ERROR_INVALID_ARGUMENT);
        buf_put_char(&packet, 'x');
        assert_code(aws_sign_answer_parse(buf_str(&packet), &read), ERROR_INVALID_ARGUMENT);
}

static void refuses_hostile_answers(void **state)
{
#define EMPTY "\0\0"
        static const struct str table[] = {
                STR("\0\0\0\0\1x" EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY),         /* version */
                STR("\1\x11\0" EMPTY EMPTY EMPTY EMPTY EMPTY "\0\1x" EMPTY EMPTY),    /* code */
                STR("\1\0\x11\0\1x" EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY),       /* warnings */
                STR("\1\0\0" EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY),        /* neither */
                STR("\1\0\0\0\1x" EMPTY EMPTY EMPTY EMPTY "\0\1x" EMPTY EMPTY),       /* both */
                STR("\1\7\0\0\1x" EMPTY EMPTY EMPTY EMPTY "\0\1x" EMPTY EMPTY),       /* both */
                STR("\1\0\0\0\1\0" EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY),        /* a NUL */
                STR("\1\0\0\xff\xffx" EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY),     /* a length */
        };
        struct aws_sign_answer read;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(table); i++)
                assert_code(aws_sign_answer_parse(table[i], &read), ERROR_INVALID_ARGUMENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_the_request_it_writes),
                cmocka_unit_test(refuses_hostile_requests),
                cmocka_unit_test(reads_the_answer_it_writes),
                cmocka_unit_test(refuses_hostile_answers),
        };

        return cmocka_run_group_tests_name("sign_message", tests, NULL, NULL);
}
