/* SPDX-License-Identifier: Apache-2.0 */
#include "join/token_check.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "join/method.h"
#include "resource/head.h"
#include "resource/join_method.h"
#include "resource/role.h"
#include "resource/token.h"
#include "rpc/pb.h"

static const char *const versions[] = { "v2", "v1", NULL };
static const struct head_kind head = { "token", "a token", versions };

/* The join method that hints name for tokens with rules. */
static const char *name_with_rules(void)
{
        const struct join_method *m = join_method_with_rules();

        return m == NULL ? "" : m->name;
}

static struct error *check_method(Cteleport__V1__Token *token)
{
        Cteleport__V1__TokenSpec *spec = token->spec;

        if (is_unset(spec->join_method) && spec->n_allow > 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the token has allow rules but no spec.join_method"),
                                  "write join_method: %s", name_with_rules());
        if (is_unset(spec->join_method))
                spec->join_method = pb_text("token");
        return join_method_check(str_of(spec->join_method), "spec.join_method");
}

/* An error shows the name only if it is not a secret. */
static struct error *check_name(const Cteleport__V1__Token *token, const struct join_method *method, struct arena *arena,
                                struct token_warnings *warnings)
{
        struct str name = token->metadata == NULL ? (struct str){ 0 } : str_of(token->metadata->name);

        if (name.len == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a name is required for a token"),
                                  "set metadata.name");
        if (!method->has_secret_name)
                return name_check_token(name, "metadata.name");
        if (!name_is_token(name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "metadata.name is not a valid secret"),
                                  "use letters, digits and ._-+=@: only, at most %d characters, not beginning with '-'",
                                  LIMIT_NAME);
        if (name.len < TOKEN_SECRET_LENGTH)
                token_warn(warnings, arena,
                           "metadata.name is the secret of a token of method %s, and %zu characters can be guessed; "
                           "let tctl tokens add choose one, or use join_method: %s",
                           method->name, name.len, name_with_rules());
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
                                  "every role of a service, such as Node, includes it");
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
                        spec->roles[i] = pb_text(role->name.ptr);
                err = error_also(err, error_about(wrong, "spec.roles[%zu]", i + 1));
        }
        return err;
}

static struct error *check_rules(Cteleport__V1__TokenSpec *spec, const struct join_method *method, struct arena *arena,
                                 struct token_warnings *warnings)
{
        if (method->check_rule == NULL && spec->n_allow > 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "join method %s has no allow rules", method->name),
                                  "allow rules belong to join_method: %s", name_with_rules());
        if (method->check_rule != NULL && spec->n_allow == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the \"%s\" join method requires defined token allow rules", method->name),
                                  "add allow: with a rule such as %s", method->rule_example);
        if (spec->n_allow > LIMIT_TOKEN_RULES)
                return error_new(ERROR_INVALID_ARGUMENT, "the token has more than %d allow rules", LIMIT_TOKEN_RULES);
        struct error *err = NULL;
        for (size_t i = 0; i < spec->n_allow; i++)
                err = error_also(err, error_about(method->check_rule(spec->allow[i], i + 1, arena, warnings), "spec.allow[%zu]", i + 1));
        return err;
}

static struct error *spec_absent(void)
{
        const struct join_method *m = join_method_with_rules();

        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the token has no spec"), "a token needs spec.roles%s%s",
                          m == NULL ? "" : " and, ", m == NULL ? "" : m->token_example);
}

struct error *token_check(Cteleport__V1__Token *token, struct arena *arena, struct token_warnings *warnings)
{
        TRY(head_check(&head, &token->kind, &token->sub_kind, &token->version));
        token->version = pb_text(versions[0]); /* v1 has the same fields as far as they are used here */
        if (token->spec == NULL)
                return spec_absent();
        struct error *err = error_about(check_method(token), "spec.join_method");
        /* The checks of the name and of the rules depend on the method. */
        const struct join_method *method = err == NULL ? join_method_find(str_of(token->spec->join_method)) : NULL;
        if (method != NULL)
                err = error_about(check_name(token, method, arena, warnings), "metadata.name");
        err = error_also(err, error_about(check_roles(token->spec), "spec.roles"));
        return method == NULL ? err : error_also(err, error_about(check_rules(token->spec, method, arena, warnings), "spec.allow"));
}

/* The name is also masked for an unknown join method, whose names may be secret. */
void token_safe_name(const Cteleport__V1__Token *token, struct buf *out)
{
        struct str name = token->metadata == NULL ? (struct str){ 0 } : str_of(token->metadata->name);
        struct str written = token->spec == NULL ? (struct str){ 0 } : str_of(token->spec->join_method);
        const struct join_method *method = join_method_find(written);

        if (method == NULL || method->has_secret_name)
                token_mask(name, out);
        else
                buf_put(out, name);
}
