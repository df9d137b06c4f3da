/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app_cors.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "resource/app.h"

static const struct str any = STR_INIT("*");

/* tchar of RFC 9110 section 5.6.2. */
static bool is_token(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && (s.ptr[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s.ptr[i]) == NULL))
                        return false;
        return s.len > 0;
}

/* As browsers write it (RFC 6454 section 6.2): small letters, no path, no default port. Not "null", which stands for any sandboxed page. */
static bool is_origin(struct str s)
{
        bool is_https = str_starts_with(s, STR("https://"));
        struct str rest = str_slice(s, strlen(is_https ? "https://" : "http://"), s.len);

        if (!is_https && !str_starts_with(s, STR("http://")))
                return false;
        for (size_t i = 0; i < rest.len; i++)
                if (!char_is_digit(rest.ptr[i]) && (rest.ptr[i] < 'a' || rest.ptr[i] > 'z') && (rest.ptr[i] == '\0' || strchr("-.:[]", rest.ptr[i]) == NULL))
                        return false;
        return rest.len > 0 && rest.ptr[0] != ':' && rest.ptr[rest.len - 1] != ':' && !str_ends_with(rest, is_https ? STR(":443") : STR(":80"));
}

struct list {
        const char *key;
        char *const *values;
        size_t count;
        bool (*is_valid)(struct str value);
        const char *hint;
};

static struct error *check_list(const struct list *l, bool has_credentials)
{
        if (l->count > LIMIT_APP_CORS)
                return error_new(ERROR_INVALID_ARGUMENT, "cors.%s has more than %d values", l->key, LIMIT_APP_CORS);
        for (size_t i = 0; i < l->count; i++) {
                struct str value = str_of(l->values[i]);
                AUTO_MEM char *shown = escaped(value);

                if (str_equal(value, any) && has_credentials)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "cors.%s has '*' together with allow_credentials", l->key),
                                          "list the values: browsers refuse '*' for requests with cookies");
                if (!str_equal(value, any) && (value.len > LIMIT_APP_CORS_VALUE || !l->is_valid(value)))
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "cors.%s cannot have '%s'", l->key, shown), "%s", l->hint);
        }
        return NULL;
}

struct error *app_cors_check(const Cteleport__V1__AppCors *cors, struct str uri)
{
        if (cors == NULL)
                return NULL;
        if (app_is_tcp(uri))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "cors is for applications of http and https"), "remove it");
        if (cors->n_allowed_origins == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "cors has no allowed_origins and would allow nothing"), "write allowed_origins, or remove cors");
        const struct list lists[] = {
                { "allowed_origins", cors->allowed_origins, cors->n_allowed_origins, is_origin,
                  "write https://HOST or https://HOST:PORT in lower case, without a path, a wildcard in it, or the default port; or '*' for every page" },
                { "allowed_methods", cors->allowed_methods, cors->n_allowed_methods, is_token, "write the name of a method such as PUT, or '*'" },
                { "allowed_headers", cors->allowed_headers, cors->n_allowed_headers, is_token, "write the name of a header such as Content-Type, or '*'" },
                { "exposed_headers", cors->exposed_headers, cors->n_exposed_headers, is_token, "write the name of a header such as ETag, or '*'" },
        };
        struct error *err = NULL;

        for (size_t i = 0; i < ARRAY_LEN(lists); i++)
                err = error_also(err, check_list(&lists[i], cors->allow_credentials));
        if (cors->max_age > LIMIT_APP_CORS_SECONDS)
                err = error_also(err, error_new(ERROR_INVALID_ARGUMENT, "cors.max_age is more than %d seconds", LIMIT_APP_CORS_SECONDS));
        return err;
}

bool app_cors_permits(const Cteleport__V1__AppCors *cors, struct str origin, bool *ret_is_any)
{
        *ret_is_any = false;
        for (size_t i = 0; cors != NULL && i < cors->n_allowed_origins; i++) {
                *ret_is_any = str_equal(str_of(cors->allowed_origins[i]), any) && !cors->allow_credentials;
                if (*ret_is_any || str_equal(str_of(cors->allowed_origins[i]), origin))
                        return !str_is_empty(origin);
        }
        return false;
}
