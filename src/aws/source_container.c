/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of a container's role: one GET, repeated after a pause if no answer arrives.
 */
#include <stdlib.h>

#include "aws/container.h"
#include "aws/key_json.h"
#include "aws/resolve_internal.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/http_client.h"
#include "os/file.h"

static void on_container(void *ctx, const struct http_answer *answer, struct error *err)
{
        static const struct key_json_form form = { "Token", true, true };
        struct aws_resolve *a = ctx;
        AUTO(strict_json) json = { 0 };

        a->call = NULL;
        bool is_passing = err != NULL ? err->code == ERROR_UNAVAILABLE || err->code == ERROR_DEADLINE_EXCEEDED :
                                        answer->status >= 500 || answer->status == 429;
        if (is_passing && ++a->tries < LIMIT_CONTAINER_TRIES && !a->is_cancelled) {
                error_free(err);
                timer_start(a->pause, MILLISECONDS(PACE_CONTAINER));
                return;
        }
        if (err == NULL && answer->status != 200)
                err = error_new(ERROR_FAILED_PRECONDITION, "it answers with HTTP status %d", answer->status);
        if (err == NULL)
                err = strict_json_read(answer->body, "the answer", &json);
        if (err == NULL)
                err = key_json_read(json.root, &form, &a->r.credentials);
        if (err == NULL)
                err = credentials_check_fresh(&a->r.credentials, loop_wall(a->loop), "it");
        if (err != NULL)
                resolve_fail(a, error_wrap(err, "the container's credentials endpoint"));
        else
                resolve_succeed(a, "container");
}

void resolve_request_container(void *ctx)
{
        struct aws_resolve *a = ctx;
        AUTO_MEM char *authorization =
                a->container_token == NULL ? NULL : mem_printf("Authorization: %s", a->container_token);
        const char *const headers[] = { "Accept: application/json", authorization, NULL };
        const struct http_request r = { .method = "GET",
                                        .url = a->container_url,
                                        .headers = headers,
                                        .allow_http = true,
                                        .connect_within = MILLISECONDS(TIMEOUT_CONTAINER),
                                        .within = MILLISECONDS(2 * TIMEOUT_CONTAINER),
                                        .limit = LIMIT_AWS_ANSWER };

        if (a->is_cancelled) {
                resolve_finish(a, error_new(ERROR_CANCELLED, "the search for AWS credentials was cancelled"));
                return;
        }
        a->call = http_call_start(a->http, &r, on_container, a);
        if (authorization != NULL)
                wipe(authorization, strlen(authorization));
}

/* The value of the Authorization header, from a file that is read at each use, or from the environment. */
static struct error *read_container_token(const struct aws_settings *s, char **ret)
{
        struct str path = aws_env(s, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        const char *token = s->getenv(s->getenv_ctx, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
        AUTO(buf) text = BUF_MAX(LIMIT_WEB_IDENTITY_TOKEN);
        struct error *err = NULL;

        if (str_is_empty(path)) {
                TRY(container_token_check(str_of(token), "AWS_CONTAINER_AUTHORIZATION_TOKEN"));
                *ret = token == NULL || token[0] == '\0' ? NULL : str_dup(str_of(token));
                return NULL;
        }
        AUTO_MEM char *path_text = str_dup(path);
        err = file_read(path_text, &text);
        if (err != NULL)
                return error_wrap(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        err = container_token_check(buf_str(&text), "the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        if (err == NULL)
                *ret = str_dup(buf_str(&text));
        wipe(text.ptr, text.len);
        return err;
}

void resolve_try_container(struct aws_resolve *a)
{
        struct str relative = aws_env(&a->settings, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        struct str full = aws_env(&a->settings, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
        AUTO(buf) url = BUF_MAX(4 * KiB);
        struct error *err;

        if (str_is_empty(relative) && str_is_empty(full)) {
                if (a->source == SOURCE_CONTAINER)
                        resolve_go_on(a, str_dup(STR("no AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI is set")));
                else
                        resolve_fail(a, error_new(ERROR_FAILED_PRECONDITION,
                                          "profile '%s' requires the container's credentials, but "
                                          "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set",
                                          profile_name(a->plan.section)));
                return;
        }
        err = container_url(relative, full, &url);
        if (err == NULL)
                err = read_container_token(&a->settings, &a->container_token);
        if (err != NULL) {
                resolve_fail(a, err);
                return;
        }
        a->container_url = buf_take(&url);
        a->tries = 0;
        resolve_request_container(a);
}
