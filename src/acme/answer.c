/* SPDX-License-Identifier: Apache-2.0 */
#include "acme/answer.h"

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "net/strict_json.h"

#define PROBLEM_PREFIX "urn:ietf:params:acme:error:"

enum { TOKEN_MAX = 256, DETAIL_MAX = 400 }; /* a token has 22 or 43 characters in practice */

/* ---- texts -------------------------------------------------------------------------------------------- */

static bool is_base64url(struct str text, size_t most)
{
        for (size_t i = 0; i < text.len; i++)
                if (!char_is_alnum(text.ptr[i]) && text.ptr[i] != '-' && text.ptr[i] != '_')
                        return false;
        return text.len > 0 && text.len <= most;
}

bool acme_is_nonce(struct str nonce)
{
        return is_base64url(nonce, LIMIT_ACME_NONCE);
}

/* Host and port, of which libcurl checks the details. */
static bool is_authority(struct str text)
{
        for (size_t i = 0; i < text.len; i++)
                if (!char_is_alnum(text.ptr[i]) && strchr("-.:[]", text.ptr[i]) == NULL)
                        return false;
        return text.len > 0 && (char_is_alnum(text.ptr[0]) || text.ptr[0] == '[');
}

bool acme_is_url(struct str url)
{
        const struct str scheme = STR("https://");

        if (url.len > LIMIT_ACME_URL || url.len <= scheme.len || !str_equal_nocase(str_slice(url, 0, scheme.len), scheme))
                return false;
        for (size_t i = 0; i < url.len; i++)
                if (url.ptr[i] <= ' ' || url.ptr[i] >= 0x7f || strchr("\"\\#<>^`{|}", url.ptr[i]) != NULL)
                        return false;
        struct str rest = str_slice(url, scheme.len, url.len);
        size_t end = 0;
        while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
                end++;
        return is_authority(str_slice(rest, 0, end));
}

static struct error *bad(const char *document, const char *member)
{
        return error_new(ERROR_INVALID_ARGUMENT, "%s of the CA has no valid '%s'", document, member);
}

static struct error *read_url(struct arena *a, const json_t *object, const char *document, const char *member, const char **ret)
{
        struct str url;

        if (!strict_json_text(object, member, &url) || !acme_is_url(url))
                return bad(document, member);
        *ret = str_to_c(a, url);
        return NULL;
}

/* NULL if the member is absent. */
static struct error *read_optional_url(struct arena *a, const json_t *object, const char *document, const char *member, const char **ret)
{
        *ret = NULL;
        return json_object_get(object, member) == NULL ? NULL : read_url(a, object, document, member, ret);
}

/* ---- documents ---------------------------------------------------------------------------------------- */

struct error *acme_read_directory(struct arena *a, struct str json, struct acme_directory *ret)
{
        static const char document[] = "the directory";
        AUTO(strict_json) j = { 0 };
        struct acme_directory d = { 0 };

        TRY(strict_json_read(json, "the directory of the CA", &j));
        TRY(read_url(a, j.root, document, "newNonce", &d.new_nonce));
        TRY(read_url(a, j.root, document, "newAccount", &d.new_account));
        TRY(read_url(a, j.root, document, "newOrder", &d.new_order));
        d.needs_external_account = json_is_true(json_object_get(json_object_get(j.root, "meta"), "externalAccountRequired"));
        *ret = d;
        return NULL;
}

struct error *acme_read_account(struct str json, struct str contact, bool *ret_is_same)
{
        AUTO(strict_json) j = { 0 };

        TRY(strict_json_read(json, "the account of the CA", &j));
        const json_t *list = json_object_get(j.root, "contact"), *first = json_array_get(list, 0);
        struct str found = { json_string_value(first), json_string_length(first) };

        if (list != NULL && (!json_is_array(list) || (first != NULL && !json_is_string(first))))
                return bad("the account", "contact");
        *ret_is_same = json_array_size(list) <= 1 && str_equal(found, contact);
        return NULL;
}

static struct error *read_status(const json_t *object, const char *document, enum acme_status *ret)
{
        static const struct {
                const char *name;
                enum acme_status status;
        } rows[] = {
                { "pending", ACME_PENDING },     { "ready", ACME_READY },     { "processing", ACME_PROCESSING },
                { "valid", ACME_VALID },         { "invalid", ACME_INVALID }, { "deactivated", ACME_INVALID },
                { "expired", ACME_INVALID },     { "revoked", ACME_INVALID },
        };
        struct str status;

        if (!strict_json_text(object, "status", &status))
                return bad(document, "status");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (str_equal(status, str_of(rows[i].name))) {
                        *ret = rows[i].status;
                        return NULL;
                }
        return bad(document, "status");
}

/* The escaped text for a message, of limited length. */
static const char *shown(struct arena *a, struct str text, size_t most)
{
        AUTO(buf) out = BUF_MAX(8 * KiB);

        escape_text(&out, text, most);
        return str_to_c(a, buf_str(&out));
}

static struct acme_problem problem_of(struct arena *a, const json_t *object)
{
        struct acme_problem p = { "", "" };
        struct str type, detail;

        if (strict_json_text(object, "type", &type) && str_starts_with(type, STR(PROBLEM_PREFIX)))
                p.type = shown(a, str_slice(type, strlen(PROBLEM_PREFIX), type.len), 64);
        if (strict_json_text(object, "detail", &detail))
                p.detail = shown(a, detail, DETAIL_MAX);
        return p;
}

void acme_read_problem(struct arena *a, struct str json, struct acme_problem *ret)
{
        AUTO(strict_json) j = { 0 };
        AUTO_PTR(error) err = strict_json_read(json, "a problem of the CA", &j);

        *ret = err == NULL ? problem_of(a, j.root) : (struct acme_problem){ "", "" };
}

static struct error *read_authorizations(struct arena *a, const json_t *order, struct acme_order_document *ret)
{
        const json_t *list = json_object_get(order, "authorizations");
        size_t count = json_array_size(list);

        if (list != NULL && !json_is_array(list))
                return bad("the order", "authorizations");
        if (count > ARRAY_LEN(ret->authorizations))
                return error_new(ERROR_INVALID_ARGUMENT, "the order of the CA has %zu authorizations, more than %zu", count,
                                 ARRAY_LEN(ret->authorizations));
        for (size_t i = 0; i < count; i++) {
                const json_t *item = json_array_get(list, i);
                struct str url = { json_string_value(item), json_string_length(item) };

                if (!json_is_string(item) || !acme_is_url(url))
                        return bad("the order", "authorizations");
                ret->authorizations[ret->authorization_count++] = str_to_c(a, url);
        }
        return NULL;
}

struct error *acme_read_order(struct arena *a, struct str json, struct acme_order_document *ret)
{
        static const char document[] = "the order";
        AUTO(strict_json) j = { 0 };
        struct acme_order_document o = { 0 };

        TRY(strict_json_read(json, "the order of the CA", &j));
        TRY(read_status(j.root, document, &o.status));
        TRY(read_authorizations(a, j.root, &o));
        TRY(read_optional_url(a, j.root, document, "finalize", &o.finalize));
        TRY(read_optional_url(a, j.root, document, "certificate", &o.certificate));
        if (o.status == ACME_VALID && o.certificate == NULL)
                return bad(document, "certificate");
        o.problem = problem_of(a, json_object_get(j.root, "error"));
        *ret = o;
        return NULL;
}

static const json_t *find_challenge(const json_t *authorization)
{
        const json_t *list = json_object_get(authorization, "challenges");
        struct str type;

        for (size_t i = 0; i < json_array_size(list); i++)
                if (strict_json_text(json_array_get(list, i), "type", &type) && str_equal(type, STR("tls-alpn-01")))
                        return json_array_get(list, i);
        return NULL;
}

static struct str name_of(struct arena *a, const json_t *authorization)
{
        const json_t *identifier = json_object_get(authorization, "identifier");
        struct str type, value;

        if (!strict_json_text(identifier, "type", &type) || !str_equal(type, STR("dns")) || !strict_json_text(identifier, "value", &value) ||
            !name_is_host(value))
                return STR("");
        return arena_str(a, value);
}

struct error *acme_read_authorization(struct arena *a, struct str json, struct acme_authorization *ret)
{
        static const char document[] = "the authorization";
        AUTO(strict_json) j = { 0 };
        struct acme_authorization au = { .token = "" };
        struct str token;

        TRY(strict_json_read(json, "the authorization of the CA", &j));
        TRY(read_status(j.root, document, &au.status));
        au.name = name_of(a, j.root);
        const json_t *challenge = find_challenge(j.root);
        au.problem = problem_of(a, json_object_get(challenge, "error"));
        if (challenge != NULL) {
                TRY(read_url(a, challenge, document, "url", &au.url));
                if (!strict_json_text(challenge, "token", &token) || !is_base64url(token, TOKEN_MAX))
                        return bad(document, "token");
                au.token = str_to_c(a, token);
        }
        *ret = au;
        return NULL;
}

/* ---- errors ------------------------------------------------------------------------------------------- */

#define ACCOUNT_HINT "the CA does not accept the account for this. If it has deactivated the account, remove account.pem below data_dir/acme: a new one is made"
#define NAMES_HINT "each host of proxy_service.public_addr, and of applications, must be a public DNS name that leads to this proxy"

/* The errors of section 6.7 that an operator can do something about. */
static const struct {
        const char *type;
        enum error_code code;
        const char *hint;
} remedies[] = {
        { "rateLimited", ERROR_RESOURCE_EXHAUSTED,
          "wait; the proxy tries again by itself. For trials use the CA's staging directory in proxy_service.acme.uri" },
        { "connection", ERROR_FAILED_PRECONDITION,
          "the CA connects to port 443 of each host of public_addr and of applications: open it in the firewall, and lead it to web_listen_addr" },
        { "tls", ERROR_FAILED_PRECONDITION,
          "port 443 of each host of public_addr and of applications must lead to this proxy without a load balancer that ends TLS" },
        { "unauthorized", ERROR_FAILED_PRECONDITION,
          "port 443 of each host of public_addr and of applications must lead to this proxy: nothing or another server answers there, or a load balancer ends TLS" },
        { "incorrectResponse", ERROR_FAILED_PRECONDITION,
          "port 443 of each host of public_addr and of applications must lead to this proxy: another server answers there, or a load balancer ends TLS" },
        { "dns", ERROR_FAILED_PRECONDITION, "create the DNS record of each host of public_addr and of applications; it must lead to this proxy" },
        { "caa", ERROR_FAILED_PRECONDITION, "a CAA record of the domain forbids this CA: add the CA to it" },
        { "rejectedIdentifier", ERROR_FAILED_PRECONDITION, NAMES_HINT },
        { "unsupportedIdentifier", ERROR_FAILED_PRECONDITION, NAMES_HINT },
        { "malformed", ERROR_FAILED_PRECONDITION, NAMES_HINT },
        { "invalidContact", ERROR_FAILED_PRECONDITION, "correct proxy_service.acme.email" },
        { "unsupportedContact", ERROR_FAILED_PRECONDITION, "correct proxy_service.acme.email" },
        { "externalAccountRequired", ERROR_FAILED_PRECONDITION,
          "this CA gives accounts to its customers only, which is not supported: name another CA in proxy_service.acme.uri, or use https_keypairs" },
        { "accountDoesNotExist", ERROR_FAILED_PRECONDITION, ACCOUNT_HINT },
        { "userActionRequired", ERROR_FAILED_PRECONDITION, "the CA has new terms of service: its message has the address" },
        { "serverInternal", ERROR_UNAVAILABLE, "the proxy tries again by itself" },
};

/* A refused request is not about the proxy: in an authorization the same type says that the proxy did not answer the CA. */
static const char *remedy_of_request(const char *type)
{
        return strcmp(type, "unauthorized") == 0 ? ACCOUNT_HINT : NULL;
}

struct error *acme_problem_error(const struct acme_problem *p, int status, const char *what)
{
        AUTO_MEM char *number = status == 0 ? str_dup(STR("")) : mem_printf(", HTTP status %d", status);
        AUTO_MEM char *reason = p->type[0] == '\0' && p->detail[0] == '\0' ?
                                        mem_printf("%s", status == 0 ? "it gave no reason" : "not a message of ACME") :
                                        mem_printf("%s%s%s", p->type, p->type[0] == '\0' || p->detail[0] == '\0' ? "" : ": ", p->detail);

        const char *hint = status == 0 ? NULL : remedy_of_request(p->type);

        for (size_t i = 0; i < ARRAY_LEN(remedies); i++)
                if (strcmp(p->type, remedies[i].type) == 0)
                        return error_hint(error_new(remedies[i].code, "%s (%s%s)", what, reason, number), "%s", hint != NULL ? hint : remedies[i].hint);
        struct error *err = error_new(status >= 500 || status == 429 ? ERROR_UNAVAILABLE : ERROR_FAILED_PRECONDITION, "%s (%s%s)", what, reason, number);
        return status >= 500 || status == 429 ? error_hint(err, "the proxy tries again by itself") :
                                                error_hint(err, "proxy_service.acme.uri must be the directory of an ACME server (RFC 8555)");
}

struct duration acme_retry_after(struct str value, struct walltime now)
{
        int64_t seconds = 0;
        struct walltime at;
        struct str text = str_trim(value);

        if (str_is_empty(text))
                return SECONDS(0);
        if (char_is_digit(text.ptr[0])) {
                AUTO_PTR(error) err = parse_int(text, 0, INT32_MAX, "Retry-After", &seconds);

                if (err != NULL)
                        return SECONDS(0);
        } else {
                AUTO_PTR(error) err = walltime_parse_http(text, &at);

                if (err != NULL || at.ns <= now.ns)
                        return SECONDS(0);
                seconds = duration_ms(walltime_since(at, now)) / 1000 + 1;
        }
        return seconds * 1000 > TIMEOUT_ACME_RETRY_AFTER ? MILLISECONDS(TIMEOUT_ACME_RETRY_AFTER) : SECONDS(seconds);
}
