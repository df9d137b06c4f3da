/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_preflight.h"

#include "base/limits.h"
#include "resource/app_cors.h"

bool app_preflight_is(const struct http_request *r)
{
        return str_equal(r->method, STR("OPTIONS")) && !str_is_empty(http_fields_get(&r->fields, "Origin")) &&
               !str_is_empty(http_fields_get(&r->fields, "Access-Control-Request-Method"));
}

static struct error *add_list(struct http_fields *fields, const char *name, char *const *values, size_t count)
{
        AUTO(buf) text = BUF_MAX(LIMIT_APP_CORS * (LIMIT_APP_CORS_VALUE + 2));

        for (size_t i = 0; i < count; i++)
                buf_printf(&text, "%s%s", i == 0 ? "" : ", ", values[i]);
        return count == 0 ? NULL : http_fields_add(fields, str_of(name), buf_str(&text));
}

static struct error *add_all(struct http_fields *fields, const Cteleport__V1__AppCors *cors, struct str origin, bool is_any)
{
        AUTO(buf) age = BUF_MAX(32);

        TRY(http_fields_add(fields, STR("Access-Control-Allow-Origin"), is_any ? STR("*") : origin));
        TRY(http_fields_add(fields, STR("Vary"), STR("Origin")));
        TRY(add_list(fields, "Access-Control-Allow-Methods", cors->allowed_methods, cors->n_allowed_methods));
        TRY(add_list(fields, "Access-Control-Allow-Headers", cors->allowed_headers, cors->n_allowed_headers));
        TRY(add_list(fields, "Access-Control-Expose-Headers", cors->exposed_headers, cors->n_exposed_headers));
        if (cors->allow_credentials)
                TRY(http_fields_add(fields, STR("Access-Control-Allow-Credentials"), STR("true")));
        if (cors->max_age == 0)
                return NULL;
        buf_printf(&age, "%u", cors->max_age);
        return http_fields_add(fields, STR("Access-Control-Max-Age"), buf_str(&age));
}

bool app_preflight_put(const Cteleport__V1__AppCors *cors, const struct http_request *r, struct http_fields *fields, struct error **ret_err)
{
        struct str origin = http_fields_get(&r->fields, "Origin");
        bool is_any;

        *ret_err = NULL;
        if (!app_cors_permits(cors, origin, &is_any))
                return false;
        *ret_err = add_all(fields, cors, origin, is_any);
        return *ret_err == NULL;
}
