/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/token.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "resource/head.h"
#include "resource/join_method.h"
#include "resource/role.h"
#include "resource/token_rule.h"

enum { SECRET_GOOD_LENGTH = 16 }; /* shorter secrets can be guessed */

/* protobuf-c's structs have no const; what the arena lends is not written to. */
static char *text(const char *c)
{
        return (char *)(uintptr_t)c;
}

/* ---- checking ------------------------------------------------------------------------------------ */

static const char *const versions[] = { "v2", "v1", NULL };
static const struct head_kind head = { "token", "a token", versions };

static struct error *check_method(Cteleport__V1__Token *token)
{
        Cteleport__V1__TokenSpec *spec = token->spec;

        if (is_unset(spec->join_method) && spec->n_allow > 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the token has allow rules but no spec.join_method"),
                                  "write join_method: iam");
        if (is_unset(spec->join_method))
                spec->join_method = text("token");
        return join_method_check(str_of(spec->join_method), "spec.join_method");
}

/* The name of method token is a secret: no sentence shows it. */
static struct error *check_name(const Cteleport__V1__Token *token, struct arena *arena, struct token_warnings *warnings)
{
        struct str name = token->metadata == NULL ? (struct str){ 0 } : str_of(token->metadata->name);

        if (name.len == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a name is required for a token"),
                                  "set metadata.name");
        if (strcmp(token->spec->join_method, "token") != 0)
                return name_check_token(name, "metadata.name");
        if (!name_is_token(name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "metadata.name is not a valid secret"),
                                  "use letters, digits and ._-+=@: only, at most %d characters, not beginning with '-'",
                                  LIMIT_NAME);
        if (name.len < SECRET_GOOD_LENGTH)
                token_warn(warnings, arena,
                           "metadata.name is the secret of a token of method token, and %zu characters can be guessed; "
                           "let tctl tokens add choose one, or use join_method: iam",
                           name.len);
        return NULL;
}

static struct error *check_role(struct str written, const struct system_role **ret)
{
        AUTO_MEM char *shown = escaped(written);

        if (str_find_char(written, ',') < written.len)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "invalid role \"%s\"", shown),
                                  "write the roles as a list: roles: [Node, App]");
        *ret = system_role_parse(written);
        if (*ret == NULL)
                return system_role_unknown(written);
        if (str_equal((*ret)->name, STR("Instance")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "role Instance is not written in a token"),
                                  "it comes with every role of a service, such as Node");
        if (!(*ret)->is_joinable)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a token cannot give role %s in this release",
                                            (*ret)->name.ptr),
                                  "leave it out of spec.roles");
        return NULL;
}

static struct error *check_roles(Cteleport__V1__TokenSpec *spec)
{
        if (spec->n_roles == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the token is missing roles"),
                                  "write, for example, roles: [Node] in spec");
        if (spec->n_roles > LIMIT_TOKEN_ROLES)
                return error_new(ERROR_INVALID_ARGUMENT, "the token has more than %d roles", LIMIT_TOKEN_ROLES);
        struct error *err = NULL;
        for (size_t i = 0; i < spec->n_roles; i++) {
                const struct system_role *role = NULL;
                struct error *wrong = check_role(str_of(spec->roles[i]), &role);

                for (size_t j = 0; wrong == NULL && j < i; j++)
                        if (str_equal(str_of(spec->roles[j]), role->name))
                                wrong = error_hint(error_new(ERROR_INVALID_ARGUMENT, "duplicate role %s", role->name.ptr), "name it once");
                if (wrong == NULL)
                        spec->roles[i] = text(role->name.ptr);
                err = error_also(err, error_about(wrong, "spec.roles[%zu]", i + 1));
        }
        return err;
}

static struct error *check_rules(Cteleport__V1__TokenSpec *spec, struct arena *arena, struct token_warnings *warnings)
{
        bool is_iam = strcmp(spec->join_method, "iam") == 0;

        if (!is_iam && spec->n_allow > 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "join method token has no allow rules"),
                                  "allow rules belong to join_method: iam");
        if (is_iam && spec->n_allow == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                            "the \"iam\" join method requires defined token allow rules"),
                                  "add allow: with a rule such as aws_account: \"123456789012\"");
        if (spec->n_allow > LIMIT_TOKEN_RULES)
                return error_new(ERROR_INVALID_ARGUMENT, "the token has more than %d allow rules", LIMIT_TOKEN_RULES);
        struct error *err = NULL;
        for (size_t i = 0; i < spec->n_allow; i++)
                err = error_also(err, error_about(token_rule_check(spec->allow[i], i + 1, arena, warnings), "spec.allow[%zu]", i + 1));
        return err;
}

struct error *token_check(Cteleport__V1__Token *token, struct arena *arena, struct token_warnings *warnings)
{
        TRY(head_check(&head, &token->kind, &token->sub_kind, &token->version));
        token->version = (char *)(uintptr_t)versions[0]; /* v1 differs in nothing that is read here */
        if (token->spec == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the token has no spec"),
                                  "a token needs spec.roles and, for AWS, spec.join_method: iam and spec.allow");
        struct error *err = error_about(check_method(token), "spec.join_method");
        bool has_method = err == NULL; /* what a name and rules may be depends on it */
        if (has_method)
                err = error_about(check_name(token, arena, warnings), "metadata.name");
        err = error_also(err, error_about(check_roles(token->spec), "spec.roles"));
        return has_method ? error_also(err, error_about(check_rules(token->spec, arena, warnings), "spec.allow")) : err;
}

struct error *token_check_end(const Cteleport__V1__Token *token, struct walltime now)
{
        if (!token_is_expired(token, now))
                return NULL;
        return error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT, "metadata.expires of the token has passed already"),
                                      "leave it out for a token that never expires"),
                           "metadata.expires");
}

/* ---- asking -------------------------------------------------------------------------------------- */

bool token_is_expired(const Cteleport__V1__Token *token, struct walltime now)
{
        const Cteleport__V1__Timestamp *end = token->metadata == NULL ? NULL : token->metadata->expires;

        if (end == NULL)
                return false;
        int64_t seconds = walltime_unix(now); /* compared in seconds: the year 3000 has no struct walltime */
        return seconds > end->seconds || (seconds == end->seconds && now.ns - seconds * 1000000000 >= end->nanos);
}

struct walltime token_expires(const Cteleport__V1__Token *token)
{
        return token->metadata == NULL ? (struct walltime){ 0 } : timestamp_end(token->metadata->expires);
}

bool token_gives_role(const Cteleport__V1__Token *token, struct str role)
{
        for (size_t i = 0; token->spec != NULL && i < token->spec->n_roles; i++) {
                struct str given = str_of(token->spec->roles[i]);
                const struct system_role *row = system_role_find(given);

                if (row == NULL || !row->is_joinable)
                        continue;
                if (str_equal(role, given) || (str_equal(role, STR("Instance")) && row->is_local_service))
                        return true;
        }
        return false;
}

void token_safe_name(const Cteleport__V1__Token *token, struct buf *out)
{
        struct str name = token->metadata == NULL ? (struct str){ 0 } : str_of(token->metadata->name);
        const char *method = token->spec == NULL ? NULL : token->spec->join_method;

        if (is_unset(method) || strcmp(method, "token") == 0)
                token_mask(name, out);
        else
                buf_put(out, name);
}

void token_mask(struct str name, struct buf *out)
{
        size_t hidden = name.len < SECRET_GOOD_LENGTH ? name.len : name.len * 3 / 4;

        for (size_t i = 0; i < hidden; i++)
                buf_put_char(out, '*');
        buf_put(out, str_slice(name, hidden, name.len));
}
