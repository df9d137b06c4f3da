/* SPDX-License-Identifier: Apache-2.0 */
#include "services/services.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"

/* A row that a test adds: every lookup finds it, like the rows of the table. */
const struct service_row services_test_rows[] = {
        {
                .name = "echo", .title = "Echo Service", .section = "app_service", .role = { STR_INIT("Echo"), true, true }, .kind = "echo",
                .processes = { { .name = "echo", .links = { "instance" }, .sections = { "app_service" }, .start = 6, .stop = 2 } },
        },
        { 0 },
};

#ifdef CTELEPORT_SANITIZED
static const bool is_sanitized = true; /* users do not change then */
#else
static const bool is_sanitized = false;
#endif

static size_t start_of(const char *name)
{
        const struct service_process *process;

        for (size_t i = 0; (process = services_process_at(i)) != NULL; i++)
                if (strcmp(process->name, name) == 0)
                        return i;
        fail_msg("no process '%s' starts", name);
        return 0;
}

static void links_lead_to_processes_that_start_earlier(void **state)
{
        const struct service_process *process;
        size_t count = 0;

        (void)state;
        for (size_t i = 0; (process = services_process_at(i)) != NULL; i++)
                for (const char *const *link = process->links; *link != NULL; link++, count++)
                        assert_true(start_of(*link) < i);
        assert_in_range(count, 8, SERVICES_LINKS_MAX);
}

static void starts_and_stops_in_the_order_of_the_table(void **state)
{
        static const char *const started[] = { "signer", "sts", "auth", "proxy", "acme", "instance", "ssh", "app", "echo", "labels", "diag" };
        static const char *const stopped[] = { "proxy", "acme", "ssh", "app", "echo", "labels", "instance", "auth", "diag" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(started); i++)
                assert_string_equal(services_process_at(i)->name, started[i]);
        assert_null(services_process_at(ARRAY_LEN(started)));
        for (size_t i = 0; i < ARRAY_LEN(stopped); i++)
                assert_string_equal(services_stop_at(i)->name, stopped[i]);
        assert_null(services_stop_at(ARRAY_LEN(stopped)));
}

/* Every process without a number in the table is started on demand or ends with another one. */
static void every_process_is_ordered_or_follows_another(void **state)
{
        const struct service_row *row;

        (void)state;
        for (size_t r = 0; (row = services_at(r)) != NULL; r++)
                for (size_t n = 0; n < SERVICE_PROCESSES_MAX && row->processes[n].name != NULL; n++) {
                        const struct service_process *p = &row->processes[n];

                        assert_true((p->start == 0) == p->is_on_demand);
                        assert_true((p->stop == 0) == (p->is_on_demand || p->follows != NULL));
                        assert_true(p->follows == NULL || services_process(p->follows) != NULL);
                        assert_ptr_equal(services_process(p->name), p);
                        assert_ptr_equal(services_of_process(p->name), row);
                }
}

static void processes_do_not_share_a_user(void **state)
{
        const struct service_process *a, *b;

        (void)state;
        for (size_t i = 0; (a = services_process_at(i)) != NULL; i++)
                for (size_t k = i + 1; (b = services_process_at(k)) != NULL; k++)
                        if (a->user.name != NULL && b->user.name != NULL) {
                                assert_string_not_equal(a->user.name, b->user.name);
                                assert_int_not_equal(a->user.fallback, b->user.fallback);
                        }
}

/* The user that a process becomes. */
static uid_t user_of(const struct service_process *process)
{
        uid_t uid = 0;
        int ends[2];

        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
                struct error *err = sandbox_become_unprivileged(&process->user);

                uid = geteuid();
                _exit(err == NULL && write(ends[1], &uid, sizeof(uid)) == sizeof(uid) ? 0 : 1);
        }
        close(ends[1]);
        assert_int_equal(read(ends[0], &uid, sizeof(uid)), sizeof(uid));
        close(ends[0]);
        waitpid(child, NULL, 0);
        return uid;
}

static void gives_each_service_a_user_of_its_own(void **state)
{
        static const char *const names[] = { "signer", "sts", "auth", "proxy", "instance", "ssh", "acme", "diag" };
        uid_t users[ARRAY_LEN(names)];

        (void)state;
        if (geteuid() != 0 || is_sanitized)
                skip();
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                users[i] = user_of(services_process(names[i]));
                assert_int_not_equal(users[i], 0);
                assert_int_not_equal(users[i], 65534); /* the account nobody: other processes of that account could signal and trace it */
                for (size_t n = 0; n < i; n++)
                        assert_int_not_equal(users[i], users[n]);
        }
}

static void finds_rows_by_name_role_and_process(void **state)
{
        (void)state;
        assert_string_equal(services_of_role(STR("Node"))->name, "ssh");
        assert_null(services_of_role(STR("node")));
        assert_null(services_of_role(STR("Bot")));
        assert_string_equal(services_of_process("sts")->name, "auth");
        assert_string_equal(services_find("echo")->role.name.ptr, "Echo");
        assert_string_equal(services_of_process("echo")->name, "echo");
        assert_null(services_find("nothing"));
        assert_null(services_process("nothing"));
        assert_true(services_is_present(services_find("ssh")));
        assert_false(services_is_present(services_find("db")));
        assert_true(services_offers(STR("Node"), "node"));
        assert_false(services_offers(STR("Proxy"), "node"));
        assert_false(services_offers(STR("Bot"), "node"));
}

static void lists_the_flags_of_services_that_are_present(void **state)
{
        AUTO(buf) flags = BUF_MAX(256);

        (void)state;
        services_put_flags(&flags);
        assert_string_equal(buf_c(&flags), SERVICES_FLAGS);
}

static void every_section_listener_and_switch_exists(void **state)
{
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        Cteleport__V1__Config config = CTELEPORT__V1__CONFIG__INIT;
        const struct service_row *row;

        (void)state;
        for (size_t r = 0; (row = services_at(r)) != NULL; r++) {
                if (row->section == NULL)
                        continue;
                assert_int_equal(services_is_enabled(&config, row), row->is_on_by_default);
                services_enable(&config, arena, row, !row->is_on_by_default);
                assert_int_equal(services_is_enabled(&config, row), !row->is_on_by_default);
                services_enable(&config, arena, row, row->is_on_by_default);
                for (size_t n = 0; n < SERVICE_PROCESSES_MAX; n++)
                        for (size_t i = 0; i < SERVICE_LISTENERS_MAX; i++)
                                if (row->processes[n].listeners[i].setting != NULL)
                                        assert_string_equal(services_setting(&config, row, row->processes[n].listeners[i].setting), "");
        }
        config.proxy_service->web_listen_addr = "127.0.0.1:1";
        assert_string_equal(services_setting(&config, services_find("proxy"), "web_listen_addr"), "127.0.0.1:1");
}

static bool is_needed(const Cteleport__V1__Config *config, const char *name)
{
        return services_process_is_needed(config, services_process(name));
}

static void needs_the_processes_of_the_enabled_services(void **state)
{
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        Cteleport__V1__Config config = CTELEPORT__V1__CONFIG__INIT;
        Cteleport__V1__CommandLabelConfig command = CTELEPORT__V1__COMMAND_LABEL_CONFIG__INIT;
        Cteleport__V1__AcmeConfig acme = CTELEPORT__V1__ACME_CONFIG__INIT;
        Cteleport__V1__AppConfig app = CTELEPORT__V1__APP_CONFIG__INIT;

        (void)state;
        assert_true(is_needed(&config, "signer") && is_needed(&config, "proxy") && is_needed(&config, "ssh") && is_needed(&config, "instance"));
        assert_false(is_needed(&config, "acme") || is_needed(&config, "labels") || is_needed(&config, "aws-sign") || is_needed(&config, "echo"));
        services_enable(&config, arena, services_find("proxy"), true);
        config.proxy_service->acme = &acme;
        assert_false(is_needed(&config, "acme"));
        acme.has_enabled = acme.enabled = true;
        assert_true(is_needed(&config, "acme"));
        services_enable(&config, arena, services_find("proxy"), false);
        assert_false(is_needed(&config, "acme"));
        services_enable(&config, arena, services_find("ssh"), false);
        assert_true(is_needed(&config, "auth") && is_needed(&config, "sts"));
        assert_false(is_needed(&config, "proxy") || is_needed(&config, "instance"));
        services_enable(&config, arena, services_find("echo"), true);
        assert_true(is_needed(&config, "echo") && is_needed(&config, "instance"));
        services_enable(&config, arena, services_find("ssh"), true);
        config.ssh_service->commands = (Cteleport__V1__CommandLabelConfig *[]){ &command };
        config.ssh_service->n_commands = 1;
        assert_true(is_needed(&config, "labels"));
        services_enable(&config, arena, services_find("ssh"), false);
        assert_false(is_needed(&config, "labels"));
        services_enable(&config, arena, services_find("app"), true);
        config.app_service->apps = (Cteleport__V1__AppConfig *[]){ &app };
        config.app_service->n_apps = 1;
        assert_false(is_needed(&config, "labels"));
        app.commands = (Cteleport__V1__CommandLabelConfig *[]){ &command };
        app.n_commands = 1;
        assert_true(is_needed(&config, "labels"));
}

static void keeps_only_the_sections_of_a_process(void **state)
{
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        Cteleport__V1__TeleportConfig teleport = CTELEPORT__V1__TELEPORT_CONFIG__INIT;
        Cteleport__V1__Config config = CTELEPORT__V1__CONFIG__INIT;
        const struct service_row *row;

        (void)state;
        config.teleport = &teleport;
        for (size_t r = 0; (row = services_at(r)) != NULL; r++)
                if (row->section != NULL)
                        services_enable(&config, arena, row, true);
        Cteleport__V1__Config of_ssh = config, of_signer = config, of_echo = config;
        services_keep_sections(&of_ssh, services_process("ssh"));
        assert_non_null(of_ssh.ssh_service);
        assert_null(of_ssh.auth_service);
        assert_null(of_ssh.app_service);
        services_keep_sections(&of_signer, services_process("signer"));
        assert_ptr_equal(of_signer.teleport, &teleport);
        assert_true(of_signer.auth_service != NULL && of_signer.proxy_service == NULL && of_signer.ssh_service == NULL);
        services_keep_sections(&of_echo, services_process("echo"));
        assert_true(of_echo.app_service != NULL && of_echo.ssh_service == NULL && of_echo.db_service == NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(links_lead_to_processes_that_start_earlier),
                cmocka_unit_test(starts_and_stops_in_the_order_of_the_table),
                cmocka_unit_test(every_process_is_ordered_or_follows_another),
                cmocka_unit_test(processes_do_not_share_a_user),
                cmocka_unit_test(gives_each_service_a_user_of_its_own),
                cmocka_unit_test(finds_rows_by_name_role_and_process),
                cmocka_unit_test(lists_the_flags_of_services_that_are_present),
                cmocka_unit_test(every_section_listener_and_switch_exists),
                cmocka_unit_test(needs_the_processes_of_the_enabled_services),
                cmocka_unit_test(keeps_only_the_sections_of_a_process),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
