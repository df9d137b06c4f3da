/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "signer/policy_internal.h"

typedef Cteleport__Internal__V1__AppTokenRequest request_message;

/* Claims may have any text, which is escaped: traits come from other programs. */
static bool is_claim(struct str s)
{
        return s.len > 0 && s.len <= LIMIT_NAME && text_is_utf8(s);
}

static bool is_claim_value(struct str s)
{
        return str_is_empty(s) || is_claim(s);
}

/* The audience. Applications by other protocols than HTTP get no token. */
static struct error *check_uri(struct str uri)
{
        bool is_good = uri.len <= LIMIT_APP_URI && (str_starts_with(uri, STR("http://")) || str_starts_with(uri, STR("https://")));

        for (size_t i = 0; is_good && i < uri.len; i++)
                is_good = uri.ptr[i] > ' ' && uri.ptr[i] < 0x7f;
        if (is_good)
                return NULL;
        AUTO_MEM char *shown = escaped(uri);
        return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not the uri of an application that receives tokens", shown);
}

static struct error *take_values(struct arena *a, const Cteleport__Internal__V1__AppTokenTrait *from, struct app_token_trait *ret)
{
        struct str *values = arena_alloc(a, (from->n_values + 1) * sizeof *values);

        if (from->n_values > LIMIT_ROLE_ITEMS)
                return error_new(ERROR_INVALID_ARGUMENT, "a trait with %zu values; it may have %d", from->n_values, LIMIT_ROLE_ITEMS);
        for (size_t i = 0; i < from->n_values; i++) {
                values[i] = str_of(from->values[i]);
                if (!is_claim_value(values[i]))
                        return error_new(ERROR_INVALID_ARGUMENT, "a value of a trait is longer than %d bytes or not UTF-8", LIMIT_NAME);
        }
        *ret = (struct app_token_trait){ .name = str_of(from->name), .values = values, .value_count = from->n_values };
        return NULL;
}

static struct error *take_traits(struct arena *a, const request_message *r, struct app_token *token)
{
        struct app_token_trait *traits = arena_alloc(a, (r->n_traits + 1) * sizeof *traits);
        char **names = arena_alloc(a, (r->n_traits + 1) * sizeof *names);
        const struct str *checked;

        for (size_t i = 0; i < r->n_traits; i++)
                names[i] = r->traits[i]->name;
        TRY(policy_names(a, names, r->n_traits, LIMIT_ROLE_ITEMS, is_claim, "trait", &checked));
        for (size_t i = 0; i < r->n_traits; i++)
                TRY(take_values(a, r->traits[i], &traits[i]));
        token->traits = traits;
        token->trait_count = r->n_traits;
        return NULL;
}

static struct error *set_times(const struct policy_facts *facts, int64_t not_after, struct app_token *token)
{
        int64_t now = walltime_unix(facts->now), most = now + LIMIT_APP_TOKEN_SECONDS;

        if (not_after <= now)
                return error_new(ERROR_FAILED_PRECONDITION, "the identity of the user has expired");
        token->issued = walltime_of_unix(now);
        token->not_before = walltime_of_unix(now - LIMIT_APP_TOKEN_SKEW_SECONDS);
        token->not_after = walltime_of_unix(not_after < most ? not_after : most);
        return NULL;
}

struct error *policy_check_token(struct arena *a, const struct policy_facts *facts, const request_message *request, struct app_token *ret)
{
        struct app_token token = { .cluster = facts->cluster, .user = str_of(request->user), .uri = str_of(request->uri) };

        TRY(policy_user_name(token.user));
        TRY(policy_names(a, request->roles, request->n_roles, LIMIT_USER_ROLES, name_is_token, "role", &token.roles));
        token.role_count = request->n_roles;
        TRY(take_traits(a, request, &token));
        TRY(check_uri(token.uri));
        TRY(set_times(facts, request->not_after, &token));
        *ret = token;
        return NULL;
}
