/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   start ──► region ──► source ──► roles ──► done
 *                │          │         ▲ │
 *                │          │         └─┘ one role after the other
 *                └── queries the metadata service only if no setting has a region
 *
 * Each step either ends at once and starts the next, or starts one request whose answer starts the next. A
 * source that is not configured records the reason in `tried`; a source that is configured and fails ends the resolution.
 */
#include "aws/credentials.h"

#include <stdlib.h>

#include "aws/assume_role.h"
#include "aws/key_json.h"
#include "aws/process_source.h"
#include "aws/resolve_internal.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/http_client.h"
#include "os/file.h"

static const char *const source_names[] = {
        [SOURCE_ENVIRONMENT] = "environment", [SOURCE_WEB_IDENTITY] = "web identity",
        [SOURCE_PROFILE] = "profile",         [SOURCE_CONTAINER] = "container",
        [SOURCE_INSTANCE] = "instance metadata",
};

static void step_source(struct aws_resolve *a);
static void step_roles(struct aws_resolve *a);

/* ---- the end -------------------------------------------------------------------------------------------- */

void resolve_finish(struct aws_resolve *a, struct error *err)
{
        if (err != NULL)
                aws_credentials_release(&a->r.credentials);
        else
                a->r.source = str_dup(str_of(a->described));
        a->done(a->ctx, &a->r, err);
        aws_resolution_release(&a->r);
        aws_settings_release(&a->settings);
        imds_free(a->imds);
        http_client_free(a->http);
        timer_free(a->pause);
        free(a->described);
        free(a->home);
        free(a->container_url);
        if (a->container_token != NULL)
                wipe(a->container_token, strlen(a->container_token));
        free(a->container_token);
        free(a);
}

static void tried(struct aws_resolve *a, char *outcome)
{
        struct aws_resolution *r = &a->r;

        r->tried = mem_resize(r->tried, r->tried_count + 1, sizeof *r->tried);
        r->tried[r->tried_count++] = (struct aws_attempt){ source_names[a->source], outcome };
}

static void describe(struct aws_resolve *a, char *what)
{
        free(a->described);
        a->described = what;
}

/* The error if no source has credentials: lists the sources that were tried. */
static struct error *nothing_found(const struct aws_resolve *a)
{
        AUTO(buf) list = BUF_MAX(8 * KiB);

        for (size_t i = 0; i < a->r.tried_count; i++)
                buf_printf(&list, "%s%s: %s", i == 0 ? "" : "; ", a->r.tried[i].source, a->r.tried[i].outcome);
        return error_hint(error_new(ERROR_UNAUTHENTICATED, "this host has no AWS credentials (%s)", buf_c(&list)),
                          "attach an IAM role to the instance, or configure credentials as for the AWS CLI; see the result "
                          "with: teleport aws identity");
}

/* The current source has no credentials: tries the next one. */
void resolve_go_on(struct aws_resolve *a, char *outcome)
{
        tried(a, outcome);
        a->source++;
        step_source(a);
}

/* The current source failed: ends the resolution. */
void resolve_fail(struct aws_resolve *a, struct error *err)
{
        tried(a, str_dup(str_of(err->what)));
        resolve_finish(a, err);
}

/* The current source succeeded: its credentials are in r.credentials. */
void resolve_succeed(struct aws_resolve *a, const char *what)
{
        const struct aws_credentials *c = &a->r.credentials;
        AUTO(buf) outcome = BUF_MAX(1 * KiB);

        if (a->is_cancelled) {
                resolve_finish(a, error_new(ERROR_CANCELLED, "the search for AWS credentials was cancelled"));
                return;
        }
        buf_printf(&outcome, "%s returned credentials", what);
        if (c->has_expiry) {
                buf_put_c(&outcome, " until ");
                walltime_put_rfc3339(&outcome, c->expiry);
        }
        tried(a, buf_take(&outcome));
        describe(a, str_dup(str_of(what)));
        step_roles(a);
}

/* ---- keys of the environment ---------------------------------------------------------------------------- */

static struct error *read_environment(const struct aws_settings *s, struct aws_credentials *ret, bool *ret_found)
{
        struct str id = aws_env(s, "AWS_ACCESS_KEY_ID"), secret = aws_env(s, "AWS_SECRET_ACCESS_KEY");
        struct str token = aws_env(s, "AWS_SESSION_TOKEN"), expiry = aws_env(s, "AWS_CREDENTIAL_EXPIRATION");

        *ret_found = false;
        /* A secret key alone selects nothing: the SDKs ignore it as a leftover in the environment, and try the next source. */
        if (str_is_empty(id))
                return NULL;
        if (str_is_empty(secret))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not"),
                                  "set both or neither");
        if (str_is_empty(token))
                token = aws_env(s, "AWS_SECURITY_TOKEN"); /* its older name */
        *ret = (struct aws_credentials){ 0 };
        if (!str_is_empty(expiry)) {
                AUTO_PTR(error) err = walltime_parse_rfc3339(expiry, &ret->expiry);
                if (err != NULL)
                        return error_new(ERROR_FAILED_PRECONDITION, "AWS_CREDENTIAL_EXPIRATION is not a point in time");
                ret->has_expiry = true;
        }
        ret->access_key_id = secret_of(id);
        ret->secret_access_key = secret_of(secret);
        ret->session_token = secret_of(token);
        *ret_found = true;
        return NULL;
}

static void try_environment(struct aws_resolve *a)
{
        bool found;
        struct error *err = read_environment(&a->settings, &a->r.credentials, &found);

        if (err == NULL && found)
                err = credentials_check_fresh(&a->r.credentials, loop_wall(a->loop), "the environment");
        if (err != NULL)
                resolve_fail(a, err);
        else if (found)
                resolve_succeed(a, "environment");
        else
                resolve_go_on(a, str_dup(str_is_empty(aws_env(&a->settings, "AWS_SECRET_ACCESS_KEY")) ?
                                                 STR("AWS_ACCESS_KEY_ID is not set") :
                                                 STR("AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not")));
}

/* ---- STS: roles and web identities ----------------------------------------------------------------------- */

static void on_assumed(void *ctx, struct aws_credentials *c, struct error *err)
{
        struct aws_resolve *a = ctx;

        a->assume = NULL;
        if (err != NULL) {
                resolve_fail(a, err);
                return;
        }
        aws_credentials_release(&a->r.credentials);
        a->r.credentials = *c;
        AUTO_MEM char *what = str_dup(str_of(a->described));
        resolve_succeed(a, what);
}

/* Starts AssumeRole; region and endpoint are set here, the other fields by the caller. */
static void assume(struct aws_resolve *a, struct assume_role_request *r)
{
        AUTO_MEM char *url = NULL;
        AUTO_MEM char *session = NULL;
        bool is_custom = false;
        struct error *err = NULL;

        if (a->r.sts.name[0] == '\0') { /* the region has no valid host: get the error */
                const struct sts_host_options hosts = { .fips = a->r.fips };
                err = sts_host_for_region(str_of(a->r.region), &hosts, &a->r.sts);
        }
        if (err == NULL)
                err = aws_sts_endpoint(&a->settings, &a->r.sts, &url, &is_custom);
        if (err != NULL) {
                resolve_fail(a, err);
                return;
        }
        if (str_is_empty(r->session_name)) {
                session = mem_printf("cteleport-%lld", (long long)walltime_unix(loop_wall(a->loop)));
                r->session_name = str_of(session);
        }
        r->endpoint = str_of(url);
        r->allow_http = is_custom;
        r->region = str_of(a->r.sts.region);
        a->assume = assume_role_start(a->loop, a->http, r, on_assumed, a);
}

/* The token file is read at each use: it is rotated by replacing the file. */
static void assume_with_token(struct aws_resolve *a, struct str path, struct str role, struct str session)
{
        AUTO_MEM char *path_text = str_dup(path);
        AUTO(buf) token = BUF_MAX(LIMIT_WEB_IDENTITY_TOKEN);
        struct error *err = file_read(path_text, &token);

        if (err == NULL && str_is_empty(str_trim(buf_str(&token))))
                err = error_new(ERROR_FAILED_PRECONDITION, "the file is empty");
        if (err != NULL) {
                resolve_fail(a, error_wrap(err, "the web identity token cannot be read"));
                return;
        }
        struct assume_role_request r = { .role_arn = role,
                                         .session_name = session,
                                         .web_identity_token = str_trim(buf_str(&token)) };
        assume(a, &r);
        wipe(token.ptr, token.len);
}

static void try_web_identity(struct aws_resolve *a)
{
        struct str path = aws_env(&a->settings, "AWS_WEB_IDENTITY_TOKEN_FILE");
        struct str role = aws_env(&a->settings, "AWS_ROLE_ARN");

        if (str_is_empty(path)) {
                resolve_go_on(a, str_dup(STR("AWS_WEB_IDENTITY_TOKEN_FILE is not set")));
                return;
        }
        if (str_is_empty(role)) {
                resolve_fail(a, error_new(ERROR_FAILED_PRECONDITION,
                                  "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not"));
                return;
        }
        describe(a, str_dup(STR("web identity")));
        assume_with_token(a, path, role, aws_env(&a->settings, "AWS_ROLE_SESSION_NAME"));
}

/* Assumes the remaining roles of a profile, one by one. */
static void step_roles(struct aws_resolve *a)
{
        if (a->source != SOURCE_PROFILE || a->next_role == a->plan.role_count) {
                resolve_finish(a, NULL);
                return;
        }
        const struct profile_section *p = a->plan.roles[a->next_role++];
        struct str duration = profile_text(p, "duration_seconds");
        struct assume_role_request r = { .role_arn = profile_text(p, "role_arn"),
                                         .session_name = profile_text(p, "role_session_name"),
                                         .external_id = profile_text(p, "external_id"),
                                         .keys = &a->r.credentials };
        struct error *err = NULL;

        if (!str_is_empty(duration))
                err = parse_int(duration, 900, 43200, "duration_seconds", &r.duration_seconds);
        if (err != NULL) {
                resolve_fail(a, error_wrap(err, "profile '%s'", profile_name(p)));
                return;
        }
        describe(a, mem_printf("profile '%s'", profile_name(p)));
        assume(a, &r);
}

/* ---- credential_process ----------------------------------------------------------------------------------- */

static struct error *read_process(struct str output, struct walltime now, struct aws_credentials *ret)
{
        static const struct key_json_form form = { "SessionToken", false, false };
        AUTO(strict_json) json = { 0 };

        TRY(strict_json_read(output, "the output of credential_process", &json));
        const json_t *version = json_object_get(json.root, "Version");
        if (!json_is_integer(version) || json_integer_value(version) != 1)
                return error_new(ERROR_FAILED_PRECONDITION, "credential_process printed no \"Version\": 1");
        struct error *err = key_json_read(json.root, &form, ret);
        if (err != NULL)
                return error_wrap(err, "the output of credential_process is incomplete");
        return credentials_check_fresh(ret, now, "credential_process");
}

static void on_process(void *ctx, struct str output, struct error *err)
{
        struct aws_resolve *a = ctx;

        a->process = NULL;
        if (err == NULL)
                err = read_process(output, loop_wall(a->loop), &a->r.credentials);
        if (err != NULL) {
                resolve_fail(a, error_wrap(err, "profile '%s'", profile_name(a->plan.section)));
                return;
        }
        AUTO_MEM char *what = mem_printf("credential_process of profile '%s'", profile_name(a->plan.section));
        resolve_succeed(a, what);
}

/* ---- profile -------------------------------------------------------------------------------------------------- */

static void take_profile_keys(struct aws_resolve *a)
{
        const struct profile_section *p = a->plan.section;
        enum profile_file file = a->plan.keys_from;
        struct str token = profile_text_in(p, file, "aws_session_token");
        AUTO_MEM char *path = escaped(str_of(file == PROFILE_FILE_CREDENTIALS ? a->settings.credentials_path :
                                                                               a->settings.config_path));
        AUTO_MEM char *what = mem_printf("profile '%s' (%s)", profile_name(p), path);

        if (str_is_empty(token))
                token = profile_text_in(p, file, "aws_security_token"); /* its older name */
        a->r.credentials.access_key_id = secret_of(profile_text_in(p, file, "aws_access_key_id"));
        a->r.credentials.secret_access_key = secret_of(profile_text_in(p, file, "aws_secret_access_key"));
        a->r.credentials.session_token = secret_of(token);
        resolve_succeed(a, what);
}

static void take_environment_for_profile(struct aws_resolve *a)
{
        bool found;
        struct error *err = read_environment(&a->settings, &a->r.credentials, &found);

        if (err == NULL && !found)
                err = error_new(ERROR_FAILED_PRECONDITION,
                                "profile '%s' requires the environment's credentials, but AWS_ACCESS_KEY_ID is not set",
                                profile_name(a->plan.section));
        if (err != NULL)
                resolve_fail(a, err);
        else
                resolve_succeed(a, "environment");
}

static void try_profile(struct aws_resolve *a)
{
        struct error *err = profile_plan_make(&a->settings.files, str_of(a->settings.profile_name), &a->plan);

        if (err != NULL) {
                resolve_fail(a, err);
                return;
        }
        const struct profile_section *p = a->plan.section;
        AUTO_MEM char *shown = escaped(str_of(a->settings.profile_name));
        switch (a->plan.base) {
        case PROFILE_BASE_NONE:
                resolve_go_on(a, mem_printf(p == NULL ? "there is no profile '%s'" : "profile '%s' holds no credentials", shown));
                break;
        case PROFILE_BASE_KEYS:
                take_profile_keys(a);
                break;
        case PROFILE_BASE_ENVIRONMENT:
                take_environment_for_profile(a);
                break;
        case PROFILE_BASE_INSTANCE:
                resolve_try_instance(a);
                break;
        case PROFILE_BASE_CONTAINER:
                resolve_try_container(a);
                break;
        case PROFILE_BASE_WEB_IDENTITY:
                describe(a, mem_printf("profile '%s'", profile_name(p)));
                assume_with_token(a, profile_text(p, "web_identity_token_file"), profile_text(p, "role_arn"),
                                  profile_text(p, "role_session_name"));
                break;
        case PROFILE_BASE_PROCESS:
                a->process = process_source_start(a->loop, profile_text(p, "credential_process"), on_process, a);
                break;
        }
}

static void step_source(struct aws_resolve *a)
{
        static void (*const tries[])(struct aws_resolve *a) = {
                [SOURCE_ENVIRONMENT] = try_environment, [SOURCE_WEB_IDENTITY] = try_web_identity,
                [SOURCE_PROFILE] = try_profile,         [SOURCE_CONTAINER] = resolve_try_container,
                [SOURCE_INSTANCE] = resolve_try_instance,
        };

        if (a->is_cancelled)
                resolve_finish(a, error_new(ERROR_CANCELLED, "the search for AWS credentials was cancelled"));
        else if (a->source == SOURCE_END)
                resolve_finish(a, nothing_found(a));
        else
                tries[a->source](a);
}

/* ---- region ---------------------------------------------------------------------------------------------------- */

/* The region is known: it determines the host to sign for. */
static void region_is(struct aws_resolve *a, struct str region, const char *source)
{
        const struct sts_host_options hosts = { .fips = a->settings.fips };

        a->r.region = str_dup(region);
        a->r.region_source = str_dup(str_of(source));
        a->r.fips = a->settings.fips;
        struct error *err = sts_host_for_region(region, &hosts, &a->r.sts);
        if (err != NULL) {
                resolve_finish(a, error_wrap(err, "%s", source));
                return;
        }
        if (a->r.sts.is_guessed)
                aws_warn(&a->r, "region %s is newer than this program; %s is used as its STS host", a->r.region,
                         a->r.sts.name);
        if (a->settings.fips && strcmp(a->r.sts.region, a->r.region) != 0)
                aws_warn(&a->r, "%s has no FIPS endpoint of STS; %s is used", a->r.region, a->r.sts.name);
        step_source(a);
}

static void region_by_default(struct aws_resolve *a)
{
        aws_warn(&a->r, "no AWS region is configured; us-east-1 is used (set AWS_REGION)");
        region_is(a, STR("us-east-1"), "default");
}

static void on_instance_region(void *ctx, struct str body, struct error *err)
{
        struct aws_resolve *a = ctx;

        a->is_reading_imds = false;
        error_free(err);
        if (a->is_cancelled)
                resolve_finish(a, error_new(ERROR_CANCELLED, "the search for AWS credentials was cancelled"));
        else if (aws_region_is_well_formed(str_trim(body)))
                region_is(a, str_trim(body), "instance metadata");
        else
                region_by_default(a);
}

static void step_region(struct aws_resolve *a)
{
        static const char *const variables[] = { "AWS_REGION", "AWS_DEFAULT_REGION" };
        struct str region = profile_text(a->settings.profile, "region");
        bool is_disabled;

        for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
                if (!str_is_empty(aws_env(&a->settings, variables[i]))) {
                        region_is(a, aws_env(&a->settings, variables[i]), variables[i]);
                        return;
                }
        }
        if (!str_is_empty(region)) {
                AUTO_MEM char *source = mem_printf("profile '%s'", profile_name(a->settings.profile));
                region_is(a, region, source);
                return;
        }
        struct error *err = resolve_open_imds(a, &is_disabled);
        if (err != NULL)
                resolve_finish(a, err);
        else if (is_disabled)
                region_by_default(a);
        else
                resolve_read_imds(a, "/latest/meta-data/placement/region", on_instance_region);
}

/* ---- start ------------------------------------------------------------------------------------------------------- */

static void warn_of_endpoints(struct aws_resolve *a)
{
        static const struct sts_host none;
        AUTO_MEM char *url = NULL;
        bool is_custom = false, wants_dual_stack = false;
        AUTO_PTR(error) err = aws_sts_endpoint(&a->settings, &none, &url, &is_custom);
        AUTO_PTR(error) bad = aws_setting_bool(&a->settings, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint", false,
                                               &wants_dual_stack);

        if (err == NULL && is_custom)
                aws_warn(&a->r, "the configured STS endpoint serves for assuming roles only: a join must be signed for AWS's "
                                "own host");
        if (bad == NULL && wants_dual_stack)
                aws_warn(&a->r, "dual-stack endpoints of STS are not used: a join must be signed for the ordinary host");
}

static void begin(void *ctx)
{
        struct aws_resolve *a = ctx;
        struct error *err = aws_settings_load(&a->settings, &a->options, &a->r);

        if (err != NULL || a->is_cancelled) {
                error_free(a->is_cancelled ? err : NULL);
                resolve_finish(a, a->is_cancelled ? error_new(ERROR_CANCELLED, "the search for AWS credentials was cancelled") : err);
                return;
        }
        AUTO_MEM char *bundle = str_dup(aws_setting(&a->settings, "AWS_CA_BUNDLE", "ca_bundle"));
        a->http = http_client_new(a->loop, (struct http_client_options){ .ca_bundle = bundle[0] == '\0' ? NULL : bundle });
        warn_of_endpoints(a);
        step_region(a);
}

struct aws_resolve *aws_resolve_start(struct loop *l, const struct aws_resolve_options *options,
                                      void (*done)(void *ctx, struct aws_resolution *r, struct error *err), void *ctx)
{
        struct aws_resolve *a = NEW(struct aws_resolve);

        a->loop = l;
        if (options != NULL)
                a->options = *options;
        a->home = a->options.home == NULL ? NULL : str_dup(str_of(a->options.home));
        a->options.home = a->home;
        a->done = done;
        a->ctx = ctx;
        a->pause = timer_new(l, resolve_request_container, a);
        loop_defer(l, begin, a);
        return a;
}

void aws_resolve_cancel(struct aws_resolve *a)
{
        a->is_cancelled = true;
        if (a->is_reading_imds)
                imds_cancel(a->imds);
        else if (a->call != NULL)
                http_call_cancel(a->call);
        else if (a->process != NULL)
                process_source_cancel(a->process);
        else if (a->assume != NULL)
                assume_role_cancel(a->assume);
        else if (timer_is_running(a->pause))
                timer_start(a->pause, MILLISECONDS(0));
}
