/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/access_role.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/regex.h"
#include "base/text.h"
#include "resource/head.h"
#include "resource/trait_template.h"

static const char *const versions[] = { "v7", "v6", "v5", "v4", "v3", NULL };
static const struct head_kind head = { "role", "a role", versions };

/* The resources of rules; `*` means all of them. */
static const char *const resources[] = { "token", "node", "app", "app_server", "user", "role", "lock", "event", "session", "instance", "cert_authority", "*" };
static const char *const verbs[] = { "list", "read", "create", "update", "delete", "*" };

/* Resources and verbs of Teleport: unsupported here, but not spelling mistakes. */
static const char foreign_resources[] =
        "access_graph access_graph_secret_authorized_key access_graph_secret_private_key access_graph_settings access_list "
        "access_list_member access_list_review access_monitoring access_monitoring_rule access_plugin_data access_request "
        "app_session assistant audit_query auth_connector auth_server authentication autoupdate_agent_rollout "
        "autoupdate_config autoupdate_version billing bot bot_instance cluster_alert cluster_audit_config "
        "cluster_auth_preference cluster_maintenance_config cluster_name cluster_networking_config connection_diagnostic "
        "connectors contact crown_jewel database_certificate db db_object db_object_import_rule db_server db_service device "
        "discovery_config download dynamic_windows_desktop external_audit_storage git_server github github_request "
        "global_notification headless_authentication health_check_config host_cert host_certs host_user identity_center "
        "identity_center_account identity_center_account_assignment identity_center_principal_assignment installer integration "
        "jwt kube_cluster kube_server kube_service kube_waiting_container license lock_v2 login_rule mfa_device namespace "
        "network_restrictions notification oidc oidc_request okta_assignment okta_import_rule plugin plugin_data "
        "plugin_static_credentials provision_token proxy recording relay_server remote_cluster saml saml_idp_service_provider "
        "saml_idp_session saml_request secret security_report security_report_state server_info session_recording_config "
        "session_tracker sigstore_policy snowflake_session spiffe_federation ssh_session static_host_user static_tokens "
        "trusted_cluster tunnel_connection ui_config usage user_group user_login_state user_task user_token vnet_config "
        "web_session web_token windows_desktop windows_desktop_service workload_identity workload_identity_x509_revocation";
static const char foreign_verbs[] = "readnosecrets rotate use create_enroll_token enroll activate transcript";

static bool is_listed(const char *words, struct str word)
{
        struct str rest = str_of(words);

        while (!str_is_empty(rest))
                if (str_equal(word, str_split(&rest, ' ')))
                        return true;
        return false;
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

bool name_is_role(struct str s)
{
        return name_is_token(s) && str_find_char(s, ':') == s.len && str_find_char(s, '=') == s.len;
}

/* "{{internal.logins}}", with or without blanks inside the braces. */
bool role_login_is_template(struct str login)
{
        if (!str_starts_with(login, STR("{{")) || !str_ends_with(login, STR("}}")) || login.len < 4)
                return false;
        struct str inner = str_trim(str_slice(login, 2, login.len - 4));
        return str_equal(inner, STR("internal.logins")) || str_equal(inner, STR("external.logins"));
}

bool role_where_is_own(struct str where)
{
        struct str wanted = STR(ROLE_WHERE_OWN);
        size_t w = 0, i = 0;

        /* The template text has no blanks of its own, so blanks are skipped everywhere. */
        for (;;) {
                while (i < where.len && where.ptr[i] == ' ')
                        i++;
                while (w < wanted.len && wanted.ptr[w] == ' ')
                        w++;
                if (i == where.len || w == wanted.len)
                        return i == where.len && w == wanted.len;
                if (where.ptr[i++] != wanted.ptr[w++])
                        return false;
        }
}

/* ---- options ---------------------------------------------------------------------------------------------------------- */

static struct error *check_span(const Cteleport__V1__Duration *d, int64_t most, const char *field)
{
        if (d == NULL || (d->seconds >= 0 && d->nanos >= 0 && d->seconds <= most))
                return NULL;
        return error_about(error_new(ERROR_INVALID_ARGUMENT, "spec.options.%s must be between 0s and %lldh", field, (long long)(most / 3600)),
                           "spec.options.%s", field);
}

static struct error *check_record(const char *mode, const char *field)
{
        AUTO_MEM char *shown = escaped(str_of(mode));

        if (mode == NULL || strcmp(mode, "strict") == 0 || strcmp(mode, "best_effort") == 0)
                return NULL;
        return error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT, "spec.options.record_session.%s '%s' is not known", field, shown),
                                      "write best_effort or strict"),
                           "spec.options.record_session.%s", field);
}

static struct error *check_options(const Cteleport__V1__RoleOptions *o)
{
        if (o == NULL)
                return NULL;
        struct error *err = check_span(o->max_session_ttl, LIMIT_USER_CERT_SECONDS, "max_session_ttl");
        err = error_also(err, check_span(o->client_idle_timeout, LIMIT_ROLE_IDLE_SECONDS, "client_idle_timeout"));
        if (o->has_require_session_mfa && o->require_session_mfa)
                err = error_also(err, error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                                                       "spec.options.require_session_mfa is not supported: there "
                                                                       "are no second factors per session"),
                                                             "leave it out; the second factor is required at login"),
                                                  "spec.options.require_session_mfa"));
        if (o->record_session == NULL)
                return err;
        err = error_also(err, check_record(o->record_session->default_, "default"));
        return error_also(err, check_record(o->record_session->ssh, "ssh"));
}

/* ---- conditions --------------------------------------------------------------------------------------------------------- */

static struct error *check_login(struct str login)
{
        AUTO_MEM char *shown = escaped(login);

        if (name_is_login(login) || role_login_is_template(login))
                return NULL;
        if (str_equal(login, STR("*")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the login '*' is not allowed: it would be every account of a node"),
                                  "list the logins, or write \"{{internal.logins}}\" for those of the user");
        if (str_contains(login, STR("{{")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the template '%s' is not supported", shown),
                                  "\"{{internal.logins}}\", alone, stands for the logins of the user");
        return name_check_login(login);
}

static bool is_plain(struct str s)
{
        return str_find_char(s, '*') == s.len && !str_starts_with(s, STR("^"));
}

/* Values of traits are compared as they are, so a template is no part of a glob or of a regular expression. */
static struct error *check_label_template(struct str value, const char *shown)
{
        struct trait_template t;

        if (trait_template_split(value, &t) && is_plain(t.before) && is_plain(t.after))
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the template '%s' is not supported in labels", shown),
                          "write one {{internal.TRAIT}} or {{external.TRAIT}}; text before and after it is compared as it is, without * and ^");
}

static struct error *check_pattern(struct str pattern)
{
        AUTO_MEM char *shown = escaped(pattern);
        struct regex re;

        if (pattern.len > LIMIT_LABEL_PATTERN)
                return error_new(ERROR_INVALID_ARGUMENT, "a value of a label is longer than %d characters", LIMIT_LABEL_PATTERN);
        if (str_contains(pattern, STR("{{")))
                return check_label_template(pattern, shown);
        if (!str_starts_with(pattern, STR("^")))
                return NULL;
        if (!str_ends_with(pattern, STR("$")) || pattern.len < 2)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' begins like a regular expression but does not end like one", shown),
                                  "a regular expression begins with ^ and ends with $");
        return regex_compile(str_slice(pattern, 1, pattern.len - 2), &re);
}

static bool is_just_a_star(const Cteleport__V1__Strings *values)
{
        return values != NULL && values->n_values == 1 && strcmp(values->values[0], "*") == 0;
}

/* What the labels of each selector are about, for errors. */
static const struct {
        const char *name, *thing;
} selectors[ROLE_LABELS] = { [ROLE_NODE_LABELS] = { "node_labels", "node" }, [ROLE_APP_LABELS] = { "app_labels", "application" } };

const char *role_labels_name(enum role_labels of)
{
        return selectors[of].name;
}

size_t role_label_count(const Cteleport__V1__RoleConditions *conditions, enum role_labels of)
{
        if (conditions == NULL)
                return 0;
        return of == ROLE_APP_LABELS ? conditions->n_app_labels : conditions->n_node_labels;
}

struct role_label role_label_at(const Cteleport__V1__RoleConditions *conditions, enum role_labels of, size_t index)
{
        if (of == ROLE_APP_LABELS)
                return (struct role_label){ conditions->app_labels[index]->key, conditions->app_labels[index]->value };
        return (struct role_label){ conditions->node_labels[index]->key, conditions->node_labels[index]->value };
}

static struct error *check_label(const Cteleport__V1__RoleConditions *c, enum role_labels of, size_t index)
{
        const struct role_label pair = role_label_at(c, of, index);
        const char *thing = selectors[of].thing;
        struct str key = str_of(pair.key);

        if (str_is_empty(key) || key.len > LIMIT_LABEL_KEY)
                return error_new(ERROR_INVALID_ARGUMENT, "the name of a label is empty or longer than %d characters", LIMIT_LABEL_KEY);
        if (str_contains(key, STR("{{"))) {
                AUTO_MEM char *shown = escaped(key);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the name of a label is the template '%s', which is not supported", shown),
                                  "write the name itself; values may have templates");
        }
        if (str_equal(key, STR("*")) && (role_label_count(c, of) > 1 || !is_just_a_star(pair.values)))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the label '*' has no other meaning than every %s", thing),
                                  "write '*': '*' alone for every %s, or name the labels", thing);
        if (pair.values == NULL || pair.values->n_values == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a label has no values and would match nothing"), "write '*' for any value");
        if (pair.values->n_values > LIMIT_ROLE_ITEMS)
                return error_new(ERROR_INVALID_ARGUMENT, "a label has more than %d values", LIMIT_ROLE_ITEMS);
        struct error *err = NULL;
        for (size_t i = 0; i < pair.values->n_values; i++)
                err = error_also(err, check_pattern(str_of(pair.values->values[i])));
        return err;
}

struct error *role_labels_check(const Cteleport__V1__RoleConditions *conditions, enum role_labels of)
{
        struct error *err = NULL;

        for (size_t i = 0; i < role_label_count(conditions, of); i++)
                err = error_also(err, check_label(conditions, of, i));
        return err;
}

static bool has_word(char *const *words, size_t count, const char *word)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(words[i], word) == 0)
                        return true;
        return false;
}

static bool is_resource_here(struct str word)
{
        for (size_t i = 0; i < ARRAY_LEN(resources); i++)
                if (str_equal(word, str_of(resources[i])))
                        return true;
        return false;
}

/* Whether all resources of the rule exist only in Teleport, not in this release: the rule has no effect. */
static bool is_about_nothing_here(const Cteleport__V1__RoleRule *rule)
{
        for (size_t i = 0; i < rule->n_resources; i++)
                if (is_resource_here(str_of(rule->resources[i])))
                        return false;
        return true;
}

/*
 * Whether a verb of Teleport has no effect here. `readnosecrets` of a supported resource would have one, unless
 * the rule also has `read`; the other verbs belong to unsupported resources.
 */
static bool is_verb_without_effect(struct str verb, const Cteleport__V1__RoleRule *rule)
{
        return is_listed(foreign_verbs, verb) &&
               (!str_equal(verb, STR("readnosecrets")) || is_about_nothing_here(rule) || has_word(rule->verbs, rule->n_verbs, "read") ||
                has_word(rule->verbs, rule->n_verbs, "*"));
}

static struct error *check_word(struct str word, const char *const *known, size_t count, const char *foreign, const char *what)
{
        struct nearest nearest = nearest_to(word, word.len / 3 + 1);
        AUTO_MEM char *shown = escaped(word);

        for (size_t i = 0; i < count; i++) {
                if (str_equal(word, str_of(known[i])))
                        return NULL;
                nearest_offer(&nearest, known[i]);
        }
        if (is_listed(foreign, word))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is a %s of Teleport that this release does not have", shown, what),
                                  "leave it out");
        struct error *err = error_new(ERROR_INVALID_ARGUMENT, "unknown %s '%s'", what, shown);
        if (nearest.word != NULL && strcmp(nearest.word, "*") != 0)
                return error_hint(err, "did you mean '%s'", nearest.word);
        AUTO(buf) list = BUF_MAX(4 * KiB);
        for (size_t i = 0; i < count; i++)
                buf_printf(&list, "%s%s", i == 0 ? "" : i + 1 == count ? " and " : ", ", known[i]);
        return error_hint(err, "the %ss are %s", what, buf_c(&list));
}

static struct error *check_where(const Cteleport__V1__RoleRule *rule, bool is_deny)
{
        AUTO_MEM char *shown = escaped(str_of(rule->where));

        if (rule->where == NULL)
                return NULL;
        if (*rule->where == '\0') /* would extend the rule to the resources of all users */
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "where has no value"), "give it a value, or leave the key out");
        if (is_deny)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a rule that denies cannot have a where"), "leave it out, or deny it all");
        if (!role_where_is_own(str_of(rule->where)))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the condition '%s' is not supported", shown),
                                  "the only one is " ROLE_WHERE_OWN ", on session");
        if (rule->n_resources != 1 || strcmp(rule->resources[0], "session") != 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the condition is only for a rule about session"),
                                  "write a rule of its own with resources: [session]");
        return NULL;
}

/* Resources that have another name here. A rule that denies one must not be loaded as a rule without effect. */
static struct error *check_denied(const char *resource)
{
        static const struct {
                const char *theirs, *ours;
        } names[] = { { "recording", "session" }, { "session_tracker", "session" }, { "ssh_session", "session" }, { "provision_token", "token" },
                      { "static_tokens", "token" }, { "lock_v2", "lock" } };

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (strcmp(resource, names[i].theirs) == 0)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is a resource of Teleport that is called '%s' here", resource, names[i].ours),
                                          "deny '%s', or leave it out", names[i].ours);
        return NULL;
}

static struct error *check_rule(const Cteleport__V1__RoleRule *rule, bool is_deny)
{
        if (rule->n_resources == 0 || rule->n_verbs == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a rule needs resources and verbs"),
                                  "write, for example, resources: [node] and verbs: [list, read]");
        if (rule->n_resources > LIMIT_ROLE_ITEMS || rule->n_verbs > LIMIT_ROLE_ITEMS)
                return error_new(ERROR_INVALID_ARGUMENT, "a rule has more than %d resources or verbs", LIMIT_ROLE_ITEMS);
        struct error *err = NULL;
        for (size_t i = 0; i < rule->n_resources; i++) {
                if (is_deny)
                        err = error_also(err, error_about(check_denied(rule->resources[i]), "resources[%zu]", i + 1));
                if (is_listed(foreign_resources, str_of(rule->resources[i])))
                        continue;
                err = error_also(err, error_about(check_word(str_of(rule->resources[i]), resources, ARRAY_LEN(resources), foreign_resources,
                                                             "resource"),
                                                  "resources[%zu]", i + 1));
        }
        for (size_t i = 0; i < rule->n_verbs; i++) {
                if (is_verb_without_effect(str_of(rule->verbs[i]), rule))
                        continue;
                err = error_also(err, error_about(check_word(str_of(rule->verbs[i]), verbs, ARRAY_LEN(verbs), foreign_verbs, "verb"),
                                                  "verbs[%zu]", i + 1));
        }
        return is_about_nothing_here(rule) ? err : error_also(err, error_about(check_where(rule, is_deny), "where"));
}

/* Prefixes an error of a part of the role with the path of that part. */
static struct error *within(struct error *err, const char *side, const char *list, size_t index)
{
        for (struct error *e = err; e != NULL; e = e->also) {
                char *below = e->field;

                e->field = below == NULL ? NULL : mem_printf("spec.%s.%s[%zu].%s", side, list, index, below);
                free(below);
        }
        return error_about(err, "spec.%s.%s[%zu]", side, list, index);
}

static struct error *check_conditions(const Cteleport__V1__RoleConditions *c, const char *side, bool is_deny)
{
        if (c == NULL)
                return NULL;
        if (c->n_logins > LIMIT_ROLE_ITEMS || c->n_node_labels > LIMIT_ROLE_ITEMS || c->n_app_labels > LIMIT_ROLE_ITEMS || c->n_rules > LIMIT_ROLE_ITEMS)
                return error_about(error_new(ERROR_INVALID_ARGUMENT, "spec.%s has more than %d logins, labels or rules", side, LIMIT_ROLE_ITEMS),
                                   "spec.%s", side);
        struct error *err = NULL;
        for (size_t i = 0; i < c->n_logins; i++)
                err = error_also(err, within(check_login(str_of(c->logins[i])), side, "logins", i + 1));
        for (enum role_labels of = 0; of < ROLE_LABELS; of++)
                for (size_t i = 0; i < role_label_count(c, of); i++)
                        err = error_also(err, error_about(check_label(c, of, i), "spec.%s.%s.%s", side, role_labels_name(of), role_label_at(c, of, i).key));
        for (size_t i = 0; i < c->n_rules; i++)
                err = error_also(err, within(check_rule(c->rules[i], is_deny), side, "rules", i + 1));
        return err;
}

/* ---- the whole role -------------------------------------------------------------------------------------------------------- */

static struct error *check_name(const Cteleport__V1__Role *role)
{
        struct str name = role->metadata == NULL ? STR("") : str_of(role->metadata->name);
        AUTO_MEM char *shown = escaped(name);

        if (name.len == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a name is required for a role"), "set metadata.name");
        if (!name_is_role(name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "metadata.name '%s' is not a valid name of a role", shown),
                                  "use letters, digits and ._-+@ only, at most %d characters, not beginning with '-'", LIMIT_NAME);
        if (role->metadata->expires != NULL)
                return error_hint(error_about(error_new(ERROR_INVALID_ARGUMENT, "a role does not expire"), "metadata.expires"),
                                  "leave metadata.expires out; users and locks may expire");
        return NULL;
}

/* Adds a word of Teleport to the list, if it is new. */
static void note_foreign(struct buf *list, const char *word)
{
        AUTO_MEM char *entry = mem_printf(" %s,", word), *before = mem_printf(" %s,", list->len == 0 ? "" : buf_c(list));

        if (strstr(before, entry) == NULL)
                buf_printf(list, "%s%s", list->len == 0 ? "" : ", ", word);
}

static void note_foreign_words(const Cteleport__V1__RoleConditions *c, struct buf *list)
{
        for (size_t i = 0; c != NULL && i < c->n_rules; i++) {
                for (size_t j = 0; j < c->rules[i]->n_resources; j++)
                        if (is_listed(foreign_resources, str_of(c->rules[i]->resources[j])))
                                note_foreign(list, c->rules[i]->resources[j]);
                for (size_t j = 0; j < c->rules[i]->n_verbs; j++)
                        if (is_listed(foreign_verbs, str_of(c->rules[i]->verbs[j])))
                                note_foreign(list, c->rules[i]->verbs[j]);
        }
}

/* The preset roles that Teleport prints are accepted; one warning names the parts that do not exist here. */
static void warn_of_foreign_words(const Cteleport__V1__Role *role, struct arena *arena, struct token_warnings *warnings)
{
        AUTO(buf) list = BUF_MAX(LIMIT_YAML_FILE);

        note_foreign_words(role->spec->allow, &list);
        note_foreign_words(role->spec->deny, &list);
        if (list.len > 0)
                token_warn(warnings, arena, "resources and verbs of Teleport in the rules that do not exist here have no effect: %s", buf_c(&list));
}

/* In Teleport a role of v3 without labels grants access to every node; here missing labels grant nothing. */
static void warn_of_old_version(const Cteleport__V1__Role *role, struct arena *arena, struct token_warnings *warnings)
{
        if (strcmp(role->version, "v3") == 0 && (role->spec->allow == NULL || role->spec->allow->n_node_labels == 0))
                token_warn(warnings, arena, "the role has no spec.allow.node_labels and so reaches no node, whatever its version; for every "
                                            "node write node_labels: {'*': '*'}");
}

struct error *access_role_check(Cteleport__V1__Role *role, struct arena *arena, struct token_warnings *warnings)
{
        TRY(head_check(&head, &role->kind, &role->sub_kind, &role->version));
        struct error *err = error_about(check_name(role), "metadata.name");
        if (role->spec == NULL)
                return error_also(err, error_hint(error_new(ERROR_INVALID_ARGUMENT, "the role has no spec"),
                                                  "a role needs spec.allow to allow anything"));
        err = error_also(err, check_options(role->spec->options));
        err = error_also(err, check_conditions(role->spec->allow, "allow", false));
        err = error_also(err, check_conditions(role->spec->deny, "deny", true));
        if (err != NULL)
                return err;
        warn_of_old_version(role, arena, warnings);
        warn_of_foreign_words(role, arena, warnings);
        return NULL;
}
