/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/admin/admin.h"
#include "auth/admin/request.h"
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

static struct error *not_found(struct str name)
{
        AUTO_MEM char *shown = escaped(name);

        return error_hint(error_new(ERROR_NOT_FOUND, "token \"%s\" is not found", shown), "`tctl tokens ls` shows what there is");
}

static bool is_static(const struct auth *a, struct str name)
{
        for (size_t i = 0; i < a->static_token_count; i++)
                if (str_equal(a->static_tokens[i].secret, name))
                        return true;
        return false;
}

/* ---- listing -------------------------------------------------------------------------------------------- */

static struct error *show_token(struct admin_request *q, const struct state_record *record, ProtobufCMessage **ret)
{
        Cteleport__V1__Token *token = NULL;

        TRY(token_read(q->arena, record, &token));
        if (!token_is_expired(token, loop_wall(&q->auth->loop)))
                *ret = &token->base;
        return NULL;
}

/* Static tokens come first; LIMIT_STATIC_TOKENS of them fit on a page. */
void admin_list_tokens(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct listing l = { &token_kind, show_token, &cteleport__v1__list_tokens_response__descriptor };
        bool is_first = ((const Cteleport__V1__ListRequest *)q->message)->after[0] == '\0';
        Cteleport__V1__Token **statics = NULL;
        size_t count = is_first ? static_tokens_list(q->auth, q->arena, &statics) : 0;

        for (size_t i = 0; i < count; i++)
                (void)listing_add(q, &l, &statics[i]->base);
        admin_list(q, l);
}

/* ---- one token ------------------------------------------------------------------------------------------- */

static void on_got(void *ctx, struct token_found *found, struct error *err)
{
        struct admin_request *q = ctx;

        if (err == NULL && (found == NULL || found->is_expired))
                err = not_found(admin_name(q));
        if (err != NULL)
                admin_fail(q, err);
        else
                admin_reply(q, &found->token->base);
}

void admin_get_token(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        token_find(q->auth, admin_name(q), on_got, q);
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

struct put {
        Cteleport__V1__Token *token;
        struct token_warnings warnings;
        bool was_there;
        bool must_be_new;
        uint64_t if_revision; /* 0: whatever is there */
};

static void audit_token(struct admin_request *q, struct audit_record *record, const struct audit_kind *kind, const Cteleport__V1__Token *token)
{
        AUTO(buf) safe = BUF_MAX(4 * KiB);
        AUTO(buf) expires = BUF_MAX(64);
        struct str roles[LIMIT_TOKEN_ROLES];
        size_t count = 0;

        token_safe_name(token, &safe);
        auth_audit_begin(q->auth, record, kind);
        audit_str(record, "user", buf_str(&q->who));
        audit_str(record, "name", buf_str(&safe));
        audit_str(record, "join_method", str_of(token->spec->join_method));
        for (size_t i = 0; i < token->spec->n_roles && count < LIMIT_TOKEN_ROLES; i++)
                roles[count++] = str_of(token->spec->roles[i]);
        audit_strs(record, "roles", roles, count);
        if (token->metadata->expires != NULL) {
                timestamp_put(&expires, token->metadata->expires->seconds, 0);
                audit_str(record, "expires", buf_str(&expires));
        }
}

static void on_put(void *ctx, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        struct put *put = q->state;
        Cteleport__V1__PutTokenResponse response = CTELEPORT__V1__PUT_TOKEN_RESPONSE__INIT;
        AUTO(buf) safe = BUF_MAX(4 * KiB);

        (void)revision;
        if (err != NULL && err->code == ERROR_ABORTED && put->must_be_new) {
                error_free(err);
                err = error_hint(error_new(ERROR_ALREADY_EXISTS, "a token with this name already exists"), "take another name");
        } else if (err != NULL && err->code == ERROR_ABORTED) {
                error_free(err);
                err = error_hint(error_new(ERROR_ABORTED, "the token was changed by another user meanwhile"), "look at it again and repeat the change");
        }
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        token_safe_name(put->token, &safe);
        log_info("Token written", LOG_STR("token_name", buf_str(&safe)), LOG_STR("by", buf_str(&q->who)));
        response.was_there = put->was_there;
        response.warnings = arena_alloc(q->arena, (put->warnings.count + 1) * sizeof *response.warnings);
        for (size_t i = 0; i < put->warnings.count; i++)
                response.warnings[response.n_warnings++] = pb_text(put->warnings.texts[i]);
        admin_reply(q, &response.base);
}

static void write_token(struct admin_request *q, uint64_t present_revision)
{
        struct put *put = q->state;
        struct store_txn *t = store_txn_new(q->auth->store);
        struct audit_record record = { 0 };
        struct str name = str_of(put->token->metadata->name);

        if (put->must_be_new)
                token_require(t, name, present_revision);
        else if (put->if_revision != 0)
                token_require(t, name, put->if_revision);
        token_put(t, put->token);
        audit_token(q, &record, &audit_token_create, put->token);
        audit_account_add(q->auth, ACCOUNT_ADMIN, buf_str(&q->who), t, &record);
        store_txn_commit(t, on_put, q);
}

static void on_present(void *ctx, struct token_found *found, struct error *err)
{
        struct admin_request *q = ctx;
        struct put *put = q->state;
        bool is_live = found != NULL && !found->is_expired;

        if (err == NULL && is_live && put->must_be_new)
                err = error_hint(error_new(ERROR_ALREADY_EXISTS, "a token with this name already exists"), "take another name");
        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        put->was_there = is_live;
        write_token(q, found == NULL ? 0 : found->revision);
}

static struct error *check_put(struct admin_request *q, const Cteleport__V1__PutTokenRequest *m, struct put *put)
{
        int64_t revision = 0;

        if (m->token == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "no token was given");
        put->token = m->token;
        put->must_be_new = m->must_be_new;
        TRY(token_check(put->token, q->arena, &put->warnings));
        TRY(token_check_end(put->token, loop_wall(&q->auth->loop)));
        if (is_static(q->auth, str_of(put->token->metadata->name)))
                return error_new(ERROR_ALREADY_EXISTS, "a token with this name stands in auth_service.tokens of teleport.yaml");
        if (!str_is_empty(str_of(m->if_revision)))
                TRY(parse_int(str_of(m->if_revision), 1, INT64_MAX, "revision", &revision));
        put->if_revision = (uint64_t)revision;
        return NULL;
}

void admin_put_token(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct put *put = arena_alloc(q->arena, sizeof *put);

        const Cteleport__V1__PutTokenRequest *m = (const Cteleport__V1__PutTokenRequest *)q->message;
        Cteleport__V1__PutTokenResponse nothing = CTELEPORT__V1__PUT_TOKEN_RESPONSE__INIT;

        q->state = put;
        struct error *err = check_put(q, m, put);
        if (err != NULL)
                admin_fail(q, err);
        else if (m->check_only)
                admin_reply(q, &nothing.base);
        else
                token_find(q->auth, str_of(put->token->metadata->name), on_present, q);
}

/* ---- deleting ------------------------------------------------------------------------------------------------- */

static void on_deleted(void *ctx, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        (void)revision;
        if (err != NULL)
                admin_fail(q, err);
        else
                admin_reply(q, &empty.base);
}

static void on_pending_deletion(void *ctx, struct token_found *found, struct error *err)
{
        struct admin_request *q = ctx;
        struct str name = admin_name(q);
        struct audit_record record = { 0 };

        if (err == NULL && (found == NULL || found->is_expired))
                err = not_found(name);
        if (err == NULL && found->revision == 0)
                err = error_hint(error_new(ERROR_FAILED_PRECONDITION, "a static token cannot be removed"),
                                 "remove it from auth_service.tokens in teleport.yaml and restart the Auth Service");
        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        struct store_txn *t = store_txn_new(q->auth->store);
        token_require(t, name, found->revision);
        token_delete(t, name);
        audit_token(q, &record, &audit_token_delete, found->token);
        outbox_add(q->auth->outbox, t, &record); /* it was charged for when it was made */
        store_txn_commit(t, on_deleted, q);
}

void admin_delete_token(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        token_find(q->auth, admin_name(q), on_pending_deletion, q);
}

/* ---- explaining --------------------------------------------------------------------------------------------------- */

static struct error *check_explain(const Cteleport__V1__ExplainTokenRequest *m)
{
        if (!name_is_aws_account(str_of(m->account)))
                return error_new(ERROR_INVALID_ARGUMENT, "--account must be twelve digits");
        if (str_is_empty(str_of(m->arn)) || strlen(m->arn) > LIMIT_PATTERN)
                return error_new(ERROR_INVALID_ARGUMENT, "--arn must be the ARN as `aws sts get-caller-identity` prints it");
        return NULL;
}

/* The attributes that the request is about, as a join would attest them. */
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

/* The same questions in the same order as a join asks them (attempt.c). */
static void on_explained(void *ctx, struct token_found *found, struct error *err)
{
        struct admin_request *q = ctx;
        const Cteleport__V1__ExplainTokenRequest *m = (const Cteleport__V1__ExplainTokenRequest *)q->message;
        Cteleport__V1__ExplainTokenResponse response = CTELEPORT__V1__EXPLAIN_TOKEN_RESPONSE__INIT;
        const struct join_attributes attributes = explained_attributes(m);
        const struct system_role *role = system_role_parse(str_is_empty(str_of(m->role)) ? STR("Instance") : str_of(m->role));

        if (err == NULL && found == NULL)
                err = not_found(str_of(m->token));
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
