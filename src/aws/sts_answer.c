/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sts_answer.h"

#include <stdlib.h>

#include "net/strict_json.h"
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

/* "TYPE/NAME" with exactly `parts` non-empty names; parts 0: one or more (a path before the name). */
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

struct error *sts_identity_check(struct str account, struct str arn, struct str user_id, struct str partition)
{
        if (!name_is_aws_account(account))
                return error_new(ERROR_INVALID_ARGUMENT, "the answer holds no account number");
        TRY(sts_arn_check(arn, partition, account));
        if (user_id.len > USER_ID_MAX || (user_id.len > 0 && !is_visible_ascii(user_id)))
                return error_new(ERROR_INVALID_ARGUMENT, "the user ID is malformed");
        return NULL;
}

/* The error keys and identity keys of an answer, at any depth and in any letter case. */
struct sent {
        bool has_error, has_two;
        unsigned identity; /* bits of the keys found */
};

static void check_key(struct str key, struct sent *sent)
{
        static const char *const of_errors[] = { "Error", "Errors", "ErrorResponse", "ErrorCode", "ErrorMessage", "Fault", "__type" };
        static const char *const of_identities[] = { "GetCallerIdentityResponse", "GetCallerIdentityResult", "Account", "Arn", "UserId" };

        for (size_t i = 0; i < ARRAY_LEN(of_errors); i++)
                sent->has_error |= str_equal_nocase(key, str_of(of_errors[i]));
        for (unsigned i = 0; i < ARRAY_LEN(of_identities); i++) {
                if (!str_equal_nocase(key, str_of(of_identities[i])))
                        continue;
                sent->has_two |= (sent->identity & 1U << i) != 0;
                sent->identity |= 1U << i;
        }
}

/* Recursion is bounded by LIMIT_JSON_DEPTH, which strict_json_read() enforces. */
static void check_all(const json_t *value, struct sent *sent)
{
        json_t *object = json_is_object(value) ? (json_t *)(uintptr_t)value : NULL;

        for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
                check_key(str_of(json_object_iter_key(at)), sent);
                check_all(json_object_iter_value(at), sent);
        }
        for (size_t i = 0; i < json_array_size(value); i++)
                check_all(json_array_get(value, i), sent);
}

/* An answer with both keys, or with two identities, is refused: it does not state one identity. */
static struct error *check_one_identity(const json_t *root)
{
        struct sent sent = { 0 };

        check_all(root, &sent);
        if (sent.has_error)
                return error_new(ERROR_INVALID_ARGUMENT, "the answer holds an error");
        if (sent.has_two)
                return error_new(ERROR_INVALID_ARGUMENT, "the answer holds more than one identity");
        return NULL;
}

static struct error *identity_read(struct str body, const char *partition, struct sts_answer *ret)
{
        AUTO(strict_json) json = { 0 };
        struct str account, arn, user_id = { 0 };

        TRY(strict_json_read(body, "the answer", &json));
        const json_t *response = json_object_get(json.root, "GetCallerIdentityResponse");
        const json_t *result = json_object_get(response, "GetCallerIdentityResult");
        TRY(check_one_identity(json.root));
        if (!json_is_object(result))
                return error_new(ERROR_INVALID_ARGUMENT, "the answer holds no GetCallerIdentityResult");
        if (!strict_json_text(result, "Account", &account))
                return error_new(ERROR_INVALID_ARGUMENT, "the answer holds no account number");
        if (!strict_json_text(result, "Arn", &arn))
                return error_new(ERROR_INVALID_ARGUMENT, "the answer holds no ARN");
        if (json_object_get(result, "UserId") != NULL &&
            (!strict_json_text(result, "UserId", &user_id) || str_is_empty(user_id)))
                return error_new(ERROR_INVALID_ARGUMENT, "the user ID is malformed");
        TRY(sts_identity_check(account, arn, user_id, str_of(partition)));
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

#define SEE_CREDENTIALS "`teleport aws identity` there shows which credentials are used"
#define CLOCK_SLOW "Signature expired"
#define CLOCK_FAST "Signature not yet current"
#define REGION "valid region"

/*
 * The known errors of STS: its codes, and our messages for them. STS's own messages are only compared with `sends` and not shown:
 * they can repeat parts of the request, such as a session token.
 */
static const struct known_code {
        const char *code;
        const char *sends; /* part of STS's message that selects this row, or NULL */
        const char *sentence;
        const char *hint; /* remedy for the operator of the joining host, or NULL */
} known_codes[] = {
        { "InvalidClientTokenId", NULL, "AWS does not know the access key or its session token",
          "check that the access key exists and is active, that its session token is complete, that it belongs "
          "to the partition of AWS_REGION, and that the region is enabled for the account; " SEE_CREDENTIALS },
        { "UnrecognizedClientException", NULL, "AWS does not know the access key or its session token", SEE_CREDENTIALS },
        { "ExpiredToken", NULL, "the session token has expired",
          "the host signed with expired temporary credentials: refresh them; " SEE_CREDENTIALS },
        { "ExpiredTokenException", NULL, "the session token has expired",
          "the host signed with expired temporary credentials: refresh them; " SEE_CREDENTIALS },
        { "SignatureDoesNotMatch", CLOCK_SLOW, CLOCK_SLOW ": its time is too far behind AWS's clock",
          "the clock of the joining host is slow: let it follow a time server (chrony, systemd-timesyncd)" },
        { "SignatureDoesNotMatch", CLOCK_FAST, CLOCK_FAST ": its time is too far ahead of AWS's clock",
          "the clock of the joining host is fast: let it follow a time server (chrony, systemd-timesyncd)" },
        { "SignatureDoesNotMatch", REGION, "the credential is not scoped to a " REGION,
          "the host signed for another region than that of its STS host: check AWS_REGION" },
        { "SignatureDoesNotMatch", NULL, "the signature is not the one of this request by this key",
          "check the secret access key on the joining host; " SEE_CREDENTIALS },
        { "IncompleteSignature", NULL, "the signature is not complete",
          "look for a blank or line break in the access key on the joining host" },
        { "MissingAuthenticationToken", NULL, "the request has no signature", NULL },
        { "RequestExpired", NULL, "the request is too old", "let the joining host follow a time server (chrony, systemd-timesyncd)" },
        { "OptInRequired", NULL, "the account is not signed up for this", "the AWS account is not active, or not signed up for this region" },
        { "AccessDenied", NULL, "a policy does not allow it", "check the policy of the VPC endpoint of STS: IAM policies cannot deny this call" },
        { "AccessDeniedException", NULL, "a policy does not allow it", NULL },
        { "NotAuthorized", NULL, "a policy does not allow it", NULL },
        { "RegionDisabledException", NULL, "STS is not enabled in this region",
          "enable STS in this region for the account, or use another AWS_REGION" },
        { "InvalidIdentityToken", NULL, "the web identity token is not accepted", NULL },
        { "IDPRejectedClaim", NULL, "the identity provider refuses the web identity token", NULL },
        { "IDPCommunicationError", NULL, "the identity provider does not answer AWS", NULL },
        { "MalformedPolicyDocument", NULL, "the policy is malformed", NULL },
        { "PackedPolicyTooLarge", NULL, "the policy and tags are too large", NULL },
        { "InvalidAction", NULL, "there is no such action", NULL },
        { "MissingAction", NULL, "the request names no action", NULL },
        { "InvalidRequest", NULL, "the request is malformed", NULL },
        { "ValidationError", NULL, "the request is malformed", NULL },
        { "MalformedQueryString", NULL, "the request is malformed", NULL },
        { "InvalidQueryParameter", NULL, "the request is malformed", NULL },
        { "InvalidParameterValue", NULL, "a parameter is not valid", NULL },
        { "InvalidParameterCombination", NULL, "the parameters do not go together", NULL },
        { "MissingParameter", NULL, "a parameter is missing", NULL },
        { "Throttling", NULL, "too many requests", NULL },
        { "ThrottlingException", NULL, "too many requests", NULL },
        { "ThrottledException", NULL, "too many requests", NULL },
        { "RequestThrottledException", NULL, "too many requests", NULL },
        { "RequestThrottled", NULL, "too many requests", NULL },
        { "TooManyRequestsException", NULL, "too many requests", NULL },
        { "RequestLimitExceeded", NULL, "too many requests", NULL },
        { "BandwidthLimitExceeded", NULL, "too many requests", NULL },
        { "LimitExceededException", NULL, "too many requests", NULL },
        { "SlowDown", NULL, "too many requests", NULL },
        { "PriorRequestNotComplete", NULL, "too many requests", NULL },
        { "TransactionInProgressException", NULL, "too many requests", NULL },
        { "EC2ThrottledException", NULL, "too many requests", NULL },
        { "ProvisionedThroughputExceededException", NULL, "too many requests", NULL },
        { "RequestTimeout", NULL, "the request was sent too slowly", NULL },
        { "RequestTimeoutException", NULL, "the request was sent too slowly", NULL },
        { "InternalFailure", NULL, "AWS failed", NULL },
        { "InternalError", NULL, "AWS failed", NULL },
        { "ServiceUnavailable", NULL, "STS is out of order", NULL },
};

static const struct known_code *find_code(struct str code, struct str message)
{
        for (size_t i = 0; i < ARRAY_LEN(known_codes); i++)
                if (str_equal(code, str_of(known_codes[i].code)) &&
                    (known_codes[i].sends == NULL || str_contains(message, str_of(known_codes[i].sends))))
                        return &known_codes[i];
        return NULL;
}

bool sts_error_read(struct str body, char **ret_code, char **ret_message)
{
        AUTO(strict_json) json = { 0 };
        AUTO_PTR(error) not_json = strict_json_read(body, "the answer", &json);
        struct str code = { 0 }, message = { 0 };

        if (not_json == NULL) {
                const json_t *error = json_object_get(json.root, "Error");

                if (!strict_json_text(error, "Code", &code))
                        return false;
                (void)strict_json_text(error, "Message", &message);
        } else {
                struct str text = str_trim(body);

                if (!str_starts_with(text, STR("<")) || !str_contains(text, STR("<ErrorResponse")))
                        return false;
                code = sts_xml_text(text, "Code");
                message = sts_xml_text(text, "Message");
        }
        if (!is_code(code))
                return false;
        const struct known_code *known = find_code(code, message);
        *ret_code = str_dup(known == NULL ? STR(STS_UNKNOWN_CODE) : str_of(known->code));
        *ret_message = str_dup(known == NULL ? STR("") : str_of(known->sentence));
        return true;
}

bool sts_code_is_transient(struct str code)
{
        /* The codes that any of AWS's SDKs retries. */
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

bool sts_refusal_is_about_clock(struct str code, struct str message)
{
        return str_equal(code, STR("SignatureDoesNotMatch")) &&
               (str_contains(message, STR(CLOCK_SLOW)) || str_contains(message, STR(CLOCK_FAST)));
}

const char *sts_refusal_hint(struct str code, struct str message)
{
        const struct known_code *known = find_code(code, message);

        return known == NULL ? NULL : known->hint;
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

/* The content types of JSON that AWS sends, with UTF-8 or without a charset. */
static bool is_json_type(struct str type)
{
        static const char *const types[] = { "application/json", "application/x-amz-json-1.0", "application/x-amz-json-1.1" };
        struct str rest = type;
        struct str form = str_trim(str_split(&rest, ';'));
        struct str parameter = str_trim(rest);

        if (!str_is_empty(parameter) && !str_equal_nocase(parameter, STR("charset=utf-8")) &&
            !str_equal_nocase(parameter, STR("charset=\"utf-8\"")))
                return false;
        for (size_t i = 0; i < ARRAY_LEN(types); i++)
                if (str_equal_nocase(form, str_of(types[i])))
                        return true;
        return false;
}

static bool is_xml_type(struct str type)
{
        struct str rest = type;
        struct str form = str_trim(str_split(&rest, ';'));

        return str_equal_nocase(form, STR("text/xml")) || str_equal_nocase(form, STR("application/xml"));
}

static struct error *check_form(const struct sts_http *http)
{
        if (!str_is_empty(http->content_encoding))
                return error_new(ERROR_INVALID_ARGUMENT, "the answer is encoded, which was not requested");
        if (!is_json_type(http->content_type))
                return error_new(ERROR_INVALID_ARGUMENT, "the Content-Type of the answer is not JSON");
        return NULL;
}

void sts_answer_read(const struct sts_http *http, const char *partition, struct sts_answer *ret)
{
        struct sts_answer a = { 0 };
        int http_status = http->status;
        struct str body = http->body;

        if (http_status == 200) {
                AUTO_PTR(error) err = check_form(http);

                if (err == NULL)
                        err = identity_read(body, partition, &a);

                a.outcome = err == NULL ? STS_OUTCOME_IDENTIFIED : STS_OUTCOME_STRANGE;
                if (err != NULL)
                        a.message = str_dup(str_of(err->what));
        } else {
                bool is_error_document = str_is_empty(http->content_encoding) &&
                                         (is_json_type(http->content_type) || is_xml_type(http->content_type)) &&
                                         sts_error_read(body, &a.code, &a.message);

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
