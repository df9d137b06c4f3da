/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/user.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "resource/access_role.h"
#include "resource/head.h"

static const char *const versions[] = { "v2", NULL };
static const struct head_kind head = { "user", "a user", versions };

static struct error *check_name(const Cteleport__V1__User *user)
{
        struct str name = user->metadata == NULL ? STR("") : str_of(user->metadata->name);
        AUTO_MEM char *shown = escaped(name);

        if (name.len == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a name is required for a user"), "set metadata.name");
        if (!name_is_user(name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "metadata.name '%s' is not a valid name of a user", shown),
                                  "use letters, digits and ._-+@ only, beginning with a letter, digit or '_', at most 128 characters");
        return NULL;
}

static struct error *check_roles(const Cteleport__V1__UserSpec *spec)
{
        if (spec->n_roles == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the user has no roles"), "write, for example, roles: [access]");
        if (spec->n_roles > LIMIT_USER_ROLES)
                return error_new(ERROR_INVALID_ARGUMENT, "the user has more than %d roles", LIMIT_USER_ROLES);
        struct error *err = NULL;
        for (size_t i = 0; i < spec->n_roles; i++) {
                AUTO_MEM char *shown = escaped(str_of(spec->roles[i]));
                struct error *wrong = NULL;

                if (!name_is_role(str_of(spec->roles[i])))
                        wrong = error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a name of a role", shown),
                                           "the roles are listed by: tctl get roles");
                for (size_t j = 0; wrong == NULL && j < i; j++)
                        if (strcmp(spec->roles[i], spec->roles[j]) == 0)
                                wrong = error_hint(error_new(ERROR_INVALID_ARGUMENT, "duplicate role %s", shown), "name it once");
                err = error_also(err, error_about(wrong, "spec.roles[%zu]", i + 1));
        }
        return err;
}

/* Traits other than `logins` have no effect here; they are stored for other programs. */
static struct error *check_trait(const char *name, const Cteleport__V1__StringList *values)
{
        bool are_logins = strcmp(name, "logins") == 0;

        if (values == NULL)
                return NULL;
        if (values->n_values > LIMIT_ROLE_ITEMS)
                return error_new(ERROR_INVALID_ARGUMENT, "a trait has more than %d values", LIMIT_ROLE_ITEMS);
        struct error *err = NULL;
        for (size_t i = 0; i < values->n_values; i++) {
                struct str value = str_of(values->values[i]);

                if (value.len > LIMIT_NAME)
                        err = error_also(err, error_new(ERROR_INVALID_ARGUMENT, "a value of a trait is longer than %d characters", LIMIT_NAME));
                else if (are_logins)
                        err = error_also(err, name_check_login(value));
        }
        return err;
}

static struct error *check_traits(const Cteleport__V1__UserSpec *spec)
{
        if (spec->n_traits > LIMIT_ROLE_ITEMS)
                return error_new(ERROR_INVALID_ARGUMENT, "the user has more than %d traits", LIMIT_ROLE_ITEMS);
        struct error *err = NULL;
        for (size_t i = 0; i < spec->n_traits; i++) {
                struct str name = str_of(spec->traits[i]->key);

                if (str_is_empty(name) || name.len > LIMIT_NAME)
                        err = error_also(err, error_new(ERROR_INVALID_ARGUMENT, "the name of a trait is empty or longer than %d characters",
                                                        LIMIT_NAME));
                else
                        err = error_also(err, error_about(check_trait(name.ptr, spec->traits[i]->value), "spec.traits.%s", name.ptr));
        }
        return err;
}

struct error *user_check(Cteleport__V1__User *user)
{
        TRY(head_check(&head, &user->kind, &user->sub_kind, &user->version));
        struct error *err = error_about(check_name(user), "metadata.name");
        if (user->spec == NULL)
                return error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT, "the user has no spec"), "a user needs spec.roles"));
        err = error_also(err, error_about(check_roles(user->spec), "spec.roles"));
        return error_also(err, error_about(check_traits(user->spec), "spec.traits"));
}

const Cteleport__V1__StringList *user_trait(const Cteleport__V1__User *user, struct str name)
{
        for (size_t i = 0; user->spec != NULL && i < user->spec->n_traits; i++)
                if (str_equal(str_of(user->spec->traits[i]->key), name))
                        return user->spec->traits[i]->value;
        return NULL;
}
