/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of the role of an EC2 instance: first the name of the role, then its keys.
 */
#include "aws/key_json.h"
#include "aws/resolve_internal.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"

void resolve_read_imds(struct aws_resolve *a, const char *path, void (*done)(void *ctx, struct str body, struct error *err))
{
        a->is_reading_imds = true;
        imds_read(a->imds, path, done, a);
}

/* No answer, no role, or no service: in the default chain the instance then has no credentials. */
static void instance_failed(struct aws_resolve *a, struct error *err)
{
        bool is_absent = err->code == ERROR_NOT_FOUND || err->code == ERROR_UNAVAILABLE;

        if (a->source == SOURCE_INSTANCE && is_absent && !a->is_cancelled) {
                AUTO_PTR(error) owned UNUSED = err;
                resolve_go_on(a, err->code == ERROR_NOT_FOUND ? str_dup(STR("no IAM role is attached to this instance")) :
                                                        str_dup(str_of(err->what)));
        } else if (err->code == ERROR_NOT_FOUND) {
                error_free(err);
                resolve_fail(a, error_hint(error_new(ERROR_FAILED_PRECONDITION, "no IAM role is attached to this instance"),
                                   "attach an instance profile with a role"));
        } else {
                resolve_fail(a, is_absent ? error_wrap(err, "instance metadata") : err);
        }
}

static struct error *read_instance(struct str body, struct aws_credentials *ret)
{
        static const struct key_json_form form = { "Token", true, true };
        AUTO(strict_json) json = { 0 };
        struct str code = STR("Success"), message = { 0 };

        TRY(strict_json_read(body, "the answer of the instance metadata service", &json));
        if (strict_json_text(json.root, "Code", &code) && !str_equal(code, STR("Success"))) {
                AUTO_MEM char *shown = escaped(code);
                (void)strict_json_text(json.root, "Message", &message);
                AUTO_MEM char *sent = escaped(message);
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "the instance metadata service has no credentials for the role: %s %s", shown,
                                            sent),
                                  "let the trust policy of the instance's role name ec2.amazonaws.com");
        }
        struct error *err = key_json_read(json.root, &form, ret);
        return err == NULL ? NULL : error_wrap(err, "the answer of the instance metadata service is incomplete");
}

static void on_instance_keys(void *ctx, struct str body, struct error *err)
{
        struct aws_resolve *a = ctx;

        a->is_reading_imds = false;
        if (err != NULL) {
                instance_failed(a, err);
                return;
        }
        err = read_instance(body, &a->r.credentials);
        if (err != NULL) {
                resolve_fail(a, err);
                return;
        }
        /* If the service cannot renew the keys it returns the old ones, and AWS may still accept them. */
        AUTO_PTR(error) stale = credentials_check_fresh(&a->r.credentials, loop_wall(a->loop),
                                                        "the instance metadata service");
        if (stale != NULL)
                aws_warn(&a->r, "%s; they are used all the same", stale->what);
        resolve_succeed(a, "instance metadata");
}

static bool is_role_name(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && (s.ptr[i] == '\0' || strchr("_+=,.@-", s.ptr[i]) == NULL))
                        return false;
        return s.len > 0 && s.len <= 128;
}

#define ROLES_PATH "/latest/meta-data/iam/security-credentials/"

static void request_instance_keys(struct aws_resolve *a, struct str role)
{
        if (!is_role_name(role)) {
                resolve_fail(a, error_new(ERROR_FAILED_PRECONDITION, "the instance metadata service names no role of IAM"));
                return;
        }
        AUTO_MEM char *path = mem_printf(ROLES_PATH "%.*s", STR_ARG(role));
        resolve_read_imds(a, path, on_instance_keys);
}

static void on_instance_role(void *ctx, struct str body, struct error *err)
{
        struct aws_resolve *a = ctx;

        a->is_reading_imds = false;
        if (err != NULL)
                instance_failed(a, err);
        else
                request_instance_keys(a, str_trim(str_split(&body, '\n')));
}

/* Prepares a->imds; *ret_disabled when the environment forbids it. */
struct error *resolve_open_imds(struct aws_resolve *a, bool *ret_disabled)
{
        AUTO_MEM char *endpoint = NULL;
        struct imds_options o;

        *ret_disabled = str_equal_nocase(aws_env(&a->settings, "AWS_EC2_METADATA_DISABLED"), STR("true"));
        if (a->imds != NULL || *ret_disabled)
                return NULL;
        TRY(aws_imds_settings(&a->settings, &o, &endpoint));
        return imds_new(a->http, &o, &a->imds);
}

void resolve_try_instance(struct aws_resolve *a)
{
        struct str name = aws_setting(&a->settings, "AWS_EC2_INSTANCE_PROFILE_NAME", "ec2_instance_profile_name");
        bool is_disabled;
        struct error *err = resolve_open_imds(a, &is_disabled);

        if (err != NULL) {
                resolve_fail(a, err);
        } else if (is_disabled && a->source == SOURCE_INSTANCE) {
                resolve_go_on(a, str_dup(STR("AWS_EC2_METADATA_DISABLED is true")));
        } else if (is_disabled) {
                resolve_fail(a, error_new(ERROR_FAILED_PRECONDITION,
                                  "profile '%s' requires the instance's credentials, but AWS_EC2_METADATA_DISABLED is true",
                                  profile_name(a->plan.section)));
        } else if (!str_is_empty(name)) {
                request_instance_keys(a, name);
        } else {
                resolve_read_imds(a, ROLES_PATH, on_instance_role);
        }
}
