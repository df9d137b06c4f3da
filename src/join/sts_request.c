/* SPDX-License-Identifier: Apache-2.0 */
#include "join/sts_request.h"

#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "join/binding.h"

/* SHA-256 of STS_REQUEST_BODY, the only value x-amz-content-sha256 may have. */
#define BODY_SHA256 "ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843"

enum header_id {
        HEADER_ACCEPT,
        HEADER_ACCEPT_ENCODING,
        HEADER_SDK_INVOCATION_ID,
        HEADER_SDK_REQUEST,
        HEADER_AUTHORIZATION,
        HEADER_CONNECTION,
        HEADER_CONTENT_LENGTH,
        HEADER_CONTENT_TYPE,
        HEADER_HOST,
        HEADER_USER_AGENT,
        HEADER_AMZ_CONTENT_SHA256,
        HEADER_AMZ_DATE,
        HEADER_AMZ_SECURITY_TOKEN,
        HEADER_AMZ_USER_AGENT,
        HEADER_BINDING,
        HEADER_CHALLENGE,
        HEADER_COUNT,
};

enum header_rule {
        ALWAYS_SIGNED = 1 << 0, /* if present, it must be signed */
        NEVER_SIGNED = 1 << 1,  /* no SDK signs it; a signed header could not be dropped */
        REQUIRED = 1 << 2,
        PASSED_ON = 1 << 3,     /* copied into the request to STS when signed */
};

/* The allowed headers: those that SDKs send with GetCallerIdentity, and the binding of our agents (docs/protocols/join.md). */
static const struct {
        struct str name;
        unsigned rules;
        const char *only; /* the only allowed value, or NULL */
        const char *or_only;
} header_rows[HEADER_COUNT] = {
        [HEADER_ACCEPT] = { STR_INIT("accept"), 0, "application/json", NULL },
        [HEADER_ACCEPT_ENCODING] = { STR_INIT("accept-encoding"), NEVER_SIGNED, "identity", "gzip" },
        [HEADER_SDK_INVOCATION_ID] = { STR_INIT("amz-sdk-invocation-id"), PASSED_ON, NULL, NULL },
        [HEADER_SDK_REQUEST] = { STR_INIT("amz-sdk-request"), PASSED_ON, NULL, NULL },
        [HEADER_AUTHORIZATION] = { STR_INIT("authorization"), REQUIRED | NEVER_SIGNED, NULL, NULL },
        [HEADER_CONNECTION] = { STR_INIT("connection"), NEVER_SIGNED, "keep-alive", "close" },
        [HEADER_CONTENT_LENGTH] = { STR_INIT("content-length"), REQUIRED, "43", NULL },
        [HEADER_CONTENT_TYPE] = { STR_INIT("content-type"), 0, "application/x-www-form-urlencoded",
                                  "application/x-www-form-urlencoded; charset=utf-8" },
        [HEADER_HOST] = { STR_INIT("host"), REQUIRED | ALWAYS_SIGNED, NULL, NULL },
        [HEADER_USER_AGENT] = { STR_INIT("user-agent"), NEVER_SIGNED, NULL, NULL },
        [HEADER_AMZ_CONTENT_SHA256] = { STR_INIT("x-amz-content-sha256"), ALWAYS_SIGNED | PASSED_ON, BODY_SHA256, NULL },
        [HEADER_AMZ_DATE] = { STR_INIT("x-amz-date"), REQUIRED | ALWAYS_SIGNED | PASSED_ON, NULL, NULL },
        [HEADER_AMZ_SECURITY_TOKEN] = { STR_INIT("x-amz-security-token"), ALWAYS_SIGNED | PASSED_ON, NULL, NULL },
        [HEADER_AMZ_USER_AGENT] = { STR_INIT("x-amz-user-agent"), ALWAYS_SIGNED | PASSED_ON, NULL, NULL },
        [HEADER_BINDING] = { STR_INIT("x-cteleport-join-binding"), ALWAYS_SIGNED | PASSED_ON, NULL, NULL },
        [HEADER_CHALLENGE] = { STR_INIT("x-teleport-challenge"), REQUIRED | ALWAYS_SIGNED | PASSED_ON, NULL, NULL },
};

/* The parts of `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`. */
struct authorization {
        struct str access_key_id, date, region;
        struct str signed_headers; /* "a;b;c" */
};

struct parsed {
        struct str values[HEADER_COUNT];
        bool present[HEADER_COUNT];
        bool is_signed[HEADER_COUNT];
        struct authorization auth;
        struct str body;
};

static struct error *refuse(enum error_code code, const char *sentence)
{
        return error_new(code, "the signed AWS request was refused: %s", sentence);
}

#define MALFORMED(sentence) refuse(ERROR_INVALID_ARGUMENT, sentence)
#define DENIED(sentence) refuse(ERROR_PERMISSION_DENIED, sentence)

/* The next line without its CRLF; a CR or LF alone is refused. */
static struct error *take_line(struct str *rest, struct str *ret_line)
{
        size_t cr = str_find_char(*rest, '\r');
        size_t lf = str_find_char(*rest, '\n');

        if (cr == rest->len || lf != cr + 1)
                return MALFORMED("a line does not end in CRLF");
        *ret_line = str_slice(*rest, 0, cr);
        *rest = str_slice(*rest, cr + 2, rest->len);
        return NULL;
}

static struct error *find_header(struct str name, enum header_id *ret)
{
        for (size_t id = 0; id < HEADER_COUNT; id++) {
                if (str_equal_nocase(name, header_rows[id].name)) {
                        *ret = (enum header_id)id;
                        return NULL;
                }
        }
        AUTO_MEM char *shown = escaped(str_slice(name, 0, 64));
        return error_new(ERROR_INVALID_ARGUMENT, "the signed AWS request was refused: header '%s' does not belong there",
                         shown);
}

/* Printable ASCII and inner blanks only: a proxy, a signer or STS could interpret other bytes differently. */
static bool value_is_plain(struct str value)
{
        for (size_t i = 0; i < value.len; i++)
                if (value.ptr[i] < 0x20 || value.ptr[i] > 0x7e)
                        return false;
        return value.len > 0 && value.len <= LIMIT_STS_HEADER_VALUE && value.ptr[0] != ' ' &&
               value.ptr[value.len - 1] != ' ';
}

static struct error *parse_header(struct parsed *p, struct str line)
{
        struct str value = line;
        struct str name = str_split(&value, ':');
        enum header_id id;

        if (name.len == line.len)
                return MALFORMED("a header line has no colon");
        TRY(find_header(name, &id));
        if (p->present[id])
                return MALFORMED("a header occurs twice");
        if (str_starts_with(value, STR(" ")))
                value = str_slice(value, 1, value.len);
        if (!value_is_plain(value))
                return MALFORMED("a header value is empty, too long or holds unusual characters");
        if (header_rows[id].only != NULL && !str_equal(value, str_of(header_rows[id].only)) &&
            (header_rows[id].or_only == NULL || !str_equal(value, str_of(header_rows[id].or_only))))
                return error_new(ERROR_INVALID_ARGUMENT, "the signed AWS request was refused: header '%.*s' has an unusual value",
                                 STR_ARG(header_rows[id].name));
        p->values[id] = value;
        p->present[id] = true;
        return NULL;
}

static struct error *parse_headers(struct parsed *p, struct str *rest)
{
        for (size_t count = 0;; count++) {
                struct str line;

                TRY(take_line(rest, &line));
                if (str_is_empty(line))
                        break;
                if (count == LIMIT_STS_HEADERS)
                        return MALFORMED("it has too many headers");
                TRY(parse_header(p, line));
        }
        for (size_t id = 0; id < HEADER_COUNT; id++)
                if ((header_rows[id].rules & REQUIRED) != 0 && !p->present[id])
                        return error_new(ERROR_INVALID_ARGUMENT, "the signed AWS request was refused: header '%.*s' is missing",
                                         STR_ARG(header_rows[id].name));
        return NULL;
}

static bool is_made_of(struct str s, size_t min, size_t max, bool (*allowed)(char c))
{
        for (size_t i = 0; i < s.len; i++)
                if (!allowed(s.ptr[i]))
                        return false;
        return s.len >= min && s.len <= max;
}

static bool char_is_lower_hex(char c)
{
        return char_is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool char_is_region(char c)
{
        return char_is_digit(c) || (c >= 'a' && c <= 'z') || c == '-';
}

/* "Key=value" up to the next comma; most SDKs put one blank after the comma, some none. */
static bool take_parameter(struct str *rest, struct str key, struct str *ret_value)
{
        struct str part = str_split(rest, ',');

        if (str_starts_with(*rest, STR(" ")))
                *rest = str_slice(*rest, 1, rest->len);
        if (!str_starts_with(part, key))
                return false;
        *ret_value = str_slice(part, key.len, part.len);
        return true;
}

static struct error *parse_credential(struct authorization *a, struct str credential)
{
        a->access_key_id = str_split(&credential, '/');
        a->date = str_split(&credential, '/');
        a->region = str_split(&credential, '/');
        if (!is_made_of(a->access_key_id, 16, 128, char_is_alnum) || !is_made_of(a->date, 8, 8, char_is_digit) ||
            !is_made_of(a->region, 1, 64, char_is_region) || !str_equal(credential, STR("sts/aws4_request")))
                return MALFORMED("the credential scope is not KEY/DATE/REGION/sts/aws4_request");
        return NULL;
}

/* The Authorization header of AWS Signature Version 4 (no RFC), with its parts in the order of all SDKs. */
static struct error *parse_authorization(struct parsed *p)
{
        struct str rest = p->values[HEADER_AUTHORIZATION];
        struct str scheme = STR("AWS4-HMAC-SHA256 ");
        struct str credential, signature;

        if (!str_starts_with(rest, scheme))
                return MALFORMED("it is not signed with AWS4-HMAC-SHA256");
        rest = str_slice(rest, scheme.len, rest.len);
        if (!take_parameter(&rest, STR("Credential="), &credential) ||
            !take_parameter(&rest, STR("SignedHeaders="), &p->auth.signed_headers) ||
            !take_parameter(&rest, STR("Signature="), &signature) || !str_is_empty(rest))
                return MALFORMED("its Authorization is not Credential, SignedHeaders and Signature, each once");
        if (!is_made_of(signature, 64, 64, char_is_lower_hex))
                return MALFORMED("its signature is not 64 hex digits");
        return parse_credential(&p->auth, credential);
}

static struct error *check_signed_headers(struct parsed *p)
{
        struct str rest = p->auth.signed_headers;
        struct str before = { 0 };

        while (!str_is_empty(rest)) {
                struct str name = str_split(&rest, ';');
                enum header_id id;

                TRY(find_header(name, &id));
                if (!str_equal(name, header_rows[id].name))
                        return MALFORMED("SignedHeaders are not in lower case");
                if (str_compare(before, name) >= 0)
                        return MALFORMED("SignedHeaders are not sorted, or one occurs twice");
                if (!p->present[id])
                        return MALFORMED("SignedHeaders name a header that is not there");
                if ((header_rows[id].rules & NEVER_SIGNED) != 0)
                        return MALFORMED("SignedHeaders name a header that cannot be kept");
                p->is_signed[id] = true;
                before = name;
        }
        if (str_ends_with(p->auth.signed_headers, STR(";")))
                return MALFORMED("SignedHeaders end in a semicolon");
        for (size_t id = 0; id < HEADER_COUNT; id++)
                if (p->present[id] && (header_rows[id].rules & ALWAYS_SIGNED) != 0 && !p->is_signed[id])
                        return error_new(ERROR_PERMISSION_DENIED, "the signed AWS request was refused: header '%.*s' is not signed",
                                         STR_ARG(header_rows[id].name));
        return NULL;
}

static struct error *check_challenge(const struct parsed *p, const struct sts_expectation *expect)
{
        if (!secret_equal(p->values[HEADER_CHALLENGE], expect->challenge))
                return error_hint(DENIED("it does not carry the challenge of this join attempt"),
                                  "a request can be used for one attempt only; start the agent again");
        return NULL;
}

static struct error *check_binding(const struct parsed *p, const struct sts_expectation *expect)
{
        struct str value = p->values[HEADER_BINDING];

        if (!p->present[HEADER_BINDING] && !expect->is_binding_required)
                return NULL;
        if (!p->present[HEADER_BINDING])
                return error_hint(DENIED("it is not bound to this join, as this cluster requires"),
                                  "only agents of this project bind their proofs; auth_service.aws.require_join_binding demands it");
        if (!is_made_of(value, JOIN_BINDING_SIZE, JOIN_BINDING_SIZE, char_is_lower_hex))
                return MALFORMED("its binding is not 64 hex digits");
        if (!secret_equal(value, expect->binding))
                return error_hint(DENIED("it is bound to another connection, or to other keys and names, than those of this join"),
                                  "something between this host and the cluster ends TLS (a load balancer, a firewall that opens "
                                  "it); it must pass the connection through unchanged");
        return NULL;
}

/* "YYYYMMDDTHHMMSSZ" */
static struct error *parse_amz_date(struct str text, struct walltime *ret)
{
        AUTO(buf) rfc3339 = BUF_MAX(32);

        if (text.len != 16 || text.ptr[8] != 'T' || text.ptr[15] != 'Z')
                return MALFORMED("X-Amz-Date is not like 20260131T235959Z");
        buf_printf(&rfc3339, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", text.ptr, text.ptr + 4, text.ptr + 6, text.ptr + 9,
                   text.ptr + 11, text.ptr + 13);
        struct error *err = walltime_parse_rfc3339(buf_str(&rfc3339), ret);
        if (err == NULL)
                return NULL;
        error_free(err);
        return MALFORMED("X-Amz-Date is not like 20260131T235959Z");
}

static struct error *check_date(const struct parsed *p, const struct sts_expectation *expect, struct sts_request *ret)
{
        struct str text = p->values[HEADER_AMZ_DATE];

        TRY(parse_amz_date(text, &ret->signed_at));
        if (!str_equal(str_slice(text, 0, 8), p->auth.date))
                return MALFORMED("its credential scope is of another day than X-Amz-Date");
        int64_t off = walltime_unix(ret->signed_at) - walltime_unix(expect->now);
        if (off >= -LIMIT_CLOCK_SKEW_SECONDS && off <= LIMIT_CLOCK_SKEW_SECONDS)
                return NULL;
        AUTO(buf) signed_at = BUF_MAX(64), now = BUF_MAX(64);
        walltime_put_rfc3339(&signed_at, ret->signed_at);
        walltime_put_rfc3339(&now, expect->now);
        return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                    "the clock of this host is %lld seconds %s: it signed at %s, the Auth Service has %s, "
                                    "and AWS accepts at most %d minutes",
                                    (long long)(off < 0 ? -off : off), off < 0 ? "behind" : "ahead", buf_c(&signed_at),
                                    buf_c(&now), LIMIT_CLOCK_SKEW_SECONDS / 60),
                          "set the clock of this host (or of the Auth Service, if that one is wrong): timedatectl status");
}

static struct error *check_region(const struct parsed *p, const struct sts_request *r)
{
        if (str_equal(p->auth.region, str_of(r->host.region)))
                return NULL;
        return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                    "the signed AWS request was refused: it is signed for region '%.*s' but addressed to %s",
                                    STR_ARG(p->auth.region), r->host.name),
                          "set AWS_REGION to one region and let nothing override the STS endpoint");
}

static void collect_headers(const struct parsed *p, struct sts_request *ret)
{
        for (size_t id = 0; id < HEADER_COUNT; id++) {
                bool passed_on = (header_rows[id].rules & PASSED_ON) != 0 && p->is_signed[id];

                if (id == HEADER_CONTENT_TYPE || id == HEADER_AUTHORIZATION)
                        passed_on = p->present[id];
                if (passed_on)
                        ret->headers[ret->header_count++] =
                                (struct sts_request_header){ header_rows[id].name, p->values[id] };
        }
        if (!p->present[HEADER_CONTENT_TYPE])
                ret->headers[ret->header_count++] = (struct sts_request_header){
                        header_rows[HEADER_CONTENT_TYPE].name, STR("application/x-www-form-urlencoded")
                };
        /* Added even if it is not signed: only one value is allowed, and STS then answers in JSON. */
        ret->headers[ret->header_count++] =
                (struct sts_request_header){ header_rows[HEADER_ACCEPT].name, STR("application/json") };
}

static struct error *check_request_line(struct str bytes, struct str *ret_rest)
{
        struct str line = { 0 };

        *ret_rest = bytes;
        if (bytes.len > LIMIT_STS_REQUEST)
                return MALFORMED("it is too large");
        TRY(take_line(ret_rest, &line));
        if (str_equal(line, STR("POST / HTTP/1.1")))
                return NULL;
        return DENIED("its first line is not 'POST / HTTP/1.1'");
}

static struct error *check_host(const struct parsed *p, const struct sts_expectation *expect, struct sts_request *ret)
{
        if (sts_host_find(p->values[HEADER_HOST], &expect->hosts, &ret->host))
                return NULL;
        return sts_host_explain(p->values[HEADER_HOST], &expect->hosts);
}

static struct error *check_body(struct str body)
{
        return str_equal(body, STR(STS_REQUEST_BODY)) ? NULL : DENIED("its body is not exactly a GetCallerIdentity request");
}

struct error *sts_request_check(struct str bytes, const struct sts_expectation *expect, struct sts_request *ret,
                                const char **ret_check)
{
        struct parsed p = { 0 };
        struct str rest;

        *ret = (struct sts_request){ 0 };
        *ret_check = "request-line";
        TRY(check_request_line(bytes, &rest));
        *ret_check = "headers";
        TRY(parse_headers(&p, &rest));
        *ret_check = "body";
        TRY(check_body(rest));
        *ret_check = "host";
        TRY(check_host(&p, expect, ret));
        *ret_check = "authorization";
        TRY(parse_authorization(&p));
        *ret_check = "signed-headers";
        TRY(check_signed_headers(&p));
        *ret_check = "challenge";
        TRY(check_challenge(&p, expect));
        *ret_check = "binding";
        TRY(check_binding(&p, expect));
        *ret_check = "date";
        TRY(check_date(&p, expect, ret));
        *ret_check = "region";
        TRY(check_region(&p, ret));
        ret->access_key_id = p.auth.access_key_id;
        collect_headers(&p, ret);
        return NULL;
}
