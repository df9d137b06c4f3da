/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resource/role.h"

static void finds_canonical_names_only_as_the_wire_carries_them(void **state)
{
        (void)state;
        assert_non_null(system_role_find(STR("Db")));
        assert_null(system_role_find(STR("DB")));
        assert_null(system_role_find(STR("node")));
        assert_null(system_role_find(STR("")));
}

static void parses_names_as_users_write_them(void **state)
{
        (void)state;
        static const struct {
                struct str written, canonical;
        } cases[] = {
                { STR_INIT("DB"), STR_INIT("Db") },
                { STR_INIT("node"), STR_INIT("Node") },
                { STR_INIT("windowsdesktop"), STR_INIT("WindowsDesktop") },
                { STR_INIT("windows_desktop"), STR_INIT("WindowsDesktop") },
                { STR_INIT("TRUSTEDCLUSTER"), STR_INIT("Trusted_cluster") },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                const struct system_role *role = system_role_parse(cases[i].written);

                assert_non_null(role);
                assert_true(str_equal(role->name, cases[i].canonical));
        }
        assert_null(system_role_parse(STR("")));
        assert_null(system_role_parse(STR("root")));
}

static void lets_tokens_give_service_roles_and_no_authority(void **state)
{
        (void)state;
        static const char *const never[] = { "Auth", "Admin", "Bot", "Instance", "RemoteProxy", "Nop" };

        assert_true(system_role_find(STR("Node"))->is_joinable);
        assert_true(system_role_find(STR("Proxy"))->is_joinable);
        for (size_t i = 0; i < ARRAY_LEN(never); i++)
                assert_false(system_role_find(str_of(never[i]))->is_joinable);
}

static void names_the_nearest_role_or_all_of_them(void **state)
{
        (void)state;
        AUTO_PTR(error) near = system_role_unknown(STR("Nodes"));
        AUTO_PTR(error) far = system_role_unknown(STR("\x1b[1mroot"));

        assert_string_equal(near->what, "invalid role \"Nodes\"");
        assert_string_equal(near->hint, "did you mean Node");
        assert_string_equal(far->what, "invalid role \"\\x1b[1mroot\"");
        assert_string_equal(far->hint,
                            "the roles of tokens are Node, Proxy, Kube, App, Db, WindowsDesktop, Discovery");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_canonical_names_only_as_the_wire_carries_them),
                cmocka_unit_test(parses_names_as_users_write_them),
                cmocka_unit_test(lets_tokens_give_service_roles_and_no_authority),
                cmocka_unit_test(names_the_nearest_role_or_all_of_them),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
