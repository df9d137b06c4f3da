/* SPDX-License-Identifier: Apache-2.0 */
/*
 *            ┌────────────── 401: the token has expired, once ─────────────────────┐
 *            ▼                                                                     │
 *   read ──► PUT token ──► GET with token ──────────────────────────────────────► done
 *                │ 403 404 405, silence, 5xx                                       ▲
 *                └───────► GET without token (unless disabled) ────────────────────┘
 */
#include "aws/imds.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "net/http_client.h"

enum imds_version { VERSION_UNKNOWN, VERSION_1, VERSION_2 };

struct imds {
        struct http_client *http;
        struct imds_options options;
        char *base;           /* without a trailing slash */
        enum imds_version version;
        struct secret token;
        /* The current read. */
        char *path;
        struct http_call *call;
        int attempts_left;
        bool has_renewed; /* the token was renewed after a 401 */
        bool was_silent;  /* the token request was not answered */
        void (*done)(void *ctx, struct str body, struct error *err);
        void *ctx;
};

#define TOKEN_HINT                                                                                                     \
        "in a container, the answer may fall to the hop limit: set HttpPutResponseHopLimit of the instance to 2, or "  \
        "give the container a role of its own (EKS pod identity, IRSA, ECS task role)"

static void request_token(struct imds *m);
static void request_path(struct imds *m);

static void finish(struct imds *m, struct str body, struct error *err)
{
        free(m->path);
        m->path = NULL;
        m->done(m->ctx, body, err);
}

static struct http_call *start(struct imds *m, const char *method, const char *path, const char *const *headers,
                               void (*done)(void *ctx, const struct http_answer *answer, struct error *err))
{
        AUTO_MEM char *url = mem_printf("%s%s", m->base, path);
        const struct http_request r = {
                .method = method,
                .url = url,
                .headers = headers,
                .allow_http = true,
                .connect_within = m->options.within,
                .within = (struct duration){ 2 * m->options.within.ns },
                .limit = LIMIT_AWS_ANSWER,
        };

        return http_call_start(m->http, &r, done, m);
}

/* ---- the token ---------------------------------------------------------------------------------------- */

static bool is_token(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
                        return false;
        return s.len > 0 && s.len <= 1024;
}

static void go_on_without_token(struct imds *m, const char *why)
{
        if (m->options.v1_disabled) {
                finish(m, (struct str){ 0 },
                       error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "the instance metadata service returned no token (%s), and requests without one "
                                            "are disabled",
                                            why),
                                  TOKEN_HINT));
                return;
        }
        m->version = VERSION_1;
        request_path(m);
}

static void on_token(void *ctx, const struct http_answer *answer, struct error *err)
{
        struct imds *m = ctx;
        AUTO_PTR(error) owned UNUSED = err;

        m->call = NULL;
        if (err != NULL && err->code == ERROR_DEADLINE_EXCEEDED) {
                m->was_silent = true;
                go_on_without_token(m, "it does not answer");
        } else if (err != NULL && err->code != ERROR_CANCELLED && --m->attempts_left > 0) {
                request_token(m);
        } else if (err != NULL) {
                finish(m, (struct str){ 0 }, error_copy(err));
        } else if (answer->status == 200 && is_token(answer->body)) {
                secret_release(&m->token);
                m->token = secret_of(answer->body);
                m->version = VERSION_2;
                m->attempts_left = m->options.attempts;
                request_path(m);
        } else if (answer->status == 200 || answer->status == 400) {
                finish(m, (struct str){ 0 },
                       error_new(ERROR_FAILED_PRECONDITION,
                                 "the instance metadata service answers the request for a token with %s",
                                 answer->status == 200 ? "something that is no token" : "HTTP status 400"));
        } else if (answer->status == 403 || answer->status == 404 || answer->status == 405 || --m->attempts_left <= 0) {
                AUTO_MEM char *why = mem_printf("HTTP status %d", answer->status);
                go_on_without_token(m, why);
        } else {
                request_token(m);
        }
}

static void request_token(struct imds *m)
{
        static const char *const headers[] = { "X-aws-ec2-metadata-token-ttl-seconds: 21600", NULL };

        m->call = start(m, "PUT", "/latest/api/token", headers, on_token);
}

/* ---- the read ------------------------------------------------------------------------------------------ */

static struct error *error_of_status(const struct imds *m, int status)
{
        if (status == 404)
                return error_new(ERROR_NOT_FOUND, "the instance metadata service has no %s", m->path);
        return error_new(ERROR_FAILED_PRECONDITION, "the instance metadata service answers %s with HTTP status %d", m->path,
                         status);
}

static void on_path(void *ctx, const struct http_answer *answer, struct error *err)
{
        struct imds *m = ctx;
        AUTO_PTR(error) owned UNUSED = err;

        m->call = NULL;
        if (err == NULL && answer->status == 200 && answer->body.len > 0) {
                finish(m, answer->body, NULL);
        } else if (err == NULL && answer->status == 401 && !m->has_renewed) {
                m->has_renewed = true;
                request_token(m);
        } else if (err == NULL && answer->status == 404) {
                finish(m, (struct str){ 0 }, error_of_status(m, 404));
        } else if ((err == NULL || err->code != ERROR_CANCELLED) && --m->attempts_left > 0) {
                request_path(m);
        } else if (err == NULL && answer->status == 401 && m->was_silent) {
                m->version = VERSION_UNKNOWN;
                finish(m, (struct str){ 0 },
                       error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "the instance metadata service requires a token, and its answer to the request "
                                            "for one did not arrive"),
                                  TOKEN_HINT));
        } else if (err != NULL && m->was_silent) {
                m->version = VERSION_UNKNOWN;
                finish(m, (struct str){ 0 }, error_hint(error_copy(err), TOKEN_HINT));
        } else {
                finish(m, (struct str){ 0 }, err != NULL ? error_copy(err) : error_of_status(m, answer->status));
        }
}

static void request_path(struct imds *m)
{
        AUTO_MEM char *header = NULL;
        const char *headers[] = { NULL, NULL };

        if (m->version == VERSION_2) {
                header = mem_printf("X-aws-ec2-metadata-token: %.*s", STR_ARG(secret_str(&m->token)));
                headers[0] = header;
        }
        m->call = start(m, "GET", m->path, headers, on_path);
        if (header != NULL)
                wipe(header, strlen(header));
}

void imds_read(struct imds *m, const char *path, void (*done)(void *ctx, struct str body, struct error *err), void *ctx)
{
        m->path = str_dup(str_of(path));
        m->done = done;
        m->ctx = ctx;
        m->attempts_left = m->options.attempts;
        m->has_renewed = false;
        if (m->version == VERSION_UNKNOWN)
                request_token(m);
        else
                request_path(m);
}

void imds_cancel(struct imds *m)
{
        if (m->call != NULL)
                http_call_cancel(m->call);
}

/* ---- options ------------------------------------------------------------------------------------------- */

static bool is_base_url(struct str url)
{
        struct str rest = url;

        if (str_starts_with(url, STR("http://")))
                rest = str_slice(url, 7, url.len);
        else if (str_starts_with(url, STR("https://")))
                rest = str_slice(url, 8, url.len);
        else
                return false;
        for (size_t i = 0; i < rest.len; i++)
                if (rest.ptr[i] <= ' ' || rest.ptr[i] > '~' || strchr("@?#\"<>\\^`{|}", rest.ptr[i]) != NULL)
                        return false;
        return rest.len > 0 && rest.ptr[0] != '/' && url.len <= 1024;
}

struct error *imds_new(struct http_client *http, const struct imds_options *options, struct imds **ret)
{
        const char *endpoint = options->endpoint != NULL ? options->endpoint :
                               options->ipv6             ? "http://[fd00:ec2::254]" :
                                                           "http://169.254.169.254";
        struct str base = str_of(endpoint);

        if (!is_base_url(base)) {
                AUTO_MEM char *shown = escaped(base);
                return error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                            "'%s' is not the URL of an instance metadata service", shown),
                                  "correct AWS_EC2_METADATA_SERVICE_ENDPOINT, or ec2_metadata_service_endpoint in "
                                  "~/.aws/config");
        }
        while (str_ends_with(base, STR("/")))
                base.len--;
        struct imds *m = NEW(struct imds);
        m->http = http;
        m->options = *options;
        m->options.endpoint = NULL; /* copied into base */
        m->base = str_dup(base);
        *ret = m;
        return NULL;
}

void imds_free(struct imds *m)
{
        if (m == NULL)
                return;
        secret_release(&m->token);
        free(m->base);
        free(m->path);
        free(m);
}
