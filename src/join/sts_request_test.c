/* SPDX-License-Identifier: Apache-2.0 */
#include "join/sts_request.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/error_testing.h"
#include "base/mem.h"
#include "base/text.h"

#define CHALLENGE "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define SIGNATURE "845687ef7936c355b75455de4e43bfac4d4a83ea63bfd84a4fd707903469bff8"
#define SCOPE "20240229/us-west-2/sts/aws4_request"

/* As our own agents send it. */
static const char good[] =
        "POST / HTTP/1.1\r\n"
        "Host: sts.us-west-2.amazonaws.com\r\n"
        "User-Agent: cteleport\r\n"
        "Content-Length: 43\r\n"
        "Accept: application/json\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLEAKIDEXAMP/" SCOPE
        ", SignedHeaders=accept;content-length;content-type;host;x-amz-date;x-teleport-challenge, Signature=" SIGNATURE "\r\n"
        "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
        "X-Amz-Date: 20240229T235959Z\r\n"
        "X-Teleport-Challenge: " CHALLENGE "\r\n"
        "\r\n"
        "Action=GetCallerIdentity&Version=2011-06-15";

enum { SIGNED_AT = 1709251199 };

static struct sts_expectation expectation(void)
{
        return (struct sts_expectation){ .challenge = STR(CHALLENGE), .now = walltime_of_unix(SIGNED_AT + 2) };
}

/* The valid request with the first `from` replaced by `to`. */
static char *with(const char *from, const char *to)
{
        const char *at = strstr(good, from);

        assert_non_null(at);
        return mem_printf("%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static struct error *check(struct str bytes, struct sts_request *ret, const char **ret_check)
{
        struct sts_expectation expect = expectation();

        return sts_request_check(bytes, &expect, ret, ret_check);
}

static void accepts_the_request_of_our_agents(void **state)
{
        struct sts_request r;
        const char *failed;

        (void)state;
        struct error *err = check(str_of(good), &r, &failed);
        assert_null(err);
        assert_string_equal(r.host.name, "sts.us-west-2.amazonaws.com");
        assert_int_equal(walltime_unix(r.signed_at), SIGNED_AT);
        assert_int_equal(r.header_count, 5); /* authorization, content-type, date, challenge, accept */
}

#define BINDING "6f3c1b0a9d8e7f605142332415069788796a5b4c3d2e1f000102030405060708"
#define OF_ANOTHER "6f3c1b0a9d8e7f605142332415069788796a5b4c3d2e1f000102030405060709"

/* `good` with a binding of this value, signed or not. */
static char *bound(const char *value, bool is_signed)
{
        AUTO_MEM char *signed_too = is_signed ? with(";x-amz-date;", ";x-amz-date;x-cteleport-join-binding;") : str_dup(str_of(good));
        const char *at = strstr(signed_too, "X-Teleport-Challenge: ");

        return mem_printf("%.*sX-Cteleport-Join-Binding: %s\r\n%s", (int)(at - signed_too), signed_too, value, at);
}

static void reads_the_binding_of_a_proof(void **state)
{
        static const struct {
                const char *name, *value; /* NULL: no binding */
                bool is_unsigned, is_required;
                const char *check;        /* NULL: it is good */
        } cases[] = {
                { "of this join", BINDING, false, true, NULL },
                { "none", NULL, false, false, NULL },
                { "none where one is required", NULL, false, true, "binding" },
                { "of another join", OF_ANOTHER, false, false, "binding" },
                { "upper case", "6F3C1B0A9D8E7F605142332415069788796A5B4C3D2E1F000102030405060708", false, false, "binding" },
                { "too short", "6f3c", false, false, "binding" },
                { "a longer one", BINDING "0", false, false, "binding" },
                { "not signed", BINDING, true, false, "signed-headers" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO_MEM char *bytes = cases[i].value == NULL ? str_dup(str_of(good)) : bound(cases[i].value, !cases[i].is_unsigned);
                struct sts_expectation expect = expectation();
                struct sts_request r;
                const char *failed = "";

                expect.binding = STR(BINDING);
                expect.is_binding_required = cases[i].is_required;
                AUTO_PTR(error) err = sts_request_check(str_of(bytes), &expect, &r, &failed);
                if ((err == NULL) != (cases[i].check == NULL) || (err != NULL && strcmp(failed, cases[i].check) != 0))
                        fail_msg("%s: %s (%s)", cases[i].name, err == NULL ? "was accepted" : err->what, failed);
                if (err == NULL && cases[i].value != NULL)
                        assert_true(str_equal(r.headers[r.header_count - 3].value, STR(BINDING))); /* AWS sees it, too */
        }
}

struct refusal {
        const char *name, *from, *to;
        const char *check; /* the failing check as the audit shows it */
};

static const struct refusal refusals[] = {
        { "another method", "POST /", "GET /", "request-line" },
        { "a query", "POST / ", "POST /?Action=AssumeRole ", "request-line" },
        { "another path", "POST / ", "POST /x ", "request-line" },
        { "absolute form", "POST / ", "POST https://sts.us-west-2.amazonaws.com/ ", "request-line" },
        { "HTTP/1.0", "HTTP/1.1", "HTTP/1.0", "request-line" },
        { "HTTP/2", "HTTP/1.1", "HTTP/2.0", "request-line" },
        { "a bare LF", "POST / HTTP/1.1\r\n", "POST / HTTP/1.1\n", "request-line" },
        { "a bare CR in a value", "cteleport", "ctele\rport", "headers" },
        { "a blank before the colon", "Accept:", "Accept :", "headers" },
        { "a folded line", "User-Agent: cteleport\r\n", "User-Agent: a\r\n b\r\n", "headers" },
        { "a line without a colon", "User-Agent: cteleport", "User-Agent cteleport", "headers" },
        { "an unknown header", "User-Agent:", "X-Forwarded-For:", "headers" },
        { "an unknown x-amz header", "User-Agent: cteleport", "X-Amz-Target: x", "headers" },
        { "Transfer-Encoding", "User-Agent: cteleport", "Transfer-Encoding: chunked", "headers" },
        { "two hosts", "User-Agent: cteleport", "host: sts.amazonaws.com", "headers" },
        { "two challenges", "User-Agent: cteleport", "x-teleport-challenge: " CHALLENGE, "headers" },
        { "a tab in a value", "cteleport", "ctele\tport", "headers" },
        { "a value of nothing", "User-Agent: cteleport", "User-Agent:", "headers" },
        { "two blanks before a value", "Host: sts", "Host:  sts", "headers" },
        { "a blank behind a value", "amazonaws.com\r\n", "amazonaws.com \r\n", "headers" },
        { "a byte above ASCII", "cteleport", "ctel\xc3\xa9port", "headers" },
        { "a DEL", "cteleport", "ctel\x7fport", "headers" },
        { "another length", "Content-Length: 43", "Content-Length: 44", "headers" },
        { "a signed length", "Content-Length: 43", "Content-Length: +43", "headers" },
        { "no length", "Content-Length: 43\r\n", "", "headers" },
        { "XML wanted", "application/json", "text/xml", "headers" },
        { "another content type", "application/x-www-form-urlencoded; charset=utf-8", "application/json", "headers" },
        { "no host", "Host: sts.us-west-2.amazonaws.com\r\n", "", "headers" },
        { "no date", "X-Amz-Date: 20240229T235959Z\r\n", "", "headers" },
        { "no challenge", "X-Teleport-Challenge: " CHALLENGE "\r\n", "", "headers" },
        { "no Authorization", "Authorization:", "User-agent:", "headers" },
        { "a wrong content hash", "User-Agent: cteleport", "X-Amz-Content-Sha256: 00", "headers" },
        { "another action", "GetCallerIdentity", "AssumeRole", "body" },
        { "a second action", "Version=2011-06-15", "Version=2011-06-15&Action=AssumeRole", "body" },
        { "a shorter body", "&Version=2011-06-15", "", "body" },
        { "a body with a newline", "2011-06-15", "2011-06-15\n", "body" },
        { "a suffix behind the host", "amazonaws.com\r\n", "amazonaws.com.evil.example\r\n", "host" },
        { "an unknown region", "Host: sts.us-west-2", "Host: sts.evil", "host" },
        { "another service", "Host: sts.", "Host: s3.", "host" },
        { "a host in upper case", "Host: sts", "Host: STS", "host" },
        { "a port", "amazonaws.com\r\n", "amazonaws.com:443\r\n", "host" },
        { "a trailing dot", "amazonaws.com\r\n", "amazonaws.com.\r\n", "host" },
        { "user information", "Host: sts", "Host: u@sts", "host" },
        { "a loopback host", "Host: sts.us-west-2.amazonaws.com", "Host: 127.0.0.1", "host" },
        { "SigV4A", "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", "authorization" },
        { "no credential", "Credential=", "Credentials=", "authorization" },
        { "two credentials", ", SignedHeaders=", ", Credential=x, SignedHeaders=", "authorization" },
        { "something behind the signature", SIGNATURE, SIGNATURE ", x=y", "authorization" },
        { "a short signature", SIGNATURE, "00", "authorization" },
        { "a signature in upper case", "845687ef", "845687EF", "authorization" },
        { "another service in the scope", "/sts/aws4_request", "/iam/aws4_request", "authorization" },
        { "six parts in the scope", "/sts/aws4_request", "/sts/aws4_request/x", "authorization" },
        { "an odd access key", "AKIDEXAMPLEAKIDEXAMP", "AKID%EXAMPLEAKIDEXAMP", "authorization" },
        { "an unsigned challenge", ";x-teleport-challenge", "", "signed-headers" },
        { "an unsigned date", ";x-amz-date", "", "signed-headers" },
        { "an unsigned host", ";host", "", "signed-headers" },
        { "a challenge signed under a longer name", ";x-teleport-challenge", ";x-teleport-challenge-x", "signed-headers" },
        { "unsorted names", "accept;content-length", "content-length;accept", "signed-headers" },
        { "a name twice", "accept;content-length", "accept;accept;content-length", "signed-headers" },
        { "names in upper case", "=accept;", "=Accept;", "signed-headers" },
        { "a signed header that is not there", "x-amz-date;x-teleport", "x-amz-date;x-amz-security-token;x-teleport", "signed-headers" },
        { "a signed user agent", "host;x-amz-date;x-teleport", "host;user-agent;x-amz-date;x-teleport", "signed-headers" },
        { "an empty name", "accept;content-length", "accept;;content-length", "signed-headers" },
        { "a semicolon at the end", "x-teleport-challenge,", "x-teleport-challenge;,", "signed-headers" },
        { "an unsigned session token", "User-Agent: cteleport", "X-Amz-Security-Token: abc", "signed-headers" },
        { "an unsigned amz user agent", "User-Agent: cteleport", "X-Amz-User-Agent: abc", "signed-headers" },
        { "another challenge", "Challenge: AAEC", "Challenge: BAEC", "challenge" },
        { "a longer challenge", "X-Teleport-Challenge: " CHALLENGE, "X-Teleport-Challenge: " CHALLENGE "A", "challenge" },
        { "a padded challenge", "X-Teleport-Challenge: " CHALLENGE, "X-Teleport-Challenge: " CHALLENGE "=", "challenge" },
        { "a date that is none", "20240229T235959Z", "20240230T235959Z", "date" },
        { "a date with blanks", "20240229T235959Z", "20240229T23 959Z", "date" },
        { "a scope of another day", "AMP/20240229", "AMP/20240228", "date" },
        { "a clock an hour behind", "20240229T235959Z", "20240229T225959Z", "date" },
        { "another region in the scope", "/us-west-2/", "/us-east-1/", "region" },
};

static void refuses_each_of_the_table(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
                AUTO_MEM char *bytes = with(refusals[i].from, refusals[i].to);
                struct sts_request r;
                const char *failed = "";
                AUTO_PTR(error) err = check(str_of(bytes), &r, &failed);

                if (err == NULL)
                        fail_msg("%s: was accepted", refusals[i].name);
                else if (strcmp(failed, refusals[i].check) != 0)
                        fail_msg("%s: failed at '%s' (%s)", refusals[i].name, failed, err->what);
        }
}

/* The requests of real clients, by their captured header sets (the values are ours). */
static const char *const real_clients[] = {
        /* botocore with the challenge as an extra header */
        "POST / HTTP/1.1\r\nHost: sts.us-west-2.amazonaws.com\r\nAccept-Encoding: identity\r\nAccept: application/json\r\n"
        "User-Agent: Botocore/1.29.27 Python/3.11.2\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
        "X-Teleport-Challenge: " CHALLENGE "\r\nX-Amz-Date: 20240229T235959Z\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLEAKIDEXAMP/" SCOPE
        ", SignedHeaders=accept;content-type;host;x-amz-date;x-teleport-challenge, Signature=" SIGNATURE "\r\n"
        "Content-Length: 43\r\n\r\n" STS_REQUEST_BODY,
        /* Go SDK v2: invocation ID and attempt are signed */
        "POST / HTTP/1.1\r\nHost: sts.us-west-2.amazonaws.com\r\nUser-Agent: aws-sdk-go-v2/1.17.1\r\nContent-Length: 43\r\n"
        "Accept: application/json\r\nAmz-Sdk-Invocation-Id: 8f0d54da-1230-40f7-b4ac-95015c4b84cd\r\n"
        "Amz-Sdk-Request: attempt=1; max=3\r\nAuthorization: AWS4-HMAC-SHA256 Credential=ASIAEXAMPLEAKIDEXAMP/" SCOPE
        ", SignedHeaders=accept;amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-date;"
        "x-amz-security-token;x-teleport-challenge, Signature=" SIGNATURE "\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nX-Amz-Date: 20240229T235959Z\r\n"
        "X-Amz-Security-Token: IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVz+session/token==\r\n"
        "X-Teleport-Challenge: " CHALLENGE "\r\n\r\n" STS_REQUEST_BODY,
        /* JS SDK v3: lower-case names, content hash */
        "POST / HTTP/1.1\r\nhost: sts.us-west-2.amazonaws.com\r\naccept: application/json\r\n"
        "amz-sdk-invocation-id: 8f0d54da-1230-40f7-b4ac-95015c4b84cd\r\namz-sdk-request: attempt=1; max=3\r\n"
        "content-type: application/x-www-form-urlencoded\r\ncontent-length: 43\r\nuser-agent: aws-sdk-js/3.1169.0\r\n"
        "x-amz-content-sha256: ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843\r\n"
        "x-amz-date: 20240229T235959Z\r\nx-amz-user-agent: aws-sdk-js/3.1169.0\r\nx-teleport-challenge: " CHALLENGE "\r\n"
        "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLEAKIDEXAMP/" SCOPE
        ", SignedHeaders=accept;amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-content-sha256;"
        "x-amz-date;x-amz-user-agent;x-teleport-challenge, Signature=" SIGNATURE "\r\nConnection: keep-alive\r\n\r\n"
        STS_REQUEST_BODY,
        /* curl --aws-sigv4: does not sign content type and length */
        "POST / HTTP/1.1\r\nHost: sts.us-west-2.amazonaws.com\r\nAuthorization: AWS4-HMAC-SHA256 "
        "Credential=AKIDEXAMPLEAKIDEXAMP/" SCOPE ", SignedHeaders=accept;host;x-amz-date;x-teleport-challenge, "
        "Signature=" SIGNATURE "\r\nX-Amz-Date: 20240229T235959Z\r\nUser-Agent: curl/7.88.1\r\nAccept: application/json\r\n"
        "X-Teleport-Challenge: " CHALLENGE "\r\nContent-Length: 43\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n" STS_REQUEST_BODY,
};

static void accepts_the_requests_of_real_aws_clients(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(real_clients); i++) {
                struct sts_request r;
                const char *failed = "";
                AUTO_PTR(error) err = check(str_of(real_clients[i]), &r, &failed);

                if (err != NULL)
                        fail_msg("client %zu: %s: %s", i, failed, err->what);
        }
}

static void keeps_every_signed_header_that_aws_must_see(void **state)
{
        struct sts_request r;
        const char *failed;
        static const char *const wanted[] = { "amz-sdk-invocation-id", "amz-sdk-request", "x-amz-security-token" };

        (void)state;
        assert_null(check(str_of(real_clients[1]), &r, &failed));
        for (size_t w = 0; w < ARRAY_LEN(wanted); w++) {
                bool found = false;

                for (size_t i = 0; i < r.header_count; i++)
                        found = found || str_equal(r.headers[i].name, str_of(wanted[w]));
                if (!found)
                        fail_msg("%s was dropped", wanted[w]);
        }
}

static void names_the_clock_that_is_off(void **state)
{
        struct sts_expectation expect = expectation();
        struct sts_request r;
        const char *failed;

        (void)state;
        expect.now = walltime_of_unix(SIGNED_AT + 3600);
        AUTO_PTR(error) err = sts_request_check(str_of(good), &expect, &r, &failed);
        assert_non_null(err);
        assert_non_null(strstr(err->what, "3600 seconds behind"));
}

static void refuses_every_prefix_of_a_good_request(void **state)
{
        (void)state;
        for (size_t len = 0; len < sizeof good - 1; len++) {
                struct sts_request r;
                const char *failed;

                assert_failed(check(str_of_bytes(good, len), &r, &failed));
        }
}

static void refuses_a_nul_anywhere(void **state)
{
        (void)state;
        for (size_t at = 0; at < sizeof good - 1; at++) {
                AUTO_MEM char *bytes = mem_dup(good, sizeof good - 1);
                struct sts_request r;
                const char *failed;

                bytes[at] = '\0';
                assert_failed(check(str_of_bytes(bytes, sizeof good - 1), &r, &failed));
        }
}

static void refuses_a_request_over_the_limit(void **state)
{
        AUTO(buf) agent = BUF_MAX(2 * LIMIT_STS_REQUEST);
        struct sts_request r;
        const char *failed;

        (void)state;
        buf_put_c(&agent, "User-Agent: ");
        while (agent.len < LIMIT_STS_REQUEST)
                buf_put_char(&agent, 'x');
        AUTO_MEM char *bytes = with("User-Agent: cteleport", buf_c(&agent));
        assert_failed(check(str_of(bytes), &r, &failed));
        assert_string_equal(failed, "request-line");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepts_the_request_of_our_agents),
                cmocka_unit_test(accepts_the_requests_of_real_aws_clients),
                cmocka_unit_test(keeps_every_signed_header_that_aws_must_see),
                cmocka_unit_test(refuses_each_of_the_table),
                cmocka_unit_test(reads_the_binding_of_a_proof),
                cmocka_unit_test(names_the_clock_that_is_off),
                cmocka_unit_test(refuses_every_prefix_of_a_good_request),
                cmocka_unit_test(refuses_a_nul_anywhere),
                cmocka_unit_test(refuses_a_request_over_the_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
