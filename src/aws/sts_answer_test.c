/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sts_answer.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/error_testing.h"

#define ANSWER(result)                                                                                                 \
        "{\"GetCallerIdentityResponse\":{\"GetCallerIdentityResult\":" result                                          \
        ",\"ResponseMetadata\":{\"RequestId\":\"8f0d54da\"}}}"
#define WEB "arn:aws:sts::123456789012:assumed-role/web/i-0123456789abcdef0"

struct answer_case {
        const char *name;
        int status;
        const char *body;
        enum sts_outcome outcome;
        const char *sends; /* part of the message, or the code, or the ARN */
};

static void accepts_only_whole_identities_and_separates_refusals_from_errors(void **state)
{
        static const struct answer_case cases[] = {
                { "a role on EC2", 200,
                  ANSWER("{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\",\"UserId\":\"AROA1:i-0123456789abcdef0\"}"),
                  STS_OUTCOME_IDENTIFIED, WEB },
                { "no user ID", 200, ANSWER("{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"}"),
                  STS_OUTCOME_IDENTIFIED, WEB },
                { "members we do not know", 200,
                  ANSWER("{\"New\":[1,{}],\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"}"), STS_OUTCOME_IDENTIFIED,
                  WEB },
                { "not JSON", 200, "GetCallerIdentityResponse", STS_OUTCOME_STRANGE, "not well-formed" },
                { "XML", 200, "<GetCallerIdentityResponse/>", STS_OUTCOME_STRANGE, "is not JSON" },
                { "an error beside an identity", 200,
                  "{\"Error\":{\"Code\":\"AccessDenied\"},\"GetCallerIdentityResponse\":{\"GetCallerIdentityResult\":"
                  "{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"}}}",
                  STS_OUTCOME_STRANGE, "holds an error" },
                { "an error within the response", 200,
                  "{\"GetCallerIdentityResponse\":{\"Error\":null,\"GetCallerIdentityResult\":"
                  "{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"}}}",
                  STS_OUTCOME_STRANGE, "holds an error" },
                { "an error within the result", 200,
                  ANSWER("{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\",\"error\":{}}"), STS_OUTCOME_STRANGE,
                  "holds an error" },
                { "an error where the request ID is", 200,
                  "{\"GetCallerIdentityResponse\":{\"GetCallerIdentityResult\":{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"},"
                  "\"ResponseMetadata\":{\"Errors\":[]}}}",
                  STS_OUTCOME_STRANGE, "holds an error" },
                { "an error in a list", 200,
                  ANSWER("{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\",\"New\":[[{\"errorCode\":1}]]}"), STS_OUTCOME_STRANGE,
                  "holds an error" },
                { "another account in other letters", 200,
                  ANSWER("{\"Account\":\"123456789012\",\"account\":\"210987654321\",\"Arn\":\"" WEB "\"}"), STS_OUTCOME_STRANGE,
                  "more than one identity" },
                { "another identity beside", 200,
                  "{\"GetCallerIdentityResponse\":{\"GetCallerIdentityResult\":{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"}},"
                  "\"getCallerIdentityResponse\":{}}",
                  STS_OUTCOME_STRANGE, "more than one identity" },
                { "another identity within", 200,
                  "{\"GetCallerIdentityResponse\":{\"GetCallerIdentityResult\":{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"},"
                  "\"ResponseMetadata\":{\"Arn\":\"" WEB "\"}}}",
                  STS_OUTCOME_STRANGE, "more than one identity" },
                { "a code that is in no table", 403,
                  "{\"Error\":{\"Code\":\"FwoGZXIvYXdzEJr\",\"Message\":\"FwoGZXIvYXdzEJr\"}}", STS_OUTCOME_REFUSED,
                  STS_UNKNOWN_CODE },
                { "empty", 200, "", STS_OUTCOME_STRANGE, "not well-formed" },
                { "an array", 200, "[]", STS_OUTCOME_STRANGE, "not a JSON object" },
                { "something behind it", 200, ANSWER("{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"}") "{}",
                  STS_OUTCOME_STRANGE, "not well-formed" },
                { "a result in the wrong place", 200,
                  "{\"GetCallerIdentityResult\":{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"}}",
                  STS_OUTCOME_STRANGE, "no GetCallerIdentityResult" },
                { "a list of results", 200,
                  "{\"GetCallerIdentityResponse\":{\"GetCallerIdentityResult\":[{\"Account\":\"123456789012\"}]}}",
                  STS_OUTCOME_STRANGE, "no GetCallerIdentityResult" },
                { "another action's answer that quotes one", 200,
                  "{\"GetSessionTokenResponse\":{\"x\":\"{GetCallerIdentityResponse}\"}}", STS_OUTCOME_STRANGE,
                  "no GetCallerIdentityResult" },
                { "an account twice", 200,
                  ANSWER("{\"Account\":\"123456789012\",\"Account\":\"210987654321\",\"Arn\":\"" WEB "\"}"),
                  STS_OUTCOME_STRANGE, "not well-formed" },
                { "a number for an account", 200, ANSWER("{\"Account\":123456789012,\"Arn\":\"" WEB "\"}"),
                  STS_OUTCOME_STRANGE, "no account" },
                { "a short account", 200, ANSWER("{\"Account\":\"12345678901\",\"Arn\":\"" WEB "\"}"),
                  STS_OUTCOME_STRANGE, "no account" },
                { "no ARN", 200, ANSWER("{\"Account\":\"123456789012\"}"), STS_OUTCOME_STRANGE, "no ARN" },
                { "an ARN of another account", 200, ANSWER("{\"Account\":\"210987654321\",\"Arn\":\"" WEB "\"}"),
                  STS_OUTCOME_STRANGE, "another account" },
                { "a NUL in the ARN", 200,
                  ANSWER("{\"Account\":\"123456789012\",\"Arn\":\"arn:aws:sts::123456789012:assumed-role/a/b\\u0000\"}"),
                  STS_OUTCOME_STRANGE, "not well-formed" },
                { "a user ID that is a number", 200,
                  ANSWER("{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\",\"UserId\":7}"), STS_OUTCOME_STRANGE,
                  "user ID" },
                { "a redirect", 302, "", STS_OUTCOME_STRANGE, "302" },
                { "success without content", 204, "", STS_OUTCOME_STRANGE, "204" },
                { "an identity under an error's status", 403,
                  ANSWER("{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"}"), STS_OUTCOME_STRANGE, "403" },
                { "refused, JSON", 403,
                  "{\"Error\":{\"Code\":\"InvalidClientTokenId\",\"Message\":\"The security token included in the "
                  "request is invalid\",\"Type\":\"Sender\"},\"RequestId\":\"5a43\"}",
                  STS_OUTCOME_REFUSED, "InvalidClientTokenId" },
                { "refused, XML", 403,
                  "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    "
                  "<Type>Sender</Type>\n    <Code>SignatureDoesNotMatch</Code>\n    <Message>Signature expired: x is "
                  "now earlier than y</Message>\n  </Error>\n</ErrorResponse>\n",
                  STS_OUTCOME_REFUSED, "SignatureDoesNotMatch" },
                { "throttled", 400, "{\"Error\":{\"Code\":\"Throttling\",\"Message\":\"Rate exceeded\"}}",
                  STS_OUTCOME_UNREACHABLE, "Throttling" },
                { "throttled by status", 429, "", STS_OUTCOME_UNREACHABLE, "429" },
                { "out of order", 503, "<html>", STS_OUTCOME_UNREACHABLE, "503" },
                { "a web server's refusal", 403, "<html><Code>AccessDenied</Code></html>", STS_OUTCOME_STRANGE, "403" },
                { "a code that is no word", 403, "{\"Error\":{\"Code\":\"a b\",\"Message\":\"\"}}", STS_OUTCOME_STRANGE,
                  "403" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(sts_answer) a = { 0 };

                print_message("%s\n", cases[i].name);
                bool is_json = cases[i].body[0] != '<';
                const struct sts_http http = { cases[i].status, str_of(is_json ? "application/json" : "text/xml"), STR(""),
                                               str_of(cases[i].body) };
                sts_answer_read(&http, "aws", &a);
                assert_int_equal(a.outcome, cases[i].outcome);
                assert_true(strstr(a.message, cases[i].sends) != NULL || strcmp(a.code, cases[i].sends) == 0 ||
                            strcmp(a.arn, cases[i].sends) == 0);
                assert_int_equal(a.arn[0] != '\0', a.outcome == STS_OUTCOME_IDENTIFIED);
                assert_int_equal(a.account[0] != '\0', a.outcome == STS_OUTCOME_IDENTIFIED);
        }
}

static void repeats_no_text_of_sts(void **state)
{
        static const char *const bodies[] = {
                "{\"Error\":{\"Code\":\"ExpiredToken\",\"Message\":\"SECRET is expired\",\"Type\":\"SECRET\"}}",
                "{\"Error\":{\"Code\":\"SECRET\",\"Message\":\"SECRET\"}}",
                "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired: SECRET</Message></Error></ErrorResponse>",
                "<ErrorResponse><Error><Code>SECRET</Code><Message>SECRET</Message></Error></ErrorResponse>",
                "{\"Error\":{\"Code\":\"SECRET SECRET\"}}",
                "SECRET",
        };
        static const int statuses[] = { 200, 302, 400, 403, 429, 503 };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(bodies) * ARRAY_LEN(statuses); i++) {
                AUTO(sts_answer) a = { 0 };
                struct str body = str_of(bodies[i % ARRAY_LEN(bodies)]);
                const struct sts_http http = { statuses[i / ARRAY_LEN(bodies)],
                                               str_starts_with(body, STR("<")) ? STR("text/xml") : STR("application/json"), STR(""), body };

                sts_answer_read(&http, "aws", &a);
                assert_null(strstr(a.code, "SECRET"));
                assert_null(strstr(a.message, "SECRET"));
                assert_string_equal(a.arn, "");
        }
}

static void believes_json_only_in_the_forms_that_aws_sends(void **state)
{
        static const struct {
                const char *type, *encoding;
                bool is_fine;
        } cases[] = {
                { "application/json", "", true },
                { "Application/JSON; Charset=UTF-8", "", true },
                { "application/json;charset=\"utf-8\"", "", true },
                { "application/x-amz-json-1.1", "", true },
                { "", "", false },
                { "text/json", "", false },
                { "text/html", "", false },
                { "text/xml", "", false },
                { "application/json-seq", "", false },
                { "application/json, text/html", "", false },
                { "application/json; charset=utf-16", "", false },
                { "application/json; charset=utf-8; x=y", "", false },
                { "application/json", "gzip", false },
                { "application/json", "identity", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(sts_answer) a = { 0 };
                const struct sts_http http = { 200, str_of(cases[i].type), str_of(cases[i].encoding),
                                               STR(ANSWER("{\"Account\":\"123456789012\",\"Arn\":\"" WEB "\"}")) };

                print_message("%s %s\n", cases[i].type, cases[i].encoding);
                sts_answer_read(&http, "aws", &a);
                assert_int_equal(a.outcome, cases[i].is_fine ? STS_OUTCOME_IDENTIFIED : STS_OUTCOME_STRANGE);
        }
}

static void refuses_json_that_is_nested_too_deeply(void **state)
{
        AUTO(buf) deep = BUF_MAX(64 * KiB);
        AUTO(sts_answer) a = { 0 };

        (void)state;
        for (int i = 0; i < 20000; i++)
                buf_put_c(&deep, "{\"a\":");
        sts_answer_read(&(struct sts_http){ 200, STR("application/json"), STR(""), buf_str(&deep) }, "aws", &a);
        assert_int_equal(a.outcome, STS_OUTCOME_STRANGE);
        assert_non_null(strstr(a.message, "nested"));
}

static void knows_the_identities_of_aws(void **state)
{
        static const struct {
                const char *arn, *partition;
                bool fine;
        } cases[] = {
                { "arn:aws:iam::123456789012:user/admin", "aws", true },
                { "arn:aws:iam::123456789012:user/a/path/admin", "aws", true },
                { "arn:aws:iam::123456789012:root", "aws", true },
                { WEB, "aws", true },
                { "arn:aws:sts::123456789012:assumed-role/aws:ec2-instance/i-0123456789abcdef0", "aws", true },
                { "arn:aws:sts::123456789012:federated-user/name", "aws", true },
                { "arn:aws-cn:sts::123456789012:assumed-role/web/x@y", "aws-cn", true },
                { "arn:aws-us-gov:iam::123456789012:user/a", "aws-us-gov", true },
                { "arn:aws-cn:sts::123456789012:assumed-role/web/x", "aws", false },
                { "arn:aws:sts::123456789013:assumed-role/web/x", "aws", false },
                { "arn:aws:sts:us-east-1:123456789012:assumed-role/web/x", "aws", false },
                { "arn:aws:sts::123456789012:assumed-role/web", "aws", false },
                { "arn:aws:sts::123456789012:assumed-role/web/", "aws", false },
                { "arn:aws:sts::123456789012:assumed-role//x", "aws", false },
                { "arn:aws:sts::123456789012:assumed-role/web/x/y", "aws", false },
                { "arn:aws:sts::123456789012:role/web", "aws", false },
                { "arn:aws:iam::123456789012:role/web", "aws", false },
                { "arn:aws:iam::123456789012:user/", "aws", false },
                { "arn:aws:s3::123456789012:user/admin", "aws", false },
                { "ARN:aws:iam::123456789012:user/admin", "aws", false },
                { "arn:aws:iam::123456789012:user/ad min", "aws", false },
                { "arn:aws:iam::123456789012:user/\xc3\xa4", "aws", false },
                { "arn:aws:iam::123456789012", "aws", false },
                { "arn", "aws", false },
                { "", "aws", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO_PTR(error) err =
                        sts_arn_check(str_of(cases[i].arn), str_of(cases[i].partition), STR("123456789012"));

                print_message("%s\n", cases[i].arn);
                assert_int_equal(err == NULL, cases[i].fine);
        }
        AUTO(buf) longest = BUF_MAX(STS_ARN_MAX + 1);
        buf_put_c(&longest, "arn:aws:iam::123456789012:user/");
        while (longest.len < STS_ARN_MAX)
                buf_put_char(&longest, 'x');
        AUTO_PTR(error) fits = sts_arn_check(buf_str(&longest), STR("aws"), STR("123456789012"));
        assert_null(fits);
        buf_put_char(&longest, 'x');
        assert_failed(sts_arn_check(buf_str(&longest), STR("aws"), STR("123456789012")));
}

static void advises_on_clocks_keys_and_regions(void **state)
{
        (void)state;
        assert_non_null(strstr(sts_refusal_hint(STR("SignatureDoesNotMatch"), STR("Signature expired: …")), "slow"));
        assert_non_null(strstr(sts_refusal_hint(STR("SignatureDoesNotMatch"), STR("Signature not yet current: …")),
                               "fast"));
        assert_non_null(strstr(sts_refusal_hint(STR("SignatureDoesNotMatch"), STR("we calculated")), "secret"));
        assert_null(sts_refusal_hint(STR("Unknown"), STR("")));
        assert_true(sts_refusal_is_about_clock(STR("SignatureDoesNotMatch"), STR("Signature expired: …")));
        assert_true(sts_refusal_is_about_clock(STR("SignatureDoesNotMatch"), STR("Signature not yet current: …")));
        assert_false(sts_refusal_is_about_clock(STR("SignatureDoesNotMatch"), STR("we calculated")));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepts_only_whole_identities_and_separates_refusals_from_errors),
                cmocka_unit_test(repeats_no_text_of_sts),
                cmocka_unit_test(believes_json_only_in_the_forms_that_aws_sends),
                cmocka_unit_test(refuses_json_that_is_nested_too_deeply),
                cmocka_unit_test(knows_the_identities_of_aws),
                cmocka_unit_test(advises_on_clocks_keys_and_regions),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
