/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/admin/admin.h"
#include "auth/admin/resources.h"
#include "auth/join/tokens.h"
#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "join/method.h"
#include "join/token_check.h"
#include "resource/role.h"
#include "resource/token.h"
#include "rpc/pb.h"
#include "schema/schema.h"

/* Expired tokens are not shown, as if they did not exist. */
static struct error *show_token(struct admin_request *q, const struct state_record *record, ProtobufCMessage **ret)
{
        Cteleport__V1__Token *token = NULL;

        TRY(token_read(q->arena, record, &token));
        if (!token_is_expired(token, loop_wall(&q->auth->loop)))
                *ret = &token->base;
        return NULL;
}

static size_t list_static(struct admin_request *q, ProtobufCMessage ***ret)
{
        Cteleport__V1__Token **tokens = NULL;
        size_t count = static_tokens_list(q->auth, q->arena, &tokens);

        *ret = (ProtobufCMessage **)tokens;
        return count;
}

static struct error *check(struct admin_request *q, struct change *c)
{
        Cteleport__V1__Token *token = (Cteleport__V1__Token *)c->resource;

        TRY(token_check(token, q->arena, &c->warnings));
        return token_check_end(token, loop_wall(&q->auth->loop));
}

static struct walltime expires(const ProtobufCMessage *resource)
{
        return token_record_end((const Cteleport__V1__Token *)resource);
}

static void put_safe_name(const ProtobufCMessage *resource, struct buf *out)
{
        token_safe_name((const Cteleport__V1__Token *)resource, out);
}

static void put_audit(const struct change *c, const ProtobufCMessage *resource, struct audit_record *record)
{
        const Cteleport__V1__Token *token = (const Cteleport__V1__Token *)resource;
        AUTO(buf) end = BUF_MAX(64);
        struct str roles[LIMIT_TOKEN_ROLES];
        size_t count = 0;

        (void)c;
        audit_str(record, "join_method", str_of(token->spec->join_method));
        for (size_t i = 0; i < token->spec->n_roles && count < LIMIT_TOKEN_ROLES; i++)
                roles[count++] = str_of(token->spec->roles[i]);
        audit_strs(record, "roles", roles, count);
        if (token->metadata->expires != NULL) {
                timestamp_put(&end, token->metadata->expires->seconds, 0);
                audit_str(record, "expires", buf_str(&end));
        }
}

const struct admin_kind admin_token_kind = {
        .name = "token",
        .listed_by = "tctl tokens ls",
        .state = &token_kind,
        .page = &cteleport__v1__list_tokens_response__descriptor,
        .show = show_token,
        .put_id = token_put_id,
        .list_configured = list_static,
        .configured_in = "auth_service.tokens",
        .put = &cteleport__v1__put_token_request__descriptor,
        .check = check,
        .expires = expires,
        .account = ACCOUNT_ADMIN,
        .is_last_write_kept = true,
        .has_secret_name = true,
        .created = &audit_token_create,
        .updated = &audit_token_create,
        .deleted = &audit_token_delete,
        .put_shown_name = put_safe_name,
        .put_audit = put_audit,
};

/* ---- explaining --------------------------------------------------------------------------------------------------- */

static struct error *check_explain(const Cteleport__V1__ExplainTokenRequest *m)
{
        if (!name_is_aws_account(str_of(m->account)))
                return error_new(ERROR_INVALID_ARGUMENT, "--account must be twelve digits");
        if (str_is_empty(str_of(m->arn)) || strlen(m->arn) > LIMIT_PATTERN)
                return error_new(ERROR_INVALID_ARGUMENT, "--arn must be the ARN as `aws sts get-caller-identity` prints it");
        return NULL;
}

/* The attributes of the request, in the form that a join attests. */
static struct join_attributes explained_attributes(const Cteleport__V1__ExplainTokenRequest *m)
{
        struct join_attributes attributes = { 0 };

        join_attributes_add(&attributes, "account", str_of(m->account), true);
        join_attributes_add(&attributes, "arn", str_of(m->arn), true);
        return attributes;
}

static void explain_rules(struct admin_request *q, const Cteleport__V1__Token *token, const struct join_method *method,
                          const struct join_attributes *attributes, Cteleport__V1__ExplainTokenResponse *response)
{
        response->rules = arena_alloc(q->arena, (token->spec->n_allow + 1) * sizeof *response->rules);
        for (size_t i = 0; i < token->spec->n_allow; i++) {
                Cteleport__V1__RuleExplanation *rule = arena_alloc(q->arena, sizeof *rule);
                AUTO(buf) why = BUF_MAX(8 * KiB);

                cteleport__v1__rule_explanation__init(rule);
                rule->index = (uint32_t)i + 1;
                rule->matches = method->explain_rule(token->spec->allow[i], attributes, &why);
                rule->text = pb_text(arena_str(q->arena, buf_str(&why)).ptr);
                response->rules[response->n_rules++] = rule;
        }
}

/* The checks of a join, in the same order (attempt.c). */
static void on_explained(void *ctx, struct token_found *found, struct error *err)
{
        struct admin_request *q = ctx;
        const Cteleport__V1__ExplainTokenRequest *m = (const Cteleport__V1__ExplainTokenRequest *)q->message;
        Cteleport__V1__ExplainTokenResponse response = CTELEPORT__V1__EXPLAIN_TOKEN_RESPONSE__INIT;
        const struct join_attributes attributes = explained_attributes(m);
        const struct system_role *role = system_role_parse(str_is_empty(str_of(m->role)) ? STR("Instance") : str_of(m->role));

        if (err == NULL && found == NULL)
                err = resource_not_found(&admin_token_kind, str_of(m->token));
        if (err == NULL && role == NULL)
                err = system_role_unknown(str_of(m->role));
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        const Cteleport__V1__Token *token = found->token;
        const struct join_method *method = join_method_find(str_of(token->spec->join_method)), *with_rules = join_method_with_rules();
        bool has_rules = method != NULL && method->find_rule != NULL;
        if (has_rules)
                explain_rules(q, token, method, &attributes, &response);
        int rule = has_rules ? method->find_rule(token->spec, &attributes) : -1;
        if (found->is_expired)
                response.summary = pb_text("refused: the token has expired");
        else if (!has_rules)
                response.summary = pb_text(arena_printf(q->arena, "refused: the token's join method is '%s', not '%s'",
                                                                   token->spec->join_method, with_rules == NULL ? "" : with_rules->name));
        else if (!token_gives_role(token, role->name))
                response.summary = pb_text(arena_printf(q->arena, "refused: the token does not allow role '%.*s'", STR_ARG(role->name)));
        else if (rule < 0)
                response.summary = pb_text("refused: no rule matches");
        else
                response.summary = pb_text(arena_printf(q->arena, "allowed by rule %d", rule + 1));
        response.allowed = str_starts_with(str_of(response.summary), STR("allowed"));
        admin_reply(q, &response.base);
}

void admin_explain_token(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        const Cteleport__V1__ExplainTokenRequest *m = (const Cteleport__V1__ExplainTokenRequest *)q->message;
        struct error *err = check_explain(m);

        if (err != NULL)
                admin_fail(q, err);
        else
                token_find(q->auth, str_of(m->token), on_explained, q);
}
