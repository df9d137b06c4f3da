/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/config_change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "resource/config.h"
#include "resource/config_file.h"
#include "services/services.h"

static Cteleport__V1__Config *parsed(struct arena *a, const char *text)
{
        Cteleport__V1__Config *config = NULL;

        assert_null(config_text_load(a, "test", str_of(text), NULL, &config));
        assert_null(config_check(config, a, NULL));
        return config;
}

/* The keys that differ, with blanks between. */
static void assert_changed(const char *old, const char *new, const char *expected)
{
        AUTO_PTR(arena) a = arena_new(8 * MiB);
        AUTO(buf) keys = BUF_MAX(4 * KiB);
        struct config_changes changes;

        config_compare(parsed(a, old), parsed(a, new), a, &changes);
        for (size_t i = 0; i < changes.count; i++)
                buf_printf(&keys, "%s%s", i == 0 ? "" : " ", changes.keys[i]);
        assert_string_equal(buf_c(&keys), expected);
}

#define AGENT "version: v3\nteleport: {auth_server: a, join_params: {token_name: t, method: iam}}\nauth_service: {enabled: no}\nproxy_service: {enabled: no}\n"
#define CLUSTER "version: v3\nteleport: {data_dir: /d}\nssh_service: {enabled: no}\n"

static void finds_the_keys_that_differ(void **state)
{
        static const struct {
                const char *old, *new, *expected;
        } rows[] = {
                { AGENT, AGENT, "" },
                { AGENT, AGENT "ssh_service: {}\n", "" },
                { AGENT, AGENT "ssh_service: {labels: {}}\n", "" },
                { AGENT, AGENT "ssh_service: {labels: {env: prod}}\n", "ssh_service.labels" },
                { AGENT "ssh_service: {labels: {env: prod}}\n", AGENT "ssh_service: {labels: {env: test}}\n", "ssh_service.labels" },
                { AGENT "ssh_service: {labels: {env: prod}}\n", AGENT "ssh_service: {labels: {env: prod, x: y}}\n", "ssh_service.labels" },
                { AGENT "ssh_service: {commands: [{name: a, command: [b], period: 1m}]}\n",
                  AGENT "ssh_service: {commands: [{name: a, command: [b], period: 2m}]}\n", "ssh_service.commands" },
                { AGENT "ssh_service: {pam: {enabled: yes}}\n", AGENT, "ssh_service.pam.enabled" },
                { AGENT "ssh_service: {pam: {enabled: yes}}\n", AGENT "ssh_service: {pam: {enabled: no}}\n", "ssh_service.pam.enabled" },
                { CLUSTER, "version: v3\nteleport: {data_dir: /e}\nssh_service: {enabled: no}\n",
                  "teleport.data_dir teleport.storage.path" },
                { CLUSTER, "version: v3\nteleport: {data_dir: /d, log: {severity: DEBUG}}\nssh_service: {enabled: no}\n", "teleport.log.severity" },
                { CLUSTER, CLUSTER "auth_service: {listen_addr: \"0.0.0.0:3025\"}\n", "" }, /* the default */
                { CLUSTER, CLUSTER "auth_service: {host_cert_ttl: 1h, tokens: [\"node:a\"]}\n", "auth_service.tokens auth_service.host_cert_ttl" },
                { CLUSTER, CLUSTER "proxy_service: {public_addr: [a.test], web_listen_addr: \"127.0.0.1:1\"}\n",
                  "proxy_service.web_listen_addr proxy_service.public_addr" },
                { CLUSTER, CLUSTER "auth_service: {tunnel_strategy: {type: proxy_peering, agent_connection_count: 2}}\n",
                  "auth_service.tunnel_strategy.type auth_service.tunnel_strategy.agent_connection_count proxy_service.peer_listen_addr" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_changed(rows[i].old, rows[i].new, rows[i].expected);
}

static void check_row(void *ctx, const char *key)
{
        size_t *count = ctx;

        if (config_rule_of(key) == NULL)
                fail_msg("the key %s has no row", key);
        ++*count;
}

static void every_key_has_a_row(void **state)
{
        size_t count = 0;

        (void)state;
        config_each_key(check_row, &count);
        assert_true(count > 40 && count < CONFIG_CHANGED_MAX);
}

struct seen {
        const char *key;
        bool is_used;
};

static void note_use(void *ctx, const char *key)
{
        struct seen *seen = ctx;

        seen->is_used |= strcmp(config_rule_of(key)->key, seen->key) == 0;
}

static void every_row_is_used_and_names_processes(void **state)
{
        const struct config_rule *rule;

        (void)state;
        for (size_t i = 0; (rule = config_rule_at(i)) != NULL; i++) {
                struct seen seen = { rule->key, false };

                config_each_key(note_use, &seen);
                if (!seen.is_used)
                        fail_msg("the row %s is for no key", rule->key);
                assert_int_equal(rule->effect == CONFIG_PROCESSES, rule->processes[0] != NULL);
                assert_int_equal(rule->effect == CONFIG_RESTART, rule->why != NULL);
                for (const char *const *name = rule->processes; *name != NULL; name++)
                        assert_non_null(services_process(*name));
        }
}

/* A process that does not receive a section cannot depend on it. */
static void processes_receive_the_sections_that_concern_them(void **state)
{
        const struct config_rule *rule;

        (void)state;
        for (size_t i = 0; (rule = config_rule_at(i)) != NULL; i++)
                for (const char *const *name = rule->processes; *name != NULL; name++) {
                        struct str key = str_of(rule->key), section = str_split(&key, '.');
                        const char *const *has = services_process(*name)->sections;

                        while (*has != NULL && !str_equal(str_of(*has), section))
                                has++;
                        if (*has == NULL && !str_equal(section, STR("teleport")))
                                fail_msg("%s does not receive %s", *name, rule->key);
                }
}

static void the_nearest_row_counts(void **state)
{
        (void)state;
        assert_string_equal(config_rule_of("auth_service.aws.fips")->key, "auth_service");
        assert_string_equal(config_rule_of("auth_service.cluster_name")->key, "auth_service.cluster_name");
        assert_string_equal(config_rule_of("teleport.log.format.output")->key, "teleport.log");
        assert_null(config_rule_of("teleport.other"));
        assert_null(config_rule_of(""));
}

static void names_the_processes_that_a_change_concerns(void **state)
{
        AUTO_PTR(arena) a = arena_new(8 * MiB);
        struct config_changes changes;

        (void)state;
        config_compare(parsed(a, AGENT), parsed(a, AGENT "ssh_service: {labels: {a: b}, pam: {enabled: no}}\n"), a, &changes);
        assert_true(config_changes_concern(&changes, "instance"));
        assert_false(config_changes_concern(&changes, "ssh"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_the_keys_that_differ),
                cmocka_unit_test(every_key_has_a_row),
                cmocka_unit_test(every_row_is_used_and_names_processes),
                cmocka_unit_test(processes_receive_the_sections_that_concern_them),
                cmocka_unit_test(the_nearest_row_counts),
                cmocka_unit_test(names_the_processes_that_a_change_concerns),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
