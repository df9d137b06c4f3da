/* SPDX-License-Identifier: Apache-2.0 */
#include "access/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "resource/access_role.h"
#include "schema/schema.h"

enum { ARENA_CAP = 4 * MiB, ROLES_MAX = 4 };

/* ---- users and the rules of their roles ------------------------------------------------------------------------------- */

struct fixture {
        struct arena *arena;
        const Cteleport__V1__Role *roles[ROLES_MAX];
        struct access_user user;
};

static void fixture_release(struct fixture *f)
{
        arena_free(f->arena);
}

/* A resource whose spec is the given YAML (flow style), not checked: a stored role may be older than a check. */
static const ProtobufCMessage *message_of(struct fixture *f, const char *spec, const ProtobufCMessageDescriptor *type)
{
        ProtobufCMessage *msg = NULL;
        const char *yaml = arena_printf(f->arena, "metadata: {name: r}\nspec: %s\n", spec);
        struct error *err = schema_load_yaml(f->arena, "resource.yaml", str_of(yaml), type, &msg);

        if (err != NULL)
                error_print(err);
        assert_null(err);
        return msg;
}

/* "web-1 ubuntu team=a": the logins of the user, and another trait with one value. */
static void given(struct fixture *f, const char *traits, const char *const specs[ROLES_MAX])
{
        AUTO(buf) logins = BUF_MAX(KiB), others = BUF_MAX(KiB);
        struct str rest = str_of(traits);

        f->arena = arena_new(ARENA_CAP);
        f->user = (struct access_user){ .name = STR("alice"), .roles = f->roles };
        while (!str_is_empty(rest)) {
                struct str value = str_split(&rest, ' '), name = str_split(&value, '=');

                if (str_is_empty(value))
                        buf_printf(&logins, "'%.*s', ", STR_ARG(name));
                else
                        buf_printf(&others, ", %.*s: ['%.*s']", STR_ARG(name), STR_ARG(value));
        }
        f->user.record = (const Cteleport__V1__User *)message_of(f, arena_printf(f->arena, "{traits: {logins: [%s]%s}}", buf_c(&logins), buf_c(&others)),
                                                                 &cteleport__v1__user__descriptor);
        for (size_t i = 0; i < ROLES_MAX && specs[i] != NULL; i++)
                f->roles[f->user.role_count++] = (const Cteleport__V1__Role *)message_of(f, specs[i], &cteleport__v1__role__descriptor);
}

static size_t labels_of(const char *text, struct access_label labels[8])
{
        struct str rest = str_of(text);
        size_t count = 0;

        while (!str_is_empty(rest)) {
                struct str value = str_split(&rest, ' ');
                struct str key = str_split(&value, '=');

                labels[count++] = (struct access_label){ key, value };
        }
        return count;
}

#define ALL "node_labels: {'*': '*'}"

/* ---- logging in to a node -------------------------------------------------------------------------------------------- */

static const struct {
        const char *name;
        const char *roles[ROLES_MAX];
        const char *traits, *labels, *login;
        bool may, sees;
} logins[] = {
        { "no roles give nothing", { NULL }, "root", "env=prod", "root", false, false },
        { "an empty role gives nothing", { "{}" }, "root", "env=prod", "root", false, false },
        { "no labels reach no node", { "{allow: {logins: [root]}}" }, "", "env=prod", "root", false, false },
        { "an empty mapping of labels reaches no node", { "{allow: {logins: [root], node_labels: {}}}" }, "", "", "root", false, false },
        { "no logins give no login", { "{allow: {" ALL "}}" }, "root", "", "root", false, true },
        { "the star reaches every node", { "{allow: {logins: [root], " ALL "}}" }, "", "env=prod", "root", true, true },
        { "the star reaches a node without labels", { "{allow: {logins: [root], " ALL "}}" }, "", "", "root", true, true },
        { "a login must be named", { "{allow: {logins: [root], " ALL "}}" }, "", "", "admin", false, true },
        { "a login is not a prefix", { "{allow: {logins: [root], " ALL "}}" }, "", "", "roo", false, true },
        { "letters of logins have a case", { "{allow: {logins: [root], " ALL "}}" }, "", "", "Root", false, true },
        { "the empty login is none", { "{allow: {logins: [''], " ALL "}}" }, "", "", "", false, true },
        { "a star is not a login", { "{allow: {logins: ['*'], " ALL "}}" }, "", "", "root", false, true },
        { "a star is not asked for", { "{allow: {logins: ['*'], " ALL "}}" }, "", "", "*", false, true },
        { "hostile logins match nothing", { "{allow: {logins: ['-oProxyCommand=x'], " ALL "}}" }, "", "", "-oProxyCommand=x", false, true },
        { "the template stands for the user's logins", { "{allow: {logins: ['{{internal.logins}}'], " ALL "}}" }, "root ubuntu", "", "ubuntu", true, true },
        { "the template may have blanks", { "{allow: {logins: ['{{ internal.logins }}'], " ALL "}}" }, "ubuntu", "", "ubuntu", true, true },
        { "the template gives no more than the user has", { "{allow: {logins: ['{{internal.logins}}'], " ALL "}}" }, "ubuntu", "", "root", false, true },
        { "another template stands for nothing", { "{allow: {logins: ['{{internal.other}}'], " ALL "}}" }, "ubuntu", "", "ubuntu", false, true },
        { "the template is not itself a login", { "{allow: {logins: ['{{internal.logins}}'], " ALL "}}" }, "", "", "{{internal.logins}}", false, true },
        { "a label must be there", { "{allow: {logins: [root], node_labels: {env: prod}}}" }, "", "team=a", "root", false, false },
        { "a label must have the value", { "{allow: {logins: [root], node_labels: {env: prod}}}" }, "", "env=test", "root", false, false },
        { "one of several values is enough", { "{allow: {logins: [root], node_labels: {env: [prod, test]}}}" }, "", "env=test", "root", true, true },
        { "every pair must match", { "{allow: {logins: [root], node_labels: {env: prod, team: a}}}" }, "", "env=prod team=b", "root", false, false },
        { "all pairs match", { "{allow: {logins: [root], node_labels: {env: prod, team: a}}}" }, "", "team=a env=prod x=y", "root", true, true },
        { "any value will do, if the label is there", { "{allow: {logins: [root], node_labels: {env: '*'}}}" }, "", "env=", "root", true, true },
        { "any value needs the label", { "{allow: {logins: [root], node_labels: {env: '*'}}}" }, "", "", "root", false, false },
        { "a star is any run of characters", { "{allow: {logins: [root], node_labels: {name: 'web-*-eu'}}}" }, "", "name=web-1-x-eu", "root", true, true },
        { "a glob is anchored", { "{allow: {logins: [root], node_labels: {name: 'web-*'}}}" }, "", "name=xweb-1", "root", false, false },
        { "a question mark is itself", { "{allow: {logins: [root], node_labels: {name: 'web?'}}}" }, "", "name=web1", "root", false, false },
        { "a dot of a glob is itself", { "{allow: {logins: [root], node_labels: {name: 'a.*'}}}" }, "", "name=ab", "root", false, false },
        { "a regular expression", { "{allow: {logins: [root], node_labels: {name: '^web-[0-9]+$'}}}" }, "", "name=web-17", "root", true, true },
        { "a regular expression is anchored", { "{allow: {logins: [root], node_labels: {name: '^web-[0-9]+$'}}}" }, "", "name=web-17x", "root", false, false },
        { "a broken expression allows nothing", { "{allow: {logins: [root], node_labels: {name: '^(web$'}}}" }, "", "name=web", "root", false, false },
        { "a broken expression denies", { "{allow: {logins: [root], " ALL "}}", "{deny: {node_labels: {name: '^(web$'}}}" }, "", "name=x", "root", false, false },
        { "a template stands for the user's trait", { "{allow: {logins: [root], node_labels: {team: '{{external.team}}'}}}" }, "team=a", "team=a", "root", true, true },
        { "a template gives no more than the user has", { "{allow: {logins: [root], node_labels: {team: '{{external.team}}'}}}" }, "team=a", "team=b", "root", false, false },
        { "a template without the trait gives nothing", { "{allow: {logins: [root], node_labels: {team: '{{external.team}}'}}}" }, "", "team=a", "root", false, false },
        { "a template is not its own text", { "{allow: {logins: [root], node_labels: {team: '{{external.team}}'}}}" }, "", "team={{external.team}}", "root", false, false },
        { "a template may have text around it", { "{allow: {logins: [root], node_labels: {name: 'x-{{internal.team}}-y'}}}" }, "team=a", "name=x-a-y", "root", true, true },
        { "the text around it counts", { "{allow: {logins: [root], node_labels: {name: 'x-{{internal.team}}-y'}}}" }, "team=a", "name=x-a-z", "root", false, false },
        { "texts around do not overlap", { "{allow: {logins: [root], node_labels: {name: 'aa{{internal.team}}aa'}}}" }, "team=a", "name=aaa", "root", false, false },
        { "a star of a trait is itself", { "{allow: {logins: [root], node_labels: {team: '{{external.team}}'}}}" }, "team=*", "team=a", "root", false, false },
        { "an expression of a trait is itself", { "{allow: {logins: [root], node_labels: {team: '{{external.team}}'}}}" }, "team=^.*$", "team=a", "root", false, false },
        { "logins are a trait", { "{allow: {logins: [root], node_labels: {owner: '{{internal.logins}}'}}}" }, "bob root", "owner=bob", "root", true, true },
        { "a template beside a value", { "{allow: {logins: [root], node_labels: {team: ['{{external.team}}', all]}}}" }, "team=a", "team=all", "root", true, true },
        { "a template denies what the user has", { "{allow: {logins: [root], " ALL "}}", "{deny: {node_labels: {team: '{{external.team}}'}}}" }, "team=a", "team=a", "root", false, false },
        { "a template denies nothing else", { "{allow: {logins: [root], " ALL "}}", "{deny: {node_labels: {team: '{{external.team}}'}}}" }, "team=a", "team=b", "root", true, true },
        { "a broken template allows nothing", { "{allow: {logins: [root], node_labels: {team: '{{user.team}}'}}}" }, "team=a", "team=a", "root", false, false },
        { "a template as the name of a label allows nothing", { "{allow: {logins: [root], node_labels: {'{{external.team}}': x}}}" }, "team=a", "a=x", "root", false, false },
        { "a template as the name of a label denies", { "{allow: {logins: [root], " ALL "}}", "{deny: {node_labels: {'{{external.team}}': x}}}" }, "team=a", "a=x", "root", false, false },
        { "a broken template denies", { "{allow: {logins: [root], " ALL "}}", "{deny: {node_labels: {team: '{{user.team}}'}}}" }, "team=a", "team=b", "root", false, false },
        { "login and labels must come from one role", { "{allow: {logins: [root], node_labels: {env: test}}}", "{allow: {logins: [bob], " ALL "}}" }, "", "env=prod", "root", false, true },
        { "any one role is enough", { "{allow: {logins: [root], node_labels: {env: test}}}", "{allow: {logins: [bob], " ALL "}}" }, "", "env=test", "root", true, true },
        { "a denied login is denied in whatever role", { "{allow: {logins: [root, bob], " ALL "}}", "{deny: {logins: [root]}}" }, "", "", "root", false, true },
        { "a denied login leaves the others", { "{allow: {logins: [root, bob], " ALL "}}", "{deny: {logins: [root]}}" }, "", "", "bob", true, true },
        { "the role's own denial counts", { "{allow: {logins: [root], " ALL "}, deny: {logins: [root]}}" }, "", "", "root", false, true },
        { "denied labels deny the node", { "{allow: {logins: [root], " ALL "}}", "{deny: {node_labels: {env: prod}}}" }, "", "env=prod", "root", false, false },
        { "denied labels leave other nodes", { "{allow: {logins: [root], " ALL "}}", "{deny: {node_labels: {env: prod}}}" }, "", "env=test", "root", true, true },
        { "an empty denial denies nothing", { "{allow: {logins: [root], " ALL "}}", "{deny: {node_labels: {}, logins: []}}" }, "", "env=prod", "root", true, true },
        { "the star denies every node", { "{allow: {logins: [root], " ALL "}}", "{deny: {" ALL "}}" }, "", "", "root", false, false },
        { "the template denies too", { "{allow: {logins: [root], " ALL "}}", "{deny: {logins: ['{{internal.logins}}']}}" }, "root", "", "root", false, true },
};

static void decides_about_logins(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(logins); i++) {
                struct fixture f = { 0 };
                struct access_label labels[8];
                struct access_session session;

                print_message("  %s\n", logins[i].name);
                given(&f, logins[i].traits, logins[i].roles);
                size_t count = labels_of(logins[i].labels, labels);
                AUTO_PTR(error) err = access_check_login(&f.user, labels, count, str_of(logins[i].login), &session);
                assert_int_equal(err == NULL, logins[i].may);
                if (err != NULL)
                        assert_int_equal(err->code, ERROR_PERMISSION_DENIED);
                assert_int_equal(access_sees(&f.user, ROLE_NODE_LABELS, labels, count), logins[i].sees);
                fixture_release(&f);
        }
}

static void keeps_the_role_that_denied_from_the_user(void **state)
{
        (void)state;
        struct fixture f = { 0 };
        struct access_session session;

        given(&f, "", (const char *const[ROLES_MAX]){ "{allow: {logins: [root], " ALL "}, deny: {logins: [root]}}" });
        AUTO_PTR(error) err = access_check_login(&f.user, NULL, 0, STR("root"), &session);
        assert_string_equal(err->what, "access denied: user alice may not log in to this node as 'root'");
        assert_string_equal(err->cause->what, "denied by spec.deny.logins of role 'r'");
        fixture_release(&f);
}

static void lists_logins_once_sorted_and_without_the_denied(void **state)
{
        (void)state;
        struct fixture f = { 0 };
        size_t count = 0;

        given(&f, "ubuntu root", (const char *const[ROLES_MAX]){ "{allow: {logins: [root, '{{internal.logins}}', '*', '-x', 'a b', ec2-user]}}",
                                                                 "{allow: {logins: [bob, root]}}", "{deny: {logins: [bob]}}" });
        struct str *list = NULL;
        assert_null(access_logins(&f.user, f.arena, &list, &count));
        assert_int_equal(count, 3);
        assert_true(str_equal(list[0], STR("ec2-user")));
        assert_true(str_equal(list[1], STR("root")));
        assert_true(str_equal(list[2], STR("ubuntu")));
        fixture_release(&f);
}

/* ---- options ------------------------------------------------------------------------------------------------------------ */

static struct access_session session_of(struct fixture *f, const char *const roles[ROLES_MAX])
{
        struct access_session session = { 0 };

        given(f, "", roles);
        assert_null(access_check_login(&f->user, NULL, 0, STR("root"), &session));
        return session;
}

#define ROOT "allow: {logins: [root], " ALL "}"

static void takes_options_from_roles(void **state)
{
        (void)state;
        struct fixture f = { 0 };
        struct access_session s = session_of(&f, (const char *const[ROLES_MAX]){ "{" ROOT "}" });

        assert_true(s.port_forwarding && s.file_copy && !s.agent_forwarding);
        assert_int_equal(s.record, ACCESS_RECORD_BEST_EFFORT);
        assert_int_equal(s.idle_timeout.ns, 0);
        assert_int_equal(access_max_ttl(&f.user, HOURS(12)).ns, HOURS(12).ns);
        fixture_release(&f);

        f = (struct fixture){ 0 };
        s = session_of(&f, (const char *const[ROLES_MAX]){
                                   "{options: {forward_agent: yes, port_forwarding: no, client_idle_timeout: 1h, max_session_ttl: 8h}, " ROOT "}",
                                   "{options: {ssh_file_copy: no, client_idle_timeout: 10m, max_session_ttl: 30h, record_session: {default: strict}}}" });
        assert_true(s.agent_forwarding && !s.port_forwarding && !s.file_copy);
        assert_int_equal(s.record, ACCESS_RECORD_STRICT);
        assert_int_equal(s.idle_timeout.ns, MINUTES(10).ns);
        assert_int_equal(access_max_ttl(&f.user, HOURS(12)).ns, HOURS(8).ns);
        fixture_release(&f);
}

static void grants_forwarding_only_where_the_granting_role_reaches(void **state)
{
        (void)state;
        struct fixture f = { 0 };
        struct access_session s = session_of(&f, (const char *const[ROLES_MAX]){ "{options: {port_forwarding: no}, " ROOT "}",
                                                                                 "{options: {forward_agent: yes}, allow: {logins: [root], node_labels: {env: test}}}" });

        assert_false(s.port_forwarding || s.agent_forwarding);
        s = access_most(&f.user);
        assert_true(s.port_forwarding && s.agent_forwarding);
        fixture_release(&f);
}

static void lets_ssh_differ_from_the_default_of_recording(void **state)
{
        (void)state;
        struct fixture f = { 0 };
        struct access_session s = session_of(&f, (const char *const[ROLES_MAX]){ "{options: {record_session: {default: strict, ssh: best_effort}}, " ROOT "}" });

        assert_int_equal(s.record, ACCESS_RECORD_BEST_EFFORT);
        fixture_release(&f);
}

/* ---- rules --------------------------------------------------------------------------------------------------------------- */

#define WHERE "where: 'contains(session.participants, user.metadata.name)'"

static const struct {
        const char *name;
        const char *roles[ROLES_MAX];
        const char *kind;
        unsigned verbs;
        enum access_reach reach;
} rules[] = {
        { "no rules allow nothing", { "{}" }, "token", ACCESS_READ, ACCESS_NONE },
        { "a rule allows what it names", { "{allow: {rules: [{resources: [token], verbs: [read]}]}}" }, "token", ACCESS_READ, ACCESS_ALL },
        { "no verb is no permission", { "{allow: {rules: [{resources: ['*'], verbs: ['*']}]}}" }, "token", 0, ACCESS_NONE },
        { "an unknown verb is no permission", { "{allow: {rules: [{resources: ['*'], verbs: ['*']}]}}" }, "token", 1 << 7, ACCESS_NONE },
        { "not another resource", { "{allow: {rules: [{resources: [token], verbs: [read]}]}}" }, "tokens", ACCESS_READ, ACCESS_NONE },
        { "all verbs are needed", { "{allow: {rules: [{resources: [token], verbs: [create]}]}}" }, "token", ACCESS_CREATE | ACCESS_UPDATE, ACCESS_NONE },
        { "verbs may come from several roles", { "{allow: {rules: [{resources: [token], verbs: [create]}]}}", "{allow: {rules: [{resources: [token], verbs: [update]}]}}" }, "token", ACCESS_CREATE | ACCESS_UPDATE, ACCESS_ALL },
        { "stars stand for all", { "{allow: {rules: [{resources: ['*'], verbs: ['*']}]}}" }, "lock", ACCESS_EVERYTHING, ACCESS_ALL },
        { "deny wins", { "{allow: {rules: [{resources: ['*'], verbs: ['*']}]}}", "{deny: {rules: [{resources: [token], verbs: [read]}]}}" }, "token", ACCESS_READ, ACCESS_NONE },
        { "deny leaves the rest", { "{allow: {rules: [{resources: ['*'], verbs: ['*']}]}}", "{deny: {rules: [{resources: [token], verbs: [read]}]}}" }, "token", ACCESS_LIST, ACCESS_ALL },
        { "a denied verb denies them together", { "{allow: {rules: [{resources: ['*'], verbs: ['*']}]}}", "{deny: {rules: [{resources: [token], verbs: [read]}]}}" }, "token", ACCESS_LIST | ACCESS_READ, ACCESS_NONE },
        { "stars deny all", { "{allow: {rules: [{resources: [token], verbs: [read]}]}}", "{deny: {rules: [{resources: ['*'], verbs: ['*']}]}}" }, "token", ACCESS_READ, ACCESS_NONE },
        { "one's own sessions", { "{allow: {rules: [{resources: [session], verbs: [list, read], " WHERE "}]}}" }, "session", ACCESS_LIST | ACCESS_READ, ACCESS_OWN },
        { "all sessions beat one's own", { "{allow: {rules: [{resources: [session], verbs: [read], " WHERE "}, {resources: [session], verbs: [read]}]}}" }, "session", ACCESS_READ, ACCESS_ALL },
        { "own and all together are own", { "{allow: {rules: [{resources: [session], verbs: [read], " WHERE "}, {resources: [session], verbs: [list]}]}}" }, "session", ACCESS_LIST | ACCESS_READ, ACCESS_OWN },
        { "another condition allows nothing", { "{allow: {rules: [{resources: [session], verbs: [read], where: 'true'}]}}" }, "session", ACCESS_READ, ACCESS_NONE },
        { "the condition is about sessions only", { "{allow: {rules: [{resources: ['*'], verbs: [read], " WHERE "}]}}" }, "token", ACCESS_READ, ACCESS_NONE },
        { "a condition does not weaken a denial", { "{allow: {rules: [{resources: [session], verbs: [read]}]}}", "{deny: {rules: [{resources: [session], verbs: [read], where: 'false'}]}}" }, "session", ACCESS_READ, ACCESS_NONE },
};

static void decides_about_resources(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
                struct fixture f = { 0 };

                print_message("  %s\n", rules[i].name);
                given(&f, "", rules[i].roles);
                assert_int_equal(access_may(&f.user, rules[i].kind, rules[i].verbs), rules[i].reach);
                fixture_release(&f);
        }
}

/* ---- presets ---------------------------------------------------------------------------------------------------------------- */

static void given_preset(struct fixture *f, const char *name)
{
        given(f, "root", (const char *const[ROLES_MAX]){ NULL });
        f->roles[0] = access_preset(f->arena, str_of(name));
        f->user.role_count = 1;
        assert_non_null(f->roles[0]);
}

static void has_presets_that_pass_its_own_check(void **state)
{
        (void)state;
        for (size_t i = 0; access_preset_names[i] != NULL; i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                struct token_warnings warnings = { 0 };
                struct error *err = access_role_check(access_preset(a, str_of(access_preset_names[i])), a, &warnings);

                if (err != NULL)
                        error_print(err);
                assert_null(err);
                assert_int_equal(warnings.count, 0);
        }
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        assert_null(access_preset(a, STR("admin")));
        assert_null(access_preset(a, STR("")));
}

static void gives_each_preset_its_duty_and_no_more(void **state)
{
        (void)state;
        struct fixture f = { 0 };
        struct access_session s;

        given_preset(&f, "access");
        assert_null(access_check_login(&f.user, NULL, 0, STR("root"), &s));
        assert_true(s.port_forwarding && s.agent_forwarding && s.file_copy);
        assert_int_equal(access_may(&f.user, "session", ACCESS_LIST | ACCESS_READ), ACCESS_OWN);
        assert_int_equal(access_may(&f.user, "event", ACCESS_LIST | ACCESS_READ), ACCESS_ALL);
        assert_int_equal(access_may(&f.user, "user", ACCESS_READ), ACCESS_NONE);
        fixture_release(&f);

        f = (struct fixture){ 0 };
        given_preset(&f, "editor");
        assert_false(access_sees(&f.user, ROLE_NODE_LABELS, NULL, 0));
        assert_int_equal(access_may(&f.user, "user", ACCESS_EVERYTHING), ACCESS_ALL);
        assert_int_equal(access_may(&f.user, "role", ACCESS_EVERYTHING), ACCESS_ALL);
        assert_int_equal(access_may(&f.user, "session", ACCESS_READ), ACCESS_NONE);
        assert_int_equal(access_may(&f.user, "event", ACCESS_LIST), ACCESS_NONE);
        fixture_release(&f);

        f = (struct fixture){ 0 };
        given_preset(&f, "auditor");
        assert_false(access_sees(&f.user, ROLE_NODE_LABELS, NULL, 0));
        assert_int_equal(access_may(&f.user, "session", ACCESS_LIST | ACCESS_READ), ACCESS_ALL);
        assert_int_equal(access_may(&f.user, "event", ACCESS_LIST | ACCESS_READ), ACCESS_ALL);
        assert_int_equal(access_may(&f.user, "session", ACCESS_DELETE), ACCESS_NONE);
        fixture_release(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(decides_about_logins),
                cmocka_unit_test(keeps_the_role_that_denied_from_the_user),
                cmocka_unit_test(lists_logins_once_sorted_and_without_the_denied),
                cmocka_unit_test(takes_options_from_roles),
                cmocka_unit_test(grants_forwarding_only_where_the_granting_role_reaches),
                cmocka_unit_test(lets_ssh_differ_from_the_default_of_recording),
                cmocka_unit_test(decides_about_resources),
                cmocka_unit_test(has_presets_that_pass_its_own_check),
                cmocka_unit_test(gives_each_preset_its_duty_and_no_more),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
