/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/access_role.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "resource/lock.h"
#include "resource/user.h"
#include "schema/schema.h"

enum { ARENA_CAP = 8 * MiB };

static struct error *check(void *ctx, ProtobufCMessage *message, int line)
{
        (void)line;
        if (message->descriptor == &cteleport__v1__role__descriptor)
                return access_role_check((Cteleport__V1__Role *)message, ctx, NULL);
        if (message->descriptor == &cteleport__v1__user__descriptor)
                return user_check((Cteleport__V1__User *)message);
        return lock_check((Cteleport__V1__Lock *)message);
}

/* As `tctl create` reads a file. */
static struct error *create(struct arena *a, const char *yaml)
{
        static const struct schema_kind kinds[] = {
                { "role", &cteleport__v1__role__descriptor },
                { "user", &cteleport__v1__user__descriptor },
                { "lock", &cteleport__v1__lock__descriptor },
                { 0 },
        };

        return schema_load_stream(a, "x.yaml", str_of(yaml), kinds, NULL, check, a);
}

#define ROLE "kind: role\nversion: v7\nmetadata: {name: r}\nspec:\n"
#define ALLOW ROLE "  allow:\n"
#define USER "kind: user\nversion: v2\nmetadata: {name: ann}\nspec:\n"
#define LOCK "kind: lock\nversion: v2\nmetadata: {name: l}\nspec:\n"

static const struct {
        const char *name, *yaml;
} good[] = {
        { "a role of a guide", ROLE "  options: {max_session_ttl: 8h, forward_agent: true, port_forwarding: no, client_idle_timeout: 30m, "
                                    "ssh_file_copy: yes, require_session_mfa: no, record_session: {default: best_effort, ssh: strict}}\n"
                                    "  allow:\n"
                                    "    logins: ['{{internal.logins}}', root, ec2-user]\n"
                                    "    node_labels: {env: [prod, test], team: '*', name: '^web-[0-9]+$'}\n"
                                    "    rules:\n"
                                    "    - resources: [session]\n"
                                    "      verbs: [list, read]\n"
                                    "      where: contains(session.participants, user.metadata.name)\n"
                                    "    - resources: ['*']\n"
                                    "      verbs: ['*']\n"
                                    "  deny:\n"
                                    "    logins: [deploy]\n"
                                    "    node_labels: {'*': '*'}\n" },
        { "an empty role", "kind: role\nmetadata: {name: r}\nspec: {}\n" },
        { "the oldest version", "kind: role\nversion: v3\nmetadata: {name: r}\nspec: {allow: {node_labels: {'*': '*'}}}\n" },
        { "sessions never wait", ROLE "  options: {client_idle_timeout: 0s}\n" },
        { "never, in Teleport's word", ROLE "  options: {client_idle_timeout: never}\n" },
        { "what is so anyway", ROLE "  options: {disconnect_expired_cert: no, lock: strict, max_sessions: 0}\n" },
        { "options as Teleport prints them", ROLE "  options: {require_session_mfa: 0, create_host_user_mode: 0, lock: '', device_trust_mode: '', mfa_verification_interval: 0s, "
                                                  "ssh_port_forwarding: {remote: {enabled: true}, local: {enabled: true}}}\n" },
        { "empty conditions", ROLE "  allow: {}\n  deny: {logins: [], node_labels: {}, app_labels_expression: ''}\n" },
        { "a single login", ALLOW "    logins: root\n" },
        { "a user of a guide", USER "  roles: [access, editor]\n  traits: {logins: [root, ubuntu], db_names: null, kubernetes_groups: ''}\n" },
        { "a user with one role and login", USER "  roles: access\n  traits: {logins: root}\n" },
        { "a user called by e-mail", "kind: user\nmetadata: {name: ann+x@example.com}\nspec: {roles: [access]}\n" },
        { "a lock of a user", LOCK "  target: {user: ann}\n  message: back on Monday\n  expires: '2030-01-01T00:00:00Z'\n" },
        { "a lock without a name", "kind: lock\nspec: {target: {role: access}}\n" },
#define ARN(arn) { "a lock of " arn, LOCK "  target: {join_arn: '" arn "'}\n" }
        ARN("arn:aws:sts::123456789012:assumed-role/web"),
        ARN("arn:aws:sts::123456789012:assumed-role/web/i-0123456789abcdef0"),
        ARN("arn:aws:sts::123456789012:assumed-role/web/*"),
        ARN("arn:aws:sts::123456789012:federated-user/ann"),
        ARN("arn:aws-cn:iam::123456789012:user/path/ann"),
        ARN("arn:aws:iam::123456789012:role/path/web"),
        ARN("arn:aws:iam::123456789012:root"),
        ARN("*:assumed-role/web-?/*"),
        { "a lock of a node by ID", LOCK "  target: {node: 3f2c0a52-7d3c-4c5e-9b0e-0123456789ab}\n" },
};

static void accepts_the_roles_of_guides(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good); i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                AUTO_PTR(error) err = create(a, good[i].yaml);

                print_message("  %s\n", good[i].name);
                if (err != NULL)
                        error_print(err);
                assert_null(err);
        }
}

static const struct {
        const char *yaml, *what, *hint; /* hint NULL: not checked */
} bad[] = {
        { "kind: role\nversion: v8\nmetadata: {name: r}\nspec: {}\n", "x.yaml:2:10: version 'v8' of roles is not supported", "write version: v7" },
        { "kind: role\nmetadata: {name: r}\n", "x.yaml:1:1: the role has no spec", NULL },
        { "kind: role\nspec: {}\n", "x.yaml:1:1: a name is required for a role", "set metadata.name" },
        { "kind: role\nmetadata: {name: 'a b'}\nspec: {}\n", "x.yaml:2:18: metadata.name 'a b' is not a valid name of a role", NULL },
        { "kind: role\nmetadata: {name: a:b}\nspec: {}\n", "x.yaml:2:18: metadata.name 'a:b' is not a valid name of a role", NULL },
        { "kind: role\nmetadata: {name: r, expires: '2030-01-01T00:00:00Z'}\nspec: {}\n", "x.yaml:2:30: a role does not expire", NULL },
        { ROLE "  options: {forward_agents: yes}\n", "x.yaml:5:13: unknown key 'forward_agents' in spec.options", "did you mean 'forward_agent'" },
        { ROLE "  options: {permit_x11_forwarding: yes}\n",
          "x.yaml:5:13: 'spec.options.permit_x11_forwarding' is a key of Teleport that this release does not have, and its value would change something", "leave it out: X11 is not forwarded" },
        { ROLE "  options: {require_session_mfa: yes}\n",
          "x.yaml:5:34: spec.options.require_session_mfa is not supported: there are no second factors per session",
          "leave it out; the second factor is required at login" },
        { ROLE "  options: {require_session_mfa: hardware_key}\n", "x.yaml:5:34: spec.options.require_session_mfa must be yes or no, not 'hardware_key'", NULL },
        { ROLE "  options: {ssh_port_forwarding: {remote: {enabled: false}, local: {enabled: false}}}\n",
          "x.yaml:5:13: 'spec.options.ssh_port_forwarding' is a key of Teleport that this release does not have, and its value would change something",
          "write port_forwarding: no (or yes) instead" },
        { ROLE "  options: {ssh_port_forwarding: {remote: {enabled: true}, local: {enabled: false}}}\n",
          "x.yaml:5:13: 'spec.options.ssh_port_forwarding' is a key of Teleport that this release does not have, and its value would change something",
          "write port_forwarding: no (or yes) instead" },
        { ROLE "  options: {max_session_ttl: 31h}\n", "x.yaml:5:30: spec.options.max_session_ttl must be between 0s and 30h", NULL },
        { ROLE "  options: {max_session_ttl: soon}\n", "x.yaml:5:30: spec.options.max_session_ttl must be a duration like 1h30m, 10s or 500ms, not 'soon'", NULL },
        { ROLE "  options: {record_session: {ssh: maybe}}\n", "x.yaml:5:35: spec.options.record_session.ssh 'maybe' is not known", "write best_effort or strict" },
        { ALLOW "    logins: ['*']\n", "x.yaml:6:14: the login '*' is not allowed: it would be every account of a node", NULL },
        { ALLOW "    logins: [root, '-oProxyCommand=x']\n", "x.yaml:6:20: the login '-oProxyCommand=x' is not a name of an account", NULL },
        { ALLOW "    logins: [\"root\\n\"]\n", "x.yaml:6:14: the login 'root\\n' is not a name of an account", NULL },
        { ALLOW "    logins: ['']\n", "x.yaml:6:14: the login '' is not a name of an account", NULL },
        { ALLOW "    logins: ['{{external.email}}']\n", "x.yaml:6:14: the template '{{external.email}}' is not supported", NULL },
        { ALLOW "    logins: ['x-{{internal.logins}}']\n", "x.yaml:6:14: the template 'x-{{internal.logins}}' is not supported", NULL },
        { ALLOW "    rules: [{resources: [session], verbs: [read], where: }]\n", "x.yaml:6:58: spec.allow.rules[1].where has no value",
          "give it a value, or leave the key out" },
        { ALLOW "    rules: [{resources: [session], verbs: [read], where: ''}]\n", "x.yaml:6:58: spec.allow.rules[1].where has no value", NULL },
        { ALLOW "    node_labels: {'*': prod}\n", "x.yaml:6:24: the label '*' has no other meaning than every node", NULL },
        { ALLOW "    node_labels: {'*': '*', env: prod}\n", "x.yaml:6:24: the label '*' has no other meaning than every node", NULL },
        { ALLOW "    node_labels: {env: []}\n", "x.yaml:6:24: a label has no values and would match nothing", "write '*' for any value" },
        { ALLOW "    node_labels: {env: '^(prod$'}\n", "x.yaml:6:24: the regular expression '(prod' has a ( without )", NULL },
        { ALLOW "    node_labels: {env: '^prod'}\n", "x.yaml:6:24: '^prod' begins like a regular expression but does not end like one", NULL },
        { ALLOW "    node_labels: {env: '{{user.env}}'}\n", "x.yaml:6:24: the template '{{user.env}}' is not supported in labels", NULL },
        { ALLOW "    app_labels: {env: '{{external.env}}*'}\n", "x.yaml:6:23: the template '{{external.env}}*' is not supported in labels",
          "write one {{internal.TRAIT}} or {{external.TRAIT}}; text before and after it is compared as it is, without * and ^" },
        { ALLOW "    app_labels: {env: '^{{external.env}}$'}\n", "x.yaml:6:23: the template '^{{external.env}}$' is not supported in labels", NULL },
        { ROLE "  deny:\n    app_labels: {'{{external.team}}': prod}\n", "x.yaml:6:17: the name of a label is the template '{{external.team}}', which is not supported",
          "write the name itself; values may have templates" },
        { ALLOW "    node_labels: {env: {a: b}}\n", "x.yaml:6:24: spec.allow.node_labels.env must be text or a list of texts, not a mapping", NULL },
        { ALLOW "    node_labels: [env]\n", "x.yaml:6:18: spec.allow.node_labels must be a mapping of keys to values, not a list", NULL },
        { ROLE "  deny:\n    app_labels_expression: 'labels[\"env\"] == \"prod\"'\n",
          "x.yaml:6:5: 'spec.deny.app_labels_expression' is a key of Teleport that this release does not have, and its value would change something",
          "write it as node_labels or app_labels: keys with values, globs or regular expressions" },
        { ALLOW "    require_session_join: [{name: x}]\n", "x.yaml:6:5: 'spec.allow.require_session_join' is a key of Teleport that this release does not have, and its value would change something", "leave it out: sessions are not joined" },
        { ALLOW "    rules: [{resources: [token]}]\n", "x.yaml:6:13: a rule needs resources and verbs", NULL },
        { ALLOW "    rules: [{resources: [tokens], verbs: [read]}]\n", "x.yaml:6:26: unknown resource 'tokens'", "did you mean 'token'" },
        { ALLOW "    rules: [{resources: [dashboards, saml], verbs: [rotat]}]\n",
          "x.yaml has 2 mistakes:\n"
          "  x.yaml:6:26: unknown resource 'dashboards'; the resources are token, node, app, app_server, user, role, lock, event, session, "
          "instance, cert_authority and *\n"
          "  x.yaml:6:53: unknown verb 'rotat'; the verbs are list, read, create, update, delete and *", NULL },
        { ROLE "  options: {max_session_ttl: 31h, record_session: {default: x, ssh: z}}\n  allow: {logins: ['*', 'a b'], node_labels: {env: '^a'}}\n"
               "---\n" USER "  roles: [a, a]\n  traits: {logins: ['a b']}\n---\n" LOCK "  target: {user: 'a b', role: 'c d'}\n",
          "x.yaml has 10 mistakes:\n"
          "  x.yaml:5:30: spec.options.max_session_ttl must be between 0s and 30h\n"
          "  x.yaml:5:61: spec.options.record_session.default 'x' is not known; write best_effort or strict\n"
          "  x.yaml:5:69: spec.options.record_session.ssh 'z' is not known; write best_effort or strict\n"
          "  x.yaml:6:20: the login '*' is not allowed: it would be every account of a node; list the logins, or write "
          "\"{{internal.logins}}\" for those of the user\n"
          "  x.yaml:6:25: the login 'a b' is not a name of an account; use letters, digits and '._-@', beginning with a letter, digit or "
          "'_', at most 64 characters\n"
          "  x.yaml:6:52: '^a' begins like a regular expression but does not end like one; a regular expression begins with ^ and ends with $\n"
          "  x.yaml:12:14: duplicate role a; name it once\n"
          "  x.yaml:13:20: the login 'a b' is not a name of an account; use letters, digits and '._-@', beginning with a letter, digit or "
          "'_', at most 64 characters\n"
          "  x.yaml:19:18: spec.target.user 'a b' is not a valid name; write the name of a user: tctl get users lists them\n"
          "  x.yaml:19:31: spec.target.role 'c d' is not a valid name; write the name of a role: tctl get roles lists them", NULL },
        { ALLOW "    rules: [{resources: [token], verbs: [read, write]}]\n", "x.yaml:6:48: unknown verb 'write'", NULL },
        { ALLOW "    rules: [{resources: [token], verbs: [readnosecrets]}]\n",
          "x.yaml:6:42: 'readnosecrets' is a verb of Teleport that this release does not have", "leave it out" },
        { ALLOW "    rules: [{resources: [session], verbs: [read], where: 'true'}]\n", "x.yaml:6:58: the condition 'true' is not supported", NULL },
        { ALLOW "    rules: [{resources: ['*'], verbs: [read], where: 'contains(session.participants, user.metadata.name)'}]\n",
          "x.yaml:6:54: the condition is only for a rule about session", NULL },
        { ROLE "  deny:\n    rules: [{resources: [session], verbs: [read], where: 'contains(session.participants, user.metadata.name)'}]\n",
          "x.yaml:6:58: a rule that denies cannot have a where", NULL },
        { ROLE "  deny:\n    rules: [{resources: [app, recording], verbs: ['*']}]\n",
          "x.yaml:6:31: 'recording' is a resource of Teleport that is called 'session' here", "deny 'session', or leave it out" },

        { USER "  roles: []\n", "x.yaml:5:10: the user has no roles", "write, for example, roles: [access]" },
        { USER "  roles: [access, access]\n", "x.yaml:5:19: duplicate role access", NULL },
        { USER "  roles: ['a,b']\n", "x.yaml:5:11: 'a,b' is not a name of a role", NULL },
        { USER "  roles: [access]\n  traits: {logins: [root, 'a b']}\n", "x.yaml:6:20: the login 'a b' is not a name of an account", NULL },
        { USER "  roles: [access]\n  traits: {logins: ['{{internal.logins}}']}\n", "x.yaml:6:20: the login '{{internal.logins}}' is not a name of an account", NULL },
        { USER "  role: [access]\n", "x.yaml:5:3: unknown key 'role' in spec", "did you mean 'roles'" },
        { USER "  roles: [access]\n  local_auth: {password_hash: x}\n", "x.yaml:6:3: 'spec.local_auth' is a key of Teleport that this release does not have, and its value would change something", NULL },
        { "kind: user\nmetadata: {name: '-x'}\nspec: {roles: [access]}\n", "x.yaml:2:18: metadata.name '-x' is not a valid name of a user", NULL },
        { "kind: user\nmetadata: {name: \"ann\\e[2J\"}\nspec: {roles: [access]}\n", "x.yaml:2:18: metadata.name 'ann\\x1b[2J' is not a valid name of a user", NULL },

        { LOCK "  message: x\n", "x.yaml:5:3: the lock has no target", NULL },
        { LOCK "  target: {user: ann, role: access}\n", "x.yaml:5:11: the lock has several targets", NULL },
        { LOCK "  target: {user: 'a b'}\n", "x.yaml:5:18: spec.target.user 'a b' is not a valid name", NULL },
        { LOCK "  target: {node: 'web 1'}\n", "x.yaml:5:18: spec.target.node 'web 1' is not a valid name", NULL },
        { LOCK "  target: {server_id: web-1}\n", "x.yaml:5:23: spec.target.server_id 'web-1' is not a valid name", NULL },
#define NO_ARN(arn) { LOCK "  target: {join_arn: '" arn "'}\n", "x.yaml:5:22: spec.target.join_arn '" arn "' is not a valid name", NULL }
        NO_ARN("arn:aws:sts::123456789012:assumed-role/web/"),
        NO_ARN("arn:aws:sts::*:assumed-role/web/"),
        NO_ARN("arn:aws:iam::123456789012:role/web/"),
        NO_ARN("arn:aws:sts::123456789012:assumed-role/path/web/i-1"),
        NO_ARN("arn:aws:sts::123456789012:assumed-role"),
        NO_ARN("arn:aws:sts::123456789012:role/web"),
        NO_ARN("arn:aws:iam::123456789012:assumed-role/web"),
        NO_ARN("arn:aws:iam::123456789012:instance-profile/web"),
        NO_ARN("arn:aws:iam:eu-west-1:123456789012:role/web"),
        NO_ARN("arn:aws:iam::12345:role/web"),
        NO_ARN("arn:aws:iam"),
        { LOCK "  target: {mfa_device: x}\n", "x.yaml:5:12: 'spec.target.mfa_device' is a key of Teleport that this release does not have, and its value would change something", NULL },
        { "kind: lock\nmetadata: {name: '-x'}\nspec: {target: {user: ann}}\n", "x.yaml:2:18: metadata.name '-x' is not a valid name", NULL },
};

static void refuses_with_a_reason_and_the_position(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                AUTO_PTR(error) err = create(a, bad[i].yaml);

                if (err == NULL)
                        fail_msg("taken: %s", bad[i].yaml);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_string_equal(err->what, bad[i].what);
                if (bad[i].hint != NULL)
                        assert_string_equal(err->hint, bad[i].hint);
        }
}

static void warns_that_an_old_role_without_labels_reaches_no_node(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        struct token_warnings warnings = { 0 };
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__RoleSpec spec = CTELEPORT__V1__ROLE_SPEC__INIT;
        Cteleport__V1__Role role = CTELEPORT__V1__ROLE__INIT;

        metadata.name = unconst("r");
        role.version = unconst("v3");
        role.metadata = &metadata;
        role.spec = &spec;
        assert_null(access_role_check(&role, a, &warnings));
        assert_int_equal(warnings.count, 1);
}

/* The presets in the output of Teleport's `tctl get roles`. */
static void accepts_rules_about_unsupported_resources(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        struct token_warnings warnings = { 0 };
        ProtobufCMessage *role = NULL;

        assert_null(schema_load_yaml(a, "x.yaml", STR("metadata: {name: editor}\n"
                                                      "spec:\n"
                                                      "  allow:\n"
                                                      "    rules:\n"
                                                      "    - {resources: [user, token], verbs: [list, create, read, update, delete]}\n"
                                                      "    - {resources: [device], verbs: [list, create, read, create_enroll_token, enroll]}\n"
                                                      "    - {resources: [saml, device], verbs: [readnosecrets], where: 'true'}\n"
                                                      "    - {resources: [node, app_server, app_session], verbs: [read, readnosecrets]}\n"
                                                      "  deny:\n"
                                                      "    rules: [{resources: [bot], verbs: ['*']}]\n"),
                                     &cteleport__v1__role__descriptor, &role));
        assert_null(access_role_check((Cteleport__V1__Role *)(void *)role, a, &warnings));
        assert_int_equal(warnings.count, 1);
        assert_string_equal(warnings.texts[0], "resources and verbs of Teleport in the rules that do not exist here have no effect: device, "
                                               "create_enroll_token, enroll, saml, readnosecrets, app_session, bot");
        assert_null(schema_load_yaml(a, "x.yaml", STR("metadata: {name: access}\n"
                                                      "spec: {allow: {rules: [{resources: [assistant, mfa_device, kube_service, headless_authentication], verbs: [use]}]}}\n"),
                                     &cteleport__v1__role__descriptor, &role));
        assert_null(access_role_check((Cteleport__V1__Role *)(void *)role, a, &warnings));
}

static void holds_its_limits(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        AUTO(buf) yaml = BUF_MAX(64 * KiB);

        buf_put_c(&yaml, ALLOW "    logins: [");
        for (int i = 0; i <= LIMIT_ROLE_ITEMS; i++)
                buf_printf(&yaml, "%su%d", i > 0 ? ", " : "", i);
        buf_put_c(&yaml, "]\n");
        AUTO_PTR(error) err = create(a, buf_c(&yaml));
        assert_string_equal(err->what, "x.yaml:6:5: spec.allow has more than 200 logins, labels or rules");
}

/* Printed resources are read back unchanged: one text or a list of them, in both languages. */
static void prints_labels_as_they_are_written(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        AUTO(buf) out = BUF_MAX(64 * KiB);
        ProtobufCMessage *role = NULL;
        const char *yaml = "kind: role\n"
                           "metadata:\n"
                           "  name: r\n"
                           "spec:\n"
                           "  allow:\n"
                           "    node_labels:\n"
                           "      env:\n"
                           "      - prod\n"
                           "      - \"17\"\n"
                           "      team: a\n"
                           "      none: []\n"
                           "      any: \"*\"\n";

        assert_null(schema_load_yaml(a, "x.yaml", str_of(yaml), &cteleport__v1__role__descriptor, &role));
        schema_put_yaml(&out, role);
        assert_string_equal(buf_c(&out), yaml);
        buf_clear(&out);
        schema_put_json(&out, role, SCHEMA_JSON_COMPACT);
        assert_string_equal(buf_c(&out), "{\"kind\":\"role\",\"metadata\":{\"name\":\"r\"},\"spec\":{\"allow\":{\"node_labels\":"
                                         "{\"env\":[\"prod\",\"17\"],\"team\":\"a\",\"none\":[],\"any\":\"*\"}}}}");
        assert_null(schema_load_yaml(a, "x.json", buf_str(&out), &cteleport__v1__role__descriptor, &role));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepts_the_roles_of_guides),
                cmocka_unit_test(refuses_with_a_reason_and_the_position),
                cmocka_unit_test(warns_that_an_old_role_without_labels_reaches_no_node),
                cmocka_unit_test(accepts_rules_about_unsupported_resources),
                cmocka_unit_test(holds_its_limits),
                cmocka_unit_test(prints_labels_as_they_are_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
