/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/identity_request.h"

#include <stdio.h>

#include "base/error_testing.h"
#include "base/limits.h"

#define TOKEN     "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJHMEUCIQDexample+session/token=="
#define CHALLENGE "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA"

static struct aws_resolution resolved(const char *key_id, const char *token)
{
        struct aws_resolution r = { 0 };

        r.credentials.access_key_id = secret_of(str_of(key_id));
        r.credentials.secret_access_key = secret_of(STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"));
        r.credentials.session_token = secret_of(str_of(token));
        assert_true(sts_host_find(STR("sts.cn-north-1.amazonaws.com.cn"), NULL, &r.sts));
        return r;
}

/* 2026-01-01T00:00:00Z */
#define NEW_YEAR walltime_of_unix(1767225600)

static void serializes_the_request_with_a_session_token(void **state)
{
        AUTO(aws_resolution) r = resolved("ASIAIOSFODNN7EXAMPLE", TOKEN);
        AUTO(buf) out = BUF_MAX(LIMIT_STS_REQUEST);

        (void)state;
        assert_null(aws_identity_request(&r, STR(CHALLENGE), STR(""), NEW_YEAR, &out));
        /* The signature is botocore's for the same request. */
        assert_string_equal(
                buf_c(&out),
                "POST / HTTP/1.1\r\n"
                "Host: sts.cn-north-1.amazonaws.com.cn\r\n"
                "Content-Length: 43\r\n"
                "Accept: application/json\r\n"
                "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
                "X-Amz-Date: 20260101T000000Z\r\n"
                "X-Teleport-Challenge: " CHALLENGE "\r\n"
                "X-Amz-Security-Token: " TOKEN "\r\n"
                "User-Agent: cteleport/" CTELEPORT_VERSION "\r\n"
                "Authorization: AWS4-HMAC-SHA256 "
                "Credential=ASIAIOSFODNN7EXAMPLE/20260101/cn-north-1/sts/aws4_request, "
                "SignedHeaders=accept;content-length;content-type;host;x-amz-date;x-amz-security-token;"
                "x-teleport-challenge, "
                "Signature=a435217a6e168b90d723f45c9623c1e259343c189b5b492959617561900b818b\r\n"
                "\r\n"
                "Action=GetCallerIdentity&Version=2011-06-15");
}

static void leaves_the_token_out_for_long_term_keys(void **state)
{
        AUTO(aws_resolution) r = resolved("AKIDEXAMPLE", "");
        AUTO(buf) out = BUF_MAX(LIMIT_STS_REQUEST);

        (void)state;
        assert_null(aws_identity_request(&r, STR(CHALLENGE), STR(""), NEW_YEAR, &out));
        assert_null(strstr(buf_c(&out), "Security-Token"));
        assert_non_null(strstr(buf_c(&out), "SignedHeaders=accept;content-length;content-type;host;x-amz-date;"
                                            "x-teleport-challenge,"));
}

static void signs_the_binding_when_there_is_one(void **state)
{
        AUTO(aws_resolution) r = resolved("AKIDEXAMPLE", "");
        AUTO(buf) out = BUF_MAX(LIMIT_STS_REQUEST);

        (void)state;
        assert_null(aws_identity_request(&r, STR(CHALLENGE), STR("0123456789abcdef"), NEW_YEAR, &out));
        assert_non_null(strstr(buf_c(&out), "\r\nX-Cteleport-Join-Binding: 0123456789abcdef\r\n"));
        assert_non_null(strstr(buf_c(&out), ";x-amz-date;x-cteleport-join-binding;x-teleport-challenge,"));
        AUTO(buf) no_more = BUF_MAX(LIMIT_STS_REQUEST);

        assert_code(aws_identity_request(&r, STR(CHALLENGE), STR("a\r\nHost: evil"), NEW_YEAR, &no_more), ERROR_INVALID_ARGUMENT);
}

static void refuses_a_challenge_of_another_form(void **state)
{
        AUTO(aws_resolution) r = resolved("AKIDEXAMPLE", "");
        static const struct str challenges[] = {
                STR_INIT(""), STR_INIT("a b"), STR_INIT("a\r\nHost: evil"), STR_INIT("\x7f"), STR_INIT("a\0"), STR_INIT("\xc3\xa4"),
                STR_INIT("c2VjcmV0IGNoYWxsZW5nZQ"),                      /* fewer bytes */
                STR_INIT("//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eDf"), /* more */
                STR_INIT("//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="), /* padded */
                STR_INIT("//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eB"),  /* with bits that no byte has */
                STR_INIT("__79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA"),  /* of another alphabet */
                STR_INIT(" //79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4e"),
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(challenges); i++) {
                AUTO(buf) out = BUF_MAX(LIMIT_STS_REQUEST);

                assert_code(aws_identity_request(&r, challenges[i], STR(""), NEW_YEAR, &out), ERROR_INVALID_ARGUMENT);
                assert_int_equal(out.len, 0);
        }
}

static void refuses_keys_that_would_break_the_header(void **state)
{
        static const struct {
                const char *id, *token;
        } cases[] = { { "", "" }, { "AKID\n", "" }, { "AKID/x", "" }, { "AK,ID", "" }, { "AKID", "tok\nen" } };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(aws_resolution) r = resolved(cases[i].id, cases[i].token);
                AUTO(buf) out = BUF_MAX(LIMIT_STS_REQUEST);
                AUTO_PTR(error) err = aws_identity_request(&r, STR(CHALLENGE), STR(""), NEW_YEAR, &out);
                assert_int_equal(err->code, ERROR_FAILED_PRECONDITION);
                assert_null(strstr(err->what, "AKID"));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(serializes_the_request_with_a_session_token),
                cmocka_unit_test(leaves_the_token_out_for_long_term_keys),
                cmocka_unit_test(signs_the_binding_when_there_is_one),
                cmocka_unit_test(refuses_a_challenge_of_another_form),
                cmocka_unit_test(refuses_keys_that_would_break_the_header),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
