/* SPDX-License-Identifier: Apache-2.0 */
#include "access/access.h"
#include "base/limits.h"
#include "resource/access_role.h"

#define READ "list", "read"
#define MANAGE "list", "read", "create", "update", "delete"

enum { RULES_MAX = 10, WORDS_MAX = 6 };

struct preset_rule {
        const char *resource;
        const char *verbs[WORDS_MAX]; /* terminated by NULL */
        const char *where;            /* NULL: everything */
};

/* The roles that exist in every cluster. */
static const struct preset {
        const char *name, *description;
        bool reaches_all; /* grants all nodes, with the logins of the user, and all applications */
        bool may_forward;
        struct preset_rule rules[RULES_MAX]; /* terminated by a row without resource */
} presets[] = {
        { "access",
          "Reach every application, and every node as one of the user's own logins",
          true,
          true,
          { { "event", { READ }, NULL }, { "session", { READ }, ROLE_WHERE_OWN } } },
        { "editor",
          "Manage users, roles, locks, join tokens and nodes",
          false,
          true,
          { { "user", { MANAGE }, NULL },
            { "role", { MANAGE }, NULL },
            { "lock", { MANAGE }, NULL },
            { "token", { MANAGE }, NULL },
            { "node", { MANAGE }, NULL },
            { "instance", { MANAGE }, NULL },
            { "cert_authority", { READ }, NULL } } },
        { "auditor", "Read the audit log and the recordings of all sessions", false, false, { { "session", { READ }, NULL }, { "event", { READ }, NULL } } },
};

const char *const access_preset_names[] = { "access", "editor", "auditor", NULL };

static Cteleport__V1__RoleRule *rule_of(struct arena *a, const struct preset_rule *row)
{
        Cteleport__V1__RoleRule *rule = arena_alloc(a, sizeof *rule);

        cteleport__v1__role_rule__init(rule);
        rule->resources = arena_alloc(a, sizeof *rule->resources);
        rule->resources[rule->n_resources++] = unconst(row->resource);
        rule->verbs = arena_alloc(a, WORDS_MAX * sizeof *rule->verbs);
        for (; row->verbs[rule->n_verbs] != NULL; rule->n_verbs++)
                rule->verbs[rule->n_verbs] = unconst(row->verbs[rule->n_verbs]);
        rule->where = unconst(row->where);
        return rule;
}

static void reach_all(struct arena *a, Cteleport__V1__RoleConditions *allow)
{
        Cteleport__V1__RoleConditions__NodeLabelsEntry *nodes = arena_alloc(a, sizeof *nodes);
        Cteleport__V1__RoleConditions__AppLabelsEntry *apps = arena_alloc(a, sizeof *apps);
        Cteleport__V1__Strings *values = arena_alloc(a, sizeof *values);

        cteleport__v1__role_conditions__node_labels_entry__init(nodes);
        cteleport__v1__role_conditions__app_labels_entry__init(apps);
        cteleport__v1__strings__init(values);
        values->values = arena_alloc(a, sizeof *values->values);
        values->values[values->n_values++] = unconst("*");
        nodes->key = apps->key = unconst("*");
        nodes->value = apps->value = values;
        allow->node_labels = arena_alloc(a, sizeof *allow->node_labels);
        allow->node_labels[allow->n_node_labels++] = nodes;
        allow->app_labels = arena_alloc(a, sizeof *allow->app_labels);
        allow->app_labels[allow->n_app_labels++] = apps;
        allow->logins = arena_alloc(a, sizeof *allow->logins);
        allow->logins[allow->n_logins++] = unconst("{{internal.logins}}");
}

static Cteleport__V1__RoleOptions *options_of(struct arena *a, const struct preset *preset)
{
        Cteleport__V1__RoleOptions *options = arena_alloc(a, sizeof *options);
        Cteleport__V1__Duration *ttl = arena_alloc(a, sizeof *ttl);

        cteleport__v1__role_options__init(options);
        cteleport__v1__duration__init(ttl);
        ttl->seconds = LIMIT_USER_CERT_SECONDS;
        options->max_session_ttl = ttl;
        options->has_forward_agent = options->has_port_forwarding = true;
        options->forward_agent = options->port_forwarding = preset->may_forward;
        return options;
}

static Cteleport__V1__Role *role_of(struct arena *a, const struct preset *preset)
{
        Cteleport__V1__Role *role = arena_alloc(a, sizeof *role);
        Cteleport__V1__RoleSpec *spec = arena_alloc(a, sizeof *spec);
        Cteleport__V1__RoleConditions *allow = arena_alloc(a, sizeof *allow);
        Cteleport__V1__Metadata *metadata = arena_alloc(a, sizeof *metadata);

        cteleport__v1__role__init(role);
        cteleport__v1__role_spec__init(spec);
        cteleport__v1__role_conditions__init(allow);
        cteleport__v1__metadata__init(metadata);
        metadata->name = unconst(preset->name);
        metadata->description = unconst(preset->description);
        if (preset->reaches_all)
                reach_all(a, allow);
        allow->rules = arena_alloc(a, RULES_MAX * sizeof *allow->rules);
        for (; preset->rules[allow->n_rules].resource != NULL; allow->n_rules++)
                allow->rules[allow->n_rules] = rule_of(a, &preset->rules[allow->n_rules]);
        spec->options = options_of(a, preset);
        spec->allow = allow;
        role->kind = unconst("role");
        role->version = unconst("v7");
        role->metadata = metadata;
        role->spec = spec;
        return role;
}

Cteleport__V1__Role *access_preset(struct arena *a, struct str name)
{
        for (size_t i = 0; i < ARRAY_LEN(presets); i++)
                if (str_equal(name, str_of(presets[i].name)))
                        return role_of(a, &presets[i]);
        return NULL;
}
