/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/identity_request.h"

#include "aws/sigv4.h"
#include "base/limits.h"
#include "base/text.h"

/* Printable ASCII without blanks: the characters of a token and of a key ID. */
static bool is_visible(struct str s, size_t max)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
                        return false;
        return s.len > 0 && s.len <= max;
}

static struct error *check_credentials(const struct aws_credentials *c)
{
        struct str id = secret_str(&c->access_key_id);

        /* The ID is part of a list in the Authorization header: "Credential=ID/…, SignedHeaders=…". */
        if (!is_visible(id, 128) || str_find_char(id, '/') < id.len || str_find_char(id, ',') < id.len)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the AWS access key ID is malformed"),
                                  "look for a blank or line break in it where it is configured");
        if (str_is_empty(secret_str(&c->secret_access_key)))
                return error_new(ERROR_FAILED_PRECONDITION, "the AWS secret access key is empty");
        if (c->session_token.len > 0 && !is_visible(secret_str(&c->session_token), LIMIT_STS_HEADER_VALUE))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "the AWS session token is malformed, or longer than %d bytes",
                                            LIMIT_STS_HEADER_VALUE),
                                  "look for a blank or line break in it where it is configured");
        return NULL;
}

struct error *aws_check_challenge(struct str challenge)
{
        enum { BYTES = 32, DIGITS = 43 };
        AUTO(buf) padded = BUF_MAX(DIGITS + 2);
        AUTO(buf) bytes = BUF_MAX(BYTES + 1);

        if (challenge.len == DIGITS) {
                buf_put(&padded, challenge);
                buf_put_char(&padded, '=');
                AUTO_PTR(error) err = base64_decode(&bytes, buf_str(&padded));
                if (err == NULL && bytes.len == BYTES)
                        return NULL;
        }
        return error_new(ERROR_INVALID_ARGUMENT, "the server's challenge is not 32 bytes in base64, and nothing else is signed");
}

struct error *aws_identity_request(const struct aws_resolution *r, struct str challenge, struct str binding,
                                   struct walltime now, struct buf *out)
{
        AUTO(buf) date = BUF_MAX(64);
        AUTO(buf) authorization = BUF_MAX(4 * KiB);
        struct str token = secret_str(&r->credentials.session_token);

        TRY(check_credentials(&r->credentials));
        TRY(aws_check_challenge(challenge));
        if (!str_is_empty(binding) && !is_visible(binding, 256))
                return error_new(ERROR_INVALID_ARGUMENT, "the binding of the proof is malformed");
        if (r->sts.name[0] == '\0')
                return error_new(ERROR_FAILED_PRECONDITION, "no STS host is known for the region");
        sigv4_put_date(&date, now);

        /* In the order of the packet. */
        size_t count = 0;
        const struct sigv4_header all[] = {
                { STR("Host"), str_of(r->sts.name) },
                { STR("Content-Length"), STR("43") },
                { STR("Accept"), STR("application/json") },
                { STR("Content-Type"), STR("application/x-www-form-urlencoded; charset=utf-8") },
                { STR("X-Amz-Date"), buf_str(&date) },
                { STR(AWS_CHALLENGE_HEADER), challenge },
                { STR("X-Amz-Security-Token"), token },
                { STR(AWS_BINDING_HEADER), binding },
        };
        struct sigv4_header headers[ARRAY_LEN(all)];
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                if (!str_is_empty(all[i].value))
                        headers[count++] = all[i];
        const struct sigv4_request request = {
                .method = STR("POST"),
                .path = STR("/"),
                .headers = headers,
                .header_count = count,
                .payload_hash = STR(AWS_IDENTITY_BODY_HASH),
        };
        const struct sigv4_scope scope = { now, str_of(r->sts.region), STR("sts") };
        TRY(sigv4_authorization(&request, &scope, secret_str(&r->credentials.access_key_id),
                                secret_str(&r->credentials.secret_access_key), &authorization));

        buf_put_c(out, "POST / HTTP/1.1\r\n");
        for (size_t i = 0; i < request.header_count; i++) {
                buf_put(out, headers[i].name);
                buf_put_c(out, ": ");
                buf_put(out, headers[i].value);
                buf_put_c(out, "\r\n");
        }
        buf_put_c(out, "User-Agent: cteleport/" CTELEPORT_VERSION "\r\nAuthorization: ");
        buf_put(out, buf_str(&authorization));
        buf_put_c(out, "\r\n\r\n" AWS_IDENTITY_BODY);
        return buf_finish(out, "signed identity request");
}
