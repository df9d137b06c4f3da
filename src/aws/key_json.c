/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/key_json.h"

static struct error *expiry_read(const json_t *value, struct aws_credentials *c)
{
        if (value == NULL || json_is_null(value))
                return NULL;
        if (json_is_number(value) && json_number_value(value) >= 0 && json_number_value(value) < 1e11) {
                c->expiry = walltime_of_unix((int64_t)json_number_value(value));
        } else {
                struct str text = { json_string_value(value), json_string_length(value) };
                AUTO_PTR(error) err = walltime_parse_rfc3339(text, &c->expiry);

                if (err != NULL)
                        return error_new(ERROR_FAILED_PRECONDITION, "its Expiration is not a point in time");
        }
        c->has_expiry = true;
        return NULL;
}

struct error *key_json_read(const json_t *object, const struct key_json_form *form, struct aws_credentials *ret)
{
        AUTO(aws_credentials) c = { 0 };
        struct str id = { 0 }, secret = { 0 }, token = { 0 };

        if (!strict_json_text(object, "AccessKeyId", &id) || str_is_empty(id))
                return error_new(ERROR_FAILED_PRECONDITION, "it has no AccessKeyId");
        if (!strict_json_text(object, "SecretAccessKey", &secret) || str_is_empty(secret))
                return error_new(ERROR_FAILED_PRECONDITION, "it has no SecretAccessKey");
        if ((!strict_json_text(object, form->token, &token) || str_is_empty(token)) && form->needs_token)
                return error_new(ERROR_FAILED_PRECONDITION, "it has no %s", form->token);
        TRY(expiry_read(json_object_get(object, "Expiration"), &c));
        if (form->needs_expiry && !c.has_expiry)
                return error_new(ERROR_FAILED_PRECONDITION, "it has no Expiration");
        c.access_key_id = secret_of(id);
        c.secret_access_key = secret_of(secret);
        c.session_token = secret_of(token);
        *ret = c;
        c = (struct aws_credentials){ 0 };
        return NULL;
}

struct error *credentials_check_fresh(const struct aws_credentials *c, struct walltime now, const char *what)
{
        if (!c->has_expiry || c->expiry.ns > now.ns)
                return NULL;
        AUTO(buf) when = BUF_MAX(64);
        walltime_put_rfc3339(&when, c->expiry);
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "%s returned credentials that expired at %s", what,
                                    buf_c(&when)),
                          "refresh them; if they are fresh, the clock of this host is fast");
}
