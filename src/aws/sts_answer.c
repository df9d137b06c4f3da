/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sts_answer.h"

#include <stdlib.h>

#include "aws/strict_json.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"

enum { CODE_MAX = 64, USER_ID_MAX = 256 };

void sts_answer_release(struct sts_answer *a)
{
        free(a->account);
        free(a->arn);
        free(a->user_id);
        free(a->code);
        free(a->message);
        *a = (struct sts_answer){ 0 };
}

/* ---- identities ------------------------------------------------------------------------------------ */

static bool is_visible_ascii(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
                        return false;
        return s.len > 0;
}

/* "TYPE/NAME" with exactly `parts` names, none of them empty; parts 0: one or more (a path before the name). */
static bool is_resource(struct str resource, const char *type, size_t parts)
{
        struct str rest = resource;
        size_t count = 0;

        if (!str_equal(str_split(&rest, '/'), str_of(type)) || str_is_empty(rest) || str_ends_with(rest, STR("/")))
                return false;
        while (!str_is_empty(rest)) {
                if (str_is_empty(str_split(&rest, '/')))
                        return false;
                count++;
        }
        return parts == 0 || count == parts;
}

/* The kinds of identity that STS reports for GetCallerIdentity. */
static bool is_identity(struct str service, struct str resource)
{
        if (str_equal(service, STR("iam")))
                return str_equal(resource, STR("root")) || is_resource(resource, "user", 0);
        if (str_equal(service, STR("sts")))
                return is_resource(resource, "assumed-role", 2) || is_resource(resource, "federated-user", 1);
        return false;
}

struct error *sts_arn_check(struct str arn, struct str partition, struct str account)
{
        struct str rest = arn;

        if (arn.len < STS_ARN_MIN || arn.len > STS_ARN_MAX || !is_visible_ascii(arn))
                return error_new(ERROR_INVALID_ARGUMENT, "the ARN is malformed");
        struct str scheme = str_split(&rest, ':');
        struct str of_partition = str_split(&rest, ':');
        struct str service = str_split(&rest, ':');
        struct str region = str_split(&rest, ':');
        struct str of_account = str_split(&rest, ':');
        if (!str_equal(scheme, STR("arn")) || !str_is_empty(region) || !is_identity(service, rest))
                return error_new(ERROR_INVALID_ARGUMENT, "the ARN is not one of an identity");
        if (!str_equal(of_partition, partition))
                return error_new(ERROR_INVALID_ARGUMENT, "the ARN belongs to another partition than the host asked");
        if (!str_equal(of_account, account))
                return error_new(ERROR_INVALID_ARGUMENT, "the ARN belongs to another account than the answer");
        return NULL;
}

static struct error *identity_read(struct str body, const char *partition, struct sts_answer *ret)
{
        AUTO(strict_json) json = { 0 };
        struct str account, arn, user_id = { 0 };

        TRY(strict_json_read(body, "the answer", &json));
        const json_t *result = json_object_get(json_object_get(json.root, "GetCallerIdentityResponse"),
                                               "GetCallerIdentityResult");
        if (!json_is_object(result))
                return error_new(ERROR_INVALID_ARGUMENT, "the answer holds no GetCallerIdentityResult");
        if (!strict_json_text(result, "Account", &account) || !name_is_aws_account(account))
                return error_new(ERROR_INVALID_ARGUMENT, "the answer holds no account number");
        if (!strict_json_text(result, "Arn", &arn))
                return error_new(ERROR_INVALID_ARGUMENT, "the answer holds no ARN");
        TRY(sts_arn_check(arn, str_of(partition), account));
        if (json_object_get(result, "UserId") != NULL &&
            (!strict_json_text(result, "UserId", &user_id) || user_id.len > USER_ID_MAX || !is_visible_ascii(user_id)))
                return error_new(ERROR_INVALID_ARGUMENT, "the user ID is malformed");
        ret->account = str_dup(account);
        ret->arn = str_dup(arn);
        ret->user_id = str_dup(user_id);
        return NULL;
}

/* ---- errors ---------------------------------------------------------------------------------------- */

struct str sts_xml_text(struct str xml, const char *tag)
{
        AUTO_MEM char *open = mem_printf("<%s>", tag);
        AUTO_MEM char *close = mem_printf("</%s>", tag);
        const char *from = xml.len == 0 ? NULL : memmem(xml.ptr, xml.len, open, strlen(open));

        if (from == NULL)
                return (struct str){ 0 };
        from += strlen(open);
        size_t left = xml.len - (size_t)(from - xml.ptr);
        const char *to = memmem(from, left, close, strlen(close));
        if (to == NULL || memchr(from, '<', (size_t)(to - from)) != NULL)
                return (struct str){ 0 };
        return (struct str){ from, (size_t)(to - from) };
}

static bool is_code(struct str code)
{
        for (size_t i = 0; i < code.len; i++)
                if (!char_is_alnum(code.ptr[i]) && code.ptr[i] != '.')
                        return false;
        return code.len > 0 && code.len <= CODE_MAX;
}

bool sts_error_read(struct str body, char **ret_code, char **ret_message)
{
        AUTO(strict_json) json = { 0 };
        AUTO_PTR(error) not_json = strict_json_read(body, "the answer", &json);
        struct str code = { 0 }, message = { 0 };

        if (not_json == NULL) {
                const json_t *error = json_object_get(json.root, "Error");

                if (!strict_json_text(error, "Code", &code) || !is_code(code))
                        return false;
                (void)strict_json_text(error, "Message", &message);
        } else {
                struct str text = str_trim(body);

                if (!str_starts_with(text, STR("<")) || !str_contains(text, STR("<ErrorResponse")))
                        return false;
                code = sts_xml_text(text, "Code");
                message = sts_xml_text(text, "Message");
                if (!is_code(code))
                        return false;
        }
        *ret_code = str_dup(code);
        *ret_message = escaped(message);
        return true;
}

bool sts_code_is_transient(struct str code)
{
        /* The union of what AWS's SDKs retry. */
        static const char *const codes[] = {
                "Throttling",
                "ThrottlingException",
                "ThrottledException",
                "RequestThrottledException",
                "RequestThrottled",
                "TooManyRequestsException",
                "RequestLimitExceeded",
                "BandwidthLimitExceeded",
                "LimitExceededException",
                "SlowDown",
                "PriorRequestNotComplete",
                "TransactionInProgressException",
                "EC2ThrottledException",
                "ProvisionedThroughputExceededException",
                "RequestTimeout",
                "RequestTimeoutException",
                "InternalFailure",
                "ServiceUnavailable",
                "IDPCommunicationError",
        };

        for (size_t i = 0; i < ARRAY_LEN(codes); i++)
                if (str_equal(code, str_of(codes[i])))
                        return true;
        return false;
}

#define SEE_CREDENTIALS "`teleport aws identity` there shows which credentials are used"
#define CLOCK_SLOW "Signature expired"
#define CLOCK_FAST "Signature not yet current"

bool sts_refusal_is_about_clock(struct str code, struct str message)
{
        return str_equal(code, STR("SignatureDoesNotMatch")) &&
               (str_contains(message, STR(CLOCK_SLOW)) || str_contains(message, STR(CLOCK_FAST)));
}

const char *sts_refusal_hint(struct str code, struct str message)
{
        static const struct {
                const char *code;
                const char *says; /* part of the message, or NULL */
                const char *hint;
        } hints[] = {
                { "InvalidClientTokenId", NULL,
                  "check that the access key exists and is active, that its session token is complete, that it belongs "
                  "to the partition of AWS_REGION, and that the region is enabled for the account; " SEE_CREDENTIALS },
                { "ExpiredToken", NULL, "the host signed with expired temporary credentials: refresh them; " SEE_CREDENTIALS },
                { "ExpiredTokenException", NULL, "the host signed with expired temporary credentials: refresh them; " SEE_CREDENTIALS },
                { "SignatureDoesNotMatch", CLOCK_SLOW,
                  "the clock of the joining host is slow: let it follow a time server (chrony, systemd-timesyncd)" },
                { "SignatureDoesNotMatch", CLOCK_FAST,
                  "the clock of the joining host is fast: let it follow a time server (chrony, systemd-timesyncd)" },
                { "SignatureDoesNotMatch", "valid region",
                  "the host signed for another region than that of its STS host: check AWS_REGION" },
                { "SignatureDoesNotMatch", NULL, "check the secret access key on the joining host; " SEE_CREDENTIALS },
                { "IncompleteSignature", NULL, "look for a blank or line break in the access key on the joining host" },
                { "OptInRequired", NULL, "the AWS account is not active, or not signed up for this region" },
                { "AccessDenied", NULL, "check the policy of the VPC endpoint of STS: IAM policies cannot deny this call" },
                { "RegionDisabledException", NULL, "enable STS in this region for the account, or use another AWS_REGION" },
        };

        for (size_t i = 0; i < ARRAY_LEN(hints); i++)
                if (str_equal(code, str_of(hints[i].code)) &&
                    (hints[i].says == NULL || str_contains(message, str_of(hints[i].says))))
                        return hints[i].hint;
        return NULL;
}

/* ---- the whole answer ------------------------------------------------------------------------------ */

static enum sts_outcome outcome_of_error(int status, struct sts_answer *a, bool is_error_document)
{
        if (status >= 500 || status == 429 || status == 408)
                return STS_OUTCOME_UNREACHABLE;
        if (status < 400 || !is_error_document)
                return STS_OUTCOME_STRANGE;
        return sts_code_is_transient(str_of(a->code)) ? STS_OUTCOME_UNREACHABLE : STS_OUTCOME_REFUSED;
}

void sts_answer_read(int http_status, struct str body, const char *partition, struct sts_answer *ret)
{
        struct sts_answer a = { 0 };

        if (http_status == 200) {
                AUTO_PTR(error) err = identity_read(body, partition, &a);

                a.outcome = err == NULL ? STS_OUTCOME_IDENTIFIED : STS_OUTCOME_STRANGE;
                if (err != NULL)
                        a.message = str_dup(str_of(err->what));
        } else {
                bool is_error_document = sts_error_read(body, &a.code, &a.message);

                a.outcome = outcome_of_error(http_status, &a, is_error_document);
                if (!is_error_document)
                        a.message = mem_printf("HTTP status %d without an error document of STS", http_status);
        }
        char **texts[] = { &a.account, &a.arn, &a.user_id, &a.code, &a.message };
        for (size_t i = 0; i < ARRAY_LEN(texts); i++)
                if (*texts[i] == NULL)
                        *texts[i] = str_dup((struct str){ 0 });
        *ret = a;
}
