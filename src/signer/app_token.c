/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/app_token.h"

#include "base/limits.h"
#include "base/text.h"
#include "pki/jws.h"

static void put_list(struct buf *out, const struct str *texts, size_t count)
{
        buf_put_char(out, '[');
        for (size_t i = 0; i < count; i++) {
                if (i > 0)
                        buf_put_char(out, ',');
                json_put_string(out, texts[i]);
        }
        buf_put_char(out, ']');
}

static void put_traits(struct buf *out, const struct app_token *t)
{
        buf_put_char(out, '{');
        for (size_t i = 0; i < t->trait_count; i++) {
                if (i > 0)
                        buf_put_char(out, ',');
                json_put_string(out, t->traits[i].name);
                buf_put_char(out, ':');
                put_list(out, t->traits[i].values, t->traits[i].value_count);
        }
        buf_put_char(out, '}');
}

static void put_text(struct buf *out, const char *name, struct str text)
{
        buf_printf(out, "\"%s\":", name);
        json_put_string(out, text);
        buf_put_char(out, ',');
}

void app_token_put_claims(const struct app_token *t, struct buf *out)
{
        buf_put_char(out, '{');
        put_text(out, "iss", t->cluster);
        put_text(out, "sub", t->user);
        put_text(out, "username", t->user);
        buf_put_c(out, "\"aud\":");
        put_list(out, &t->uri, 1);
        buf_put_c(out, ",\"roles\":");
        put_list(out, t->roles, t->role_count);
        buf_put_c(out, ",\"traits\":");
        put_traits(out, t);
        buf_printf(out, ",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld}", (long long)walltime_unix(t->issued), (long long)walltime_unix(t->not_before),
                   (long long)walltime_unix(t->not_after));
}

static struct error *sign(const struct app_token *t, const struct key *k, struct str id, struct buf *out)
{
        AUTO(buf) claims = BUF_MAX(LIMIT_APP_TOKEN);
        AUTO(buf) header = BUF_MAX(LIMIT_NAME);
        AUTO(buf) token = BUF_MAX(LIMIT_APP_TOKEN);

        app_token_put_claims(t, &claims);
        TRY(buf_finish(&claims, "the claims"));
        buf_printf(&header, "{\"alg\":\"%s\",\"kid\":\"%.*s\",\"typ\":\"JWT\"}", jws_algorithm(k), STR_ARG(id));
        TRY(jws_sign_compact(k, buf_str(&header), buf_str(&claims), &token));
        buf_put(out, buf_str(&token));
        return buf_finish(out, "the token");
}

struct error *app_token_sign(const struct app_token *t, const struct key *k, struct str id, struct buf *out)
{
        struct error *err = sign(t, k, id, out);

        if (err == NULL || err->code != ERROR_RESOURCE_EXHAUSTED)
                return err;
        return error_hint(error_because(error_new(ERROR_RESOURCE_EXHAUSTED, "the token for the application would be larger than %d bytes", LIMIT_APP_TOKEN), err),
                          "set rewrite.jwt_claims of the application to roles or none, or give the user fewer traits");
}
