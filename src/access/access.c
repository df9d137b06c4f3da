/* SPDX-License-Identifier: Apache-2.0 */
#include "access/access.h"

#include <stdlib.h>

#include "access/labels.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "resource/access_role.h"
#include "resource/user.h"

static const Cteleport__V1__RoleConditions *allow_of(const Cteleport__V1__Role *role)
{
        return role->spec == NULL ? NULL : role->spec->allow;
}

static const Cteleport__V1__RoleConditions *deny_of(const Cteleport__V1__Role *role)
{
        return role->spec == NULL ? NULL : role->spec->deny;
}

static const Cteleport__V1__RoleOptions *options_of(const Cteleport__V1__Role *role)
{
        return role->spec == NULL ? NULL : role->spec->options;
}

static struct str name_of(const Cteleport__V1__Role *role)
{
        return role->metadata == NULL ? STR("") : str_of(role->metadata->name);
}

/* ---- rules about the cluster's own resources ------------------------------------------------------------------ */

static bool lists(char *const *words, size_t count, const char *word)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(words[i], word) == 0 || strcmp(words[i], "*") == 0)
                        return true;
        return false;
}

static bool is_about(const Cteleport__V1__RoleRule *rule, const char *kind, unsigned verb)
{
        return lists(rule->resources, rule->n_resources, kind) && lists(rule->verbs, rule->n_verbs, access_verb_name(verb));
}

/* The effect of the rules on one verb. An unknown `where` never allows; in a rule that denies, `where` is ignored. */
static enum access_reach reach_of(const Cteleport__V1__RoleConditions *c, const char *kind, unsigned verb, bool denies)
{
        enum access_reach reach = ACCESS_NONE;

        for (size_t i = 0; c != NULL && i < c->n_rules; i++) {
                const Cteleport__V1__RoleRule *rule = c->rules[i];

                if (!is_about(rule, kind, verb))
                        continue;
                if (denies || rule->where == NULL)
                        return ACCESS_ALL;
                if (role_where_is_own(str_of(rule->where)) && strcmp(kind, "session") == 0)
                        reach = ACCESS_OWN;
        }
        return reach;
}

static enum access_reach may_one(const struct access_user *p, const char *kind, unsigned verb)
{
        enum access_reach reach = ACCESS_NONE;

        for (size_t i = 0; i < p->role_count; i++)
                if (reach_of(deny_of(p->roles[i]), kind, verb, true) != ACCESS_NONE)
                        return ACCESS_NONE;
        for (size_t i = 0; i < p->role_count; i++) {
                enum access_reach r = reach_of(allow_of(p->roles[i]), kind, verb, false);

                reach = r > reach ? r : reach;
        }
        return reach;
}

const char *access_verb_name(unsigned verb)
{
        switch (verb) {
        case ACCESS_LIST:
                return "list";
        case ACCESS_READ:
                return "read";
        case ACCESS_CREATE:
                return "create";
        case ACCESS_UPDATE:
                return "update";
        case ACCESS_DELETE:
                return "delete";
        default:
                return "";
        }
}

enum access_reach access_may(const struct access_user *p, const char *kind, unsigned verbs)
{
        enum access_reach reach = verbs == 0 ? ACCESS_NONE : ACCESS_ALL;

        for (unsigned verb = ACCESS_LIST; verb <= ACCESS_DELETE; verb <<= 1) {
                if ((verbs & verb) == 0)
                        continue;
                enum access_reach r = may_one(p, kind, verb);
                reach = r < reach ? r : reach;
        }
        return (verbs & ~(unsigned)ACCESS_EVERYTHING) != 0 ? ACCESS_NONE : reach;
}

/* ---- logins --------------------------------------------------------------------------------------------------- */

/* Calls each() for every login in the list, with templates expanded, until it returns true. */
static bool any_login(const struct access_user *p, const Cteleport__V1__RoleConditions *c, bool (*each)(void *ctx, struct str login), void *ctx)
{
        const Cteleport__V1__StringList *traits = p->record == NULL ? NULL : user_trait(p->record, STR("logins"));
        bool is_filled_in = false;

        for (size_t i = 0; c != NULL && i < c->n_logins; i++) {
                struct str login = str_of(c->logins[i]);

                if (!role_login_is_template(login)) {
                        if (each(ctx, login))
                                return true;
                        continue;
                }
                for (size_t j = 0; traits != NULL && j < traits->n_values && !is_filled_in; j++)
                        if (each(ctx, str_of(traits->values[j])))
                                return true;
                is_filled_in = true; /* another template in the list expands to the same logins */
        }
        return false;
}

static bool is_same(void *ctx, struct str login)
{
        const struct str *wanted = ctx;

        return str_equal(*wanted, login);
}

static bool names_login(const struct access_user *p, const Cteleport__V1__RoleConditions *c, struct str login)
{
        return name_is_login(login) && any_login(p, c, is_same, &login);
}

static const Cteleport__V1__Role *role_denying_login(const struct access_user *p, struct str login)
{
        for (size_t i = 0; i < p->role_count; i++)
                if (names_login(p, deny_of(p->roles[i]), login))
                        return p->roles[i];
        return NULL;
}

/* The logins collected so far: sorted, without duplicates. */
struct collection {
        const struct access_user *user;
        struct str *list;
        size_t count;
        bool is_full;
};

/* The index of the login, or the index at which to insert it. */
static size_t place_of(const struct collection *c, struct str login)
{
        size_t low = 0, high = c->count;

        while (low < high) {
                size_t middle = (low + high) / 2;

                if (str_compare(c->list[middle], login) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool collect(void *ctx, struct str login)
{
        struct collection *c = ctx;
        size_t at = place_of(c, login);

        if ((at < c->count && str_equal(c->list[at], login)) || !name_is_login(login) || role_denying_login(c->user, login) != NULL)
                return false;
        if (c->count == LIMIT_CERT_NAMES) {
                c->is_full = true;
                return true;
        }
        memmove(c->list + at + 1, c->list + at, (c->count - at) * sizeof *c->list);
        c->list[at] = login;
        c->count++;
        return false;
}

struct error *access_logins(const struct access_user *p, struct arena *a, struct str **ret, size_t *ret_count)
{
        struct collection all = { .user = p, .list = arena_alloc(a, LIMIT_CERT_NAMES * sizeof *all.list) };

        for (size_t i = 0; i < p->role_count && !all.is_full; i++)
                (void)any_login(p, allow_of(p->roles[i]), collect, &all);
        if (all.is_full)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the roles of user \"%.*s\" name more than the %d logins that one certificate may have",
                                            STR_ARG(p->name), LIMIT_CERT_NAMES),
                                  "an administrator can give the user fewer roles, or name fewer logins in the roles and in the user's trait \"logins\"");
        *ret = all.list;
        *ret_count = all.count;
        return NULL;
}

/* ---- resources by their labels ---------------------------------------------------------------------------------------------------------- */

static const Cteleport__V1__Role *role_denying(const struct access_user *p, enum role_labels of, const struct access_label *labels, size_t count)
{
        for (size_t i = 0; i < p->role_count; i++)
                if (labels_match(p, deny_of(p->roles[i]), of, labels, count, true))
                        return p->roles[i];
        return NULL;
}

static bool is_allowed(const struct access_user *p, enum role_labels of, const struct access_label *labels, size_t count)
{
        for (size_t i = 0; i < p->role_count; i++)
                if (labels_match(p, allow_of(p->roles[i]), of, labels, count, false))
                        return true;
        return false;
}

bool access_sees(const struct access_user *p, enum role_labels of, const struct access_label *labels, size_t label_count)
{
        return role_denying(p, of, labels, label_count) == NULL && is_allowed(p, of, labels, label_count);
}

static struct error *no_node(const struct access_user *p)
{
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "access denied: user %.*s has no role that reaches this node", STR_ARG(p->name)),
                          "the nodes that you can reach are listed by: tsh ls");
}

static struct error *no_login(const struct access_user *p, struct str login)
{
        AUTO_MEM char *shown = escaped(login);

        return error_hint(error_new(ERROR_PERMISSION_DENIED, "access denied: user %.*s may not log in to this node as '%s'", STR_ARG(p->name),
                                    shown),
                          "your logins are shown by: tsh status");
}

static struct error *denied_by(struct error *err, const Cteleport__V1__Role *role, const char *field)
{
        return error_because(err, error_new(ERROR_PERMISSION_DENIED, "denied by spec.deny.%s of role '%.*s'", field, STR_ARG(name_of(role))));
}

/* ---- options ------------------------------------------------------------------------------------------------------------ */

static bool is_strict(const Cteleport__V1__RoleOptions *o)
{
        const Cteleport__V1__RecordSession *r = o == NULL ? NULL : o->record_session;
        const char *mode = r == NULL ? NULL : r->ssh != NULL ? r->ssh : r->default_;

        return mode != NULL && strcmp(mode, "strict") == 0;
}

/* Reads a duration; false if it is missing or not positive. A duration beyond the range of struct duration is capped. */
static bool read_span(const Cteleport__V1__Duration *d, struct duration *ret)
{
        int64_t most = INT64_MAX / SECONDS(1).ns - 1;

        if (d == NULL || d->seconds < 0 || (d->seconds == 0 && d->nanos <= 0))
                return false;
        *ret = SECONDS(d->seconds > most ? most : d->seconds);
        ret->ns += d->nanos > 0 ? d->nanos : 0;
        return true;
}

/* Restrictions come from all roles of the user; permissions only from roles that grant this login. */
static void add_grants(const Cteleport__V1__Role *role, struct access_session *s)
{
        const Cteleport__V1__RoleOptions *o = options_of(role);

        s->port_forwarding = s->port_forwarding || o == NULL || !o->has_port_forwarding || o->port_forwarding;
        s->agent_forwarding = s->agent_forwarding || (o != NULL && o->has_forward_agent && o->forward_agent);
}

static void add_restrictions(const struct access_user *p, struct access_session *s)
{
        s->file_copy = true;
        for (size_t i = 0; i < p->role_count; i++) {
                const Cteleport__V1__RoleOptions *o = options_of(p->roles[i]);
                struct duration idle;

                if (is_strict(o))
                        s->record = ACCESS_RECORD_STRICT;
                if (o != NULL && o->has_ssh_file_copy && !o->ssh_file_copy)
                        s->file_copy = false;
                if (o != NULL && read_span(o->client_idle_timeout, &idle) && (s->idle_timeout.ns == 0 || idle.ns < s->idle_timeout.ns))
                        s->idle_timeout = idle;
        }
}

struct error *access_check_login(const struct access_user *p, const struct access_label *labels, size_t label_count,
                                 struct str login, struct access_session *ret)
{
        const Cteleport__V1__Role *denying = role_denying(p, ROLE_NODE_LABELS, labels, label_count);
        struct access_session session = { 0 };
        bool reaches = false, grants = false;

        if (denying != NULL)
                return denied_by(no_node(p), denying, role_labels_name(ROLE_NODE_LABELS));
        for (size_t i = 0; i < p->role_count; i++) {
                const Cteleport__V1__RoleConditions *allow = allow_of(p->roles[i]);

                if (!labels_match(p, allow, ROLE_NODE_LABELS, labels, label_count, false))
                        continue;
                reaches = true;
                /* One role must grant both: a role that allows root on test machines grants nothing on others. */
                if (!names_login(p, allow, login))
                        continue;
                grants = true;
                add_grants(p->roles[i], &session);
        }
        if (!reaches)
                return no_node(p);
        denying = role_denying_login(p, login);
        if (denying != NULL)
                return denied_by(no_login(p, login), denying, "logins");
        if (!grants)
                return no_login(p, login);
        add_restrictions(p, &session);
        *ret = session;
        return NULL;
}

static struct error *no_app(const struct access_user *p)
{
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "access denied: user %.*s has no role that reaches this application", STR_ARG(p->name)),
                          "the applications that you can reach are listed by: tsh apps ls");
}

struct error *access_check_app(const struct access_user *p, const struct access_label *labels, size_t label_count, struct access_session *ret)
{
        const Cteleport__V1__Role *denying = role_denying(p, ROLE_APP_LABELS, labels, label_count);
        struct access_session session = { 0 };

        if (denying != NULL)
                return denied_by(no_app(p), denying, role_labels_name(ROLE_APP_LABELS));
        if (!is_allowed(p, ROLE_APP_LABELS, labels, label_count))
                return no_app(p);
        add_restrictions(p, &session);
        *ret = session;
        return NULL;
}

struct access_session access_most(const struct access_user *p)
{
        struct access_session session = { 0 };

        for (size_t i = 0; i < p->role_count; i++)
                add_grants(p->roles[i], &session);
        add_restrictions(p, &session);
        return session;
}

struct duration access_max_ttl(const struct access_user *p, struct duration otherwise)
{
        struct duration shortest = { 0 }, ttl;

        for (size_t i = 0; i < p->role_count; i++) {
                const Cteleport__V1__RoleOptions *o = options_of(p->roles[i]);

                if (o != NULL && read_span(o->max_session_ttl, &ttl) && (shortest.ns == 0 || ttl.ns < shortest.ns))
                        shortest = ttl;
        }
        return shortest.ns == 0 ? otherwise : shortest;
}
