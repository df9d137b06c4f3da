/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/settings.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"

void aws_settings_release(struct aws_settings *s)
{
        free(s->home);
        free(s->config_path);
        free(s->credentials_path);
        free(s->profile_name);
        profile_set_release(&s->files);
        *s = (struct aws_settings){ 0 };
}

void aws_warn(struct aws_resolution *r, const char *format, ...)
{
        va_list args;
        char *text = NULL;

        if (r->warning_count == ARRAY_LEN(r->warnings))
                return;
        va_start(args, format);
        if (vasprintf(&text, format, args) >= 0)
                r->warnings[r->warning_count++] = text;
        va_end(args);
}

/* ---- looking up ------------------------------------------------------------------------------------- */

struct str aws_env(const struct aws_settings *s, const char *name)
{
        return str_trim(str_of(s->getenv(s->getenv_ctx, name)));
}

struct str aws_setting(const struct aws_settings *s, const char *env, const char *key)
{
        struct str value = env == NULL ? (struct str){ 0 } : aws_env(s, env);

        return str_is_empty(value) && key != NULL ? profile_text(s->profile, key) : value;
}

struct error *aws_setting_bool(const struct aws_settings *s, const char *env, const char *key, bool fallback, bool *ret)
{
        struct str value = aws_setting(s, env, key);

        if (str_equal_nocase(value, STR("true"))) {
                *ret = true;
        } else if (str_equal_nocase(value, STR("false"))) {
                *ret = false;
        } else if (str_is_empty(value)) {
                *ret = fallback;
        } else {
                AUTO_MEM char *shown = escaped(value);
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s is '%s'", env != NULL ? env : key, shown),
                                  "write true or false");
        }
        return NULL;
}

/* ---- the files ---------------------------------------------------------------------------------------- */

static const char *getenv_of_process(void *ctx, const char *name)
{
        (void)ctx;
        return getenv(name);
}

/* HOME, or the home directory in the user database: services often run without the variable. */
static char *home_of(const struct aws_settings *s)
{
        struct str home = aws_env(s, "HOME");
        struct passwd entry, *found = NULL;
        char text[4 * KiB];

        if (!str_is_empty(home))
                return str_dup(home);
        if (getpwuid_r(geteuid(), &entry, text, sizeof text, &found) == 0 && found != NULL)
                return str_dup(str_of(found->pw_dir));
        return str_dup(STR("/"));
}

/* The length of a variable's name at the start of s, $NAME or ${NAME}, without '$' and braces. */
static size_t name_length(struct str s)
{
        size_t n = 0;

        while (n < s.len && (char_is_alnum(s.ptr[n]) || s.ptr[n] == '_'))
                n++;
        return n;
}

/* Replaces $NAME and ${NAME} as the AWS CLI does in paths; an unset variable stays unexpanded. */
static char *expand_variables(const struct aws_settings *s, struct str path)
{
        AUTO(buf) out = BUF_MAX(LIMIT_AWS_PATH);

        for (size_t i = 0; i < path.len; i++) {
                struct str rest = str_slice(path, i + 1, path.len);
                bool braced = str_starts_with(rest, STR("{"));
                struct str name = braced ? str_slice(rest, 1, rest.len) : rest;
                size_t n = path.ptr[i] == '$' ? name_length(name) : 0;
                bool is_whole = n > 0 && (!braced || (n < name.len && name.ptr[n] == '}'));
                AUTO_MEM char *variable = str_dup(str_slice(name, 0, n));
                const char *value = is_whole ? s->getenv(s->getenv_ctx, variable) : NULL;

                if (value == NULL) {
                        buf_put_char(&out, path.ptr[i]);
                        continue;
                }
                buf_put_c(&out, value);
                i += n + (braced ? 2 : 0);
        }
        return buf_take(&out);
}

static char *path_of(const struct aws_settings *s, const char *env, const char *in_home)
{
        struct str path = aws_env(s, env);

        if (str_is_empty(path))
                return mem_printf("%s/%s", s->home, in_home);
        if (!str_equal(path, STR("~")) && !str_starts_with(path, STR("~/")))
                return expand_variables(s, path);
        AUTO_MEM char *rest = expand_variables(s, str_slice(path, 1, path.len));
        return mem_printf("%s%s", s->home, rest);
}

static struct error *add_file(struct aws_settings *s, enum profile_file file, const char *path)
{
        AUTO(buf) text = BUF_MAX(LIMIT_AWS_FILE);
        struct stat st;

        /* A path that is no regular file (such as /dev/null) has no profiles, as in the SDKs: users rely on it. */
        if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
                return NULL;
        /* All memory is reserved at once, so that growing leaves no copies of secrets behind. */
        if (buf_extend(&text, (size_t)st.st_size < LIMIT_AWS_FILE ? (size_t)st.st_size : LIMIT_AWS_FILE) != NULL)
                buf_clear(&text);
        struct error *err = file_read(path, &text);
        if (err == NULL) {
                AUTO_MEM char *shown = escaped(str_of(path));
                err = profile_set_add(&s->files, file, shown, buf_str(&text));
        }
        wipe(text.ptr, text.len);
        return err;
}

static void warn_of_readers(const struct aws_settings *s, struct aws_resolution *r)
{
        AUTO_MEM char *shown = escaped(str_of(s->credentials_path));
        struct stat st;

        if (stat(s->credentials_path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) != 0)
                aws_warn(r, "%s can be read by others than its owner: chmod 600 it", shown);
}

static struct error *select_profile(struct aws_settings *s, struct aws_resolution *r)
{
        struct str name = aws_env(s, "AWS_PROFILE");
        struct str other = aws_env(s, "AWS_DEFAULT_PROFILE");

        if (!str_is_empty(name) && !str_is_empty(other) && !str_equal(name, other))
                aws_warn(r, "AWS_PROFILE and AWS_DEFAULT_PROFILE differ; AWS_PROFILE counts");
        if (str_is_empty(name))
                name = other;
        s->is_profile_requested = !str_is_empty(name);
        s->profile_name = str_dup(str_is_empty(name) ? STR("default") : name);
        s->profile = profile_set_find(&s->files, PROFILE_KIND_PROFILE, str_of(s->profile_name));
        if (s->profile != NULL || !s->is_profile_requested)
                return NULL;
        AUTO_MEM char *shown = escaped(name);
        AUTO_MEM char *config = escaped(str_of(s->config_path));
        AUTO_MEM char *credentials = escaped(str_of(s->credentials_path));
        return error_hint(error_new(ERROR_NOT_FOUND, "the AWS profile '%s' is neither in %s nor in %s", shown, config,
                                    credentials),
                          "correct AWS_PROFILE, or add [profile %s] to the config file", shown);
}

struct error *aws_settings_load(struct aws_settings *s, const struct aws_resolve_options *options,
                                struct aws_resolution *r)
{
        s->getenv = options->getenv != NULL ? options->getenv : getenv_of_process;
        s->getenv_ctx = options->getenv_ctx;
        s->home = options->home != NULL ? str_dup(str_of(options->home)) : home_of(s);
        s->config_path = path_of(s, "AWS_CONFIG_FILE", ".aws/config");
        s->credentials_path = path_of(s, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
        TRY(add_file(s, PROFILE_FILE_CONFIG, s->config_path));
        TRY(add_file(s, PROFILE_FILE_CREDENTIALS, s->credentials_path));
        for (size_t i = 0; i < s->files.warning_count; i++)
                aws_warn(r, "%s", s->files.warnings[i]);
        warn_of_readers(s, r);
        TRY(select_profile(s, r));
        return aws_setting_bool(s, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", options->fips, &s->fips);
}

/* ---- endpoints ---------------------------------------------------------------------------------------- */

struct error *aws_imds_settings(const struct aws_settings *s, struct imds_options *ret, char **ret_endpoint)
{
        struct imds_options o = { 0 };
        struct str endpoint = aws_setting(s, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
        struct str mode = aws_setting(s, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode");
        struct str seconds = aws_setting(s, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout");
        struct str attempts = aws_setting(s, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts");
        int64_t number = 1;

        TRY(aws_setting_bool(s, "AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled", false, &o.v1_disabled));
        if (!str_is_empty(mode) && !str_equal_nocase(mode, STR("IPv4")) && !str_equal_nocase(mode, STR("IPv6"))) {
                AUTO_MEM char *shown = escaped(mode);
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is '%s'", shown),
                                  "write IPv4 or IPv6");
        }
        o.ipv6 = str_equal_nocase(mode, STR("IPv6"));
        o.within = MILLISECONDS(TIMEOUT_IMDS);
        if (!str_is_empty(seconds)) {
                TRY(parse_int(seconds, 1, 60, "AWS_METADATA_SERVICE_TIMEOUT", &number));
                o.within = SECONDS(number);
        }
        o.attempts = 1;
        if (!str_is_empty(attempts)) {
                TRY(parse_int(attempts, 1, 10, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", &number));
                o.attempts = (int)number;
        }
        *ret_endpoint = str_is_empty(endpoint) ? NULL : str_dup(endpoint);
        o.endpoint = *ret_endpoint;
        *ret = o;
        return NULL;
}

/* The first of: AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, the profile's services section, its endpoint_url. */
static struct str custom_endpoint(const struct aws_settings *s)
{
        struct str url = aws_env(s, "AWS_ENDPOINT_URL_STS");
        const struct profile_section *services =
                profile_set_find(&s->files, PROFILE_KIND_SERVICES, profile_text(s->profile, "services"));

        if (str_is_empty(url))
                url = aws_env(s, "AWS_ENDPOINT_URL");
        if (str_is_empty(url))
                url = profile_nested(profile_text(services, "sts"), "endpoint_url");
        if (str_is_empty(url))
                url = profile_text(s->profile, "endpoint_url");
        return url;
}

struct error *aws_sts_endpoint(const struct aws_settings *s, const struct sts_host *host, char **ret_url,
                               bool *ret_is_custom)
{
        struct str url = custom_endpoint(s);
        bool ignored;

        TRY(aws_setting_bool(s, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls", false, &ignored));
        *ret_is_custom = !ignored && !str_is_empty(url);
        if (!*ret_is_custom) {
                *ret_url = mem_printf("https://%s", host->name);
                return NULL;
        }
        while (str_ends_with(url, STR("/")))
                url.len--;
        AUTO_MEM char *shown = escaped(url);
        struct str rest = url;
        bool is_url = str_starts_with(url, STR("http://")) || str_starts_with(url, STR("https://"));
        (void)str_split(&rest, '/');
        (void)str_split(&rest, '/');
        for (size_t i = 0; i < rest.len; i++)
                is_url = is_url && (char_is_alnum(rest.ptr[i]) || strchr(".-:[]", rest.ptr[i]) != NULL);
        if (!is_url || str_is_empty(rest))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the STS endpoint '%s' is not a URL of a host", shown),
                                  "correct AWS_ENDPOINT_URL_STS or AWS_ENDPOINT_URL, or unset it");
        if (s->fips)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "both FIPS endpoints and the STS endpoint '%s' are configured", shown),
                                  "unset AWS_ENDPOINT_URL_STS and AWS_ENDPOINT_URL, or AWS_USE_FIPS_ENDPOINT");
        *ret_url = str_dup(url);
        return NULL;
}
