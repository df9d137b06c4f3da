/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/assume_role.h"

#include <stdlib.h>

#include "aws/key_json.h"
#include "aws/sigv4.h"
#include "aws/sts_answer.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/http_client.h"
#include "pki/key.h"

enum { FORM_MAX = 64 * KiB, TRIES = 3 };

struct assume_role {
        struct loop *loop;
        struct http_client *http;
        char *role_arn; /* escaped, for messages */
        char *endpoint, *region;
        bool allow_http;
        const char *action;
        struct buf form;
        struct aws_credentials keys;
        struct http_call *call;
        struct timer *pause;
        struct backoff backoff;
        int tries;
        bool is_cancelled;
        void (*done)(void *ctx, struct aws_credentials *c, struct error *err);
        void *ctx;
};

/* ---- texts ---------------------------------------------------------------------------------------------- */

static const char *action_of(const struct assume_role_request *r)
{
        return str_is_empty(r->web_identity_token) ? "AssumeRole" : "AssumeRoleWithWebIdentity";
}

static void put_field(struct buf *out, const char *name, struct str value)
{
        buf_printf(out, "&%s=", name);
        sigv4_put_encoded(out, value, false);
}

void assume_role_put_form(struct buf *out, const struct assume_role_request *r)
{
        buf_printf(out, "Action=%s&Version=2011-06-15", action_of(r));
        put_field(out, "RoleArn", r->role_arn);
        put_field(out, "RoleSessionName", r->session_name);
        if (!str_is_empty(r->external_id))
                put_field(out, "ExternalId", r->external_id);
        if (r->duration_seconds > 0)
                buf_printf(out, "&DurationSeconds=%d", (int)r->duration_seconds);
        if (!str_is_empty(r->web_identity_token))
                put_field(out, "WebIdentityToken", r->web_identity_token);
}

static struct error *read_xml(struct str body, struct aws_credentials *ret)
{
        AUTO(aws_credentials) c = { .access_key_id = secret_of(sts_xml_text(body, "AccessKeyId")),
                                    .secret_access_key = secret_of(sts_xml_text(body, "SecretAccessKey")),
                                    .session_token = secret_of(sts_xml_text(body, "SessionToken")),
                                    .has_expiry = true };
        AUTO_PTR(error) bad_time = walltime_parse_rfc3339(sts_xml_text(body, "Expiration"), &c.expiry);

        if (c.access_key_id.len == 0 || c.secret_access_key.len == 0 || c.session_token.len == 0 || bad_time != NULL)
                return error_new(ERROR_FAILED_PRECONDITION, "the answer of STS holds no credentials");
        *ret = c;
        c = (struct aws_credentials){ 0 };
        return NULL;
}

struct error *assume_role_read(struct str body, const char *action, struct aws_credentials *ret)
{
        static const struct key_json_form form = { "SessionToken", true, true };
        AUTO(strict_json) json = { 0 };
        AUTO_MEM char *response = mem_printf("%sResponse", action);
        AUTO_MEM char *result = mem_printf("%sResult", action);

        if (str_starts_with(str_trim(body), STR("<")))
                return read_xml(body, ret);
        TRY(strict_json_read(body, "the answer of STS", &json));
        const json_t *found = json_object_get(json_object_get(json.root, response), result);
        struct error *err = key_json_read(json_object_get(found, "Credentials"), &form, ret);
        return err == NULL ? NULL : error_wrap(err, "the answer of STS is strange");
}

/* ---- the request ----------------------------------------------------------------------------------------- */

static void finish(struct assume_role *a, struct aws_credentials *c, struct error *err)
{
        timer_free(a->pause);
        a->done(a->ctx, c, err);
        aws_credentials_release(&a->keys);
        wipe(a->form.ptr, a->form.len);
        buf_release(&a->form);
        free(a->role_arn);
        free(a->endpoint);
        free(a->region);
        free(a);
}

static void send_request(void *ctx);

static bool may_try_again(struct assume_role *a)
{
        if (a->tries >= TRIES || a->is_cancelled)
                return false;
        timer_start(a->pause, backoff_next(&a->backoff));
        return true;
}

static struct error *refusal(const struct assume_role *a, int status, struct str body)
{
        AUTO_MEM char *code = NULL;
        AUTO_MEM char *message = NULL;

        if (!sts_error_read(body, &code, &message))
                return error_new(ERROR_UNAVAILABLE, "%s of %s: STS answers with HTTP status %d", a->action, a->role_arn,
                                 status);
        struct error *err = error_new(ERROR_PERMISSION_DENIED, "%s of %s is refused by STS: %s: %s", a->action,
                                      a->role_arn, code, message);
        if (str_equal(str_of(code), STR("AccessDenied")))
                return error_hint(err, "let the trust policy of the role name this identity");
        return err;
}

static void on_answer(void *ctx, const struct http_answer *answer, struct error *err)
{
        struct assume_role *a = ctx;
        struct aws_credentials c = { 0 };

        a->call = NULL;
        if (err != NULL) {
                bool is_passing = err->code == ERROR_UNAVAILABLE || err->code == ERROR_DEADLINE_EXCEEDED;

                if (is_passing && may_try_again(a))
                        error_free(err);
                else
                        finish(a, NULL, error_wrap(err, "%s of %s", a->action, a->role_arn));
                return;
        }
        if (answer->status == 200) {
                err = assume_role_read(answer->body, a->action, &c);
                finish(a, err == NULL ? &c : NULL, err == NULL ? NULL : error_wrap(err, "%s of %s", a->action, a->role_arn));
                return;
        }
        AUTO_MEM char *code = NULL;
        AUTO_MEM char *message = NULL;
        bool is_passing = answer->status >= 500 || answer->status == 429 ||
                          (sts_error_read(answer->body, &code, &message) && sts_code_is_transient(str_of(code)));
        if (!is_passing || !may_try_again(a))
                finish(a, NULL, refusal(a, answer->status, answer->body));
}

/* The host of an endpoint, as in the Host header: "sts.us-west-2.amazonaws.com". */
static struct str host_of(struct str endpoint)
{
        struct str host = str_slice(endpoint, str_starts_with(endpoint, STR("https://")) ? 8 : 7, endpoint.len);

        host.len = str_find_char(host, '/');
        if (str_starts_with(endpoint, STR("https://")) && str_ends_with(host, STR(":443")))
                host.len -= 4;
        else if (str_starts_with(endpoint, STR("http://")) && str_ends_with(host, STR(":80")))
                host.len -= 3;
        return host;
}

#define FORM_TYPE "application/x-www-form-urlencoded; charset=utf-8"

/* Signs the form and starts the request with the resulting header lines. */
static struct error *request_signed(struct assume_role *a, struct http_request *r, struct walltime now)
{
        AUTO(buf) date = BUF_MAX(64);
        AUTO(buf) hash = BUF_MAX(64);
        AUTO(buf) authorization = BUF_MAX(4 * KiB);
        uint8_t digest[32];
        struct str token = secret_str(&a->keys.session_token);

        sigv4_put_date(&date, now);
        sha256(buf_str(&a->form), digest);
        hex_encode(&hash, str_of_bytes(digest, sizeof digest));
        const struct sigv4_header headers[] = {
                { STR("Host"), host_of(str_of(a->endpoint)) },
                { STR("Content-Type"), STR(FORM_TYPE) },
                { STR("X-Amz-Date"), buf_str(&date) },
                { STR("X-Amz-Security-Token"), token },
        };
        const struct sigv4_request request = { .method = STR("POST"),
                                               .path = STR("/"),
                                               .headers = headers,
                                               .header_count = ARRAY_LEN(headers) - str_is_empty(token),
                                               .payload_hash = buf_str(&hash) };
        const struct sigv4_scope scope = { now, str_of(a->region), STR("sts") };
        TRY(sigv4_authorization(&request, &scope, secret_str(&a->keys.access_key_id),
                                secret_str(&a->keys.secret_access_key), &authorization));

        AUTO_MEM char *date_line = mem_printf("X-Amz-Date: %s", buf_c(&date));
        AUTO_MEM char *authorization_line = mem_printf("Authorization: %s", buf_c(&authorization));
        AUTO_MEM char *token_line = mem_printf("X-Amz-Security-Token: %.*s", STR_ARG(token));
        const char *lines[] = { "Content-Type: " FORM_TYPE, "Accept: application/json", date_line,
                                authorization_line,         str_is_empty(token) ? NULL : token_line, NULL };
        r->headers = lines;
        a->call = http_call_start(a->http, r, on_answer, a);
        wipe(token_line, strlen(token_line));
        return NULL;
}

static void send_request(void *ctx)
{
        struct assume_role *a = ctx;
        static const char *const unsigned_lines[] = { "Content-Type: " FORM_TYPE, "Accept: application/json", NULL };
        AUTO_MEM char *url = mem_printf("%s/", a->endpoint);
        struct http_request r = { .method = "POST",
                                  .url = url,
                                  .body = buf_str(&a->form),
                                  .allow_http = a->allow_http,
                                  .use_proxy = true,
                                  .connect_within = MILLISECONDS(TIMEOUT_STS_CONNECT),
                                  .within = MILLISECONDS(TIMEOUT_STS_TOTAL),
                                  .limit = LIMIT_STS_ANSWER };
        struct error *err = buf_finish(&a->form, "request to STS");

        if (a->is_cancelled) {
                error_free(err);
                finish(a, NULL, error_new(ERROR_CANCELLED, "%s was cancelled", a->action));
                return;
        }
        a->tries++;
        if (err == NULL && a->keys.access_key_id.len > 0) {
                err = request_signed(a, &r, loop_wall(a->loop));
        } else if (err == NULL) {
                r.headers = unsigned_lines;
                a->call = http_call_start(a->http, &r, on_answer, a);
        }
        if (err != NULL)
                finish(a, NULL, err);
}

struct assume_role *assume_role_start(struct loop *l, struct http_client *http, const struct assume_role_request *r,
                                      void (*done)(void *ctx, struct aws_credentials *c, struct error *err), void *ctx)
{
        struct assume_role *a = NEW(struct assume_role);

        a->loop = l;
        a->http = http;
        a->done = done;
        a->ctx = ctx;
        a->role_arn = escaped(r->role_arn);
        a->endpoint = str_dup(r->endpoint);
        a->region = str_dup(r->region);
        a->allow_http = r->allow_http;
        a->action = action_of(r);
        a->form = BUF_MAX(FORM_MAX);
        assume_role_put_form(&a->form, r);
        if (str_is_empty(r->web_identity_token)) {
                a->keys.access_key_id = secret_of(secret_str(&r->keys->access_key_id));
                a->keys.secret_access_key = secret_of(secret_str(&r->keys->secret_access_key));
                a->keys.session_token = secret_of(secret_str(&r->keys->session_token));
        }
        a->backoff = (struct backoff){ .first = MILLISECONDS(PACE_STS_FIRST), .most = MILLISECONDS(PACE_STS_MAX) };
        a->pause = timer_new(l, send_request, a);
        timer_start(a->pause, MILLISECONDS(0));
        return a;
}

void assume_role_cancel(struct assume_role *a)
{
        a->is_cancelled = true;
        if (a->call != NULL)
                http_call_cancel(a->call);
        else
                timer_start(a->pause, MILLISECONDS(0));
}
