/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/teleport/launch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "os/file_testing.h"

#define PIN "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char agent[] = "version: v3\n"
                            "teleport:\n"
                            "  proxy_server: example.com:443\n"
                            "  join_params: {token_name: iam-token, method: iam}\n"
                            "auth_service: {enabled: no}\n"
                            "proxy_service: {enabled: no}\n"
                            "ssh_service: {enabled: yes}\n";

struct fixture {
        char *dir;
        struct launch launch;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = test_dir_new();
        unsetenv("TELEPORT_CONFIG");
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        test_dir_free(f->dir);
        launch_release(&f->launch);
        free(f);
        return 0;
}

/* The path of a file in the fixture's directory, written there; the caller frees. */
static char *path_of_given(const struct fixture *f, const char *name, const char *text)
{
        given_file(f->dir, name, text);
        return path_in(f->dir, name);
}

static const struct command commands[] = { { "start", .flags = launch_flags, .help = "start" }, { "app start", .flags = app_start_flags, .help = "start" }, { 0 } };
static const struct program program = { .name = "teleport", .help = "teleport", .commands = commands };

enum { ARGUMENTS_MAX = 16 };

/* `teleport` with these arguments; the parsed values live as long as the test program. */
static struct error *prepare(struct fixture *f, const char *const *arguments)
{
        char *argv[ARGUMENTS_MAX] = { "teleport" };
        int argc = 1;
        AUTO_PTR(flags) given = NULL;
        AUTO(buf) help = BUF_MAX(64 * KiB);

        for (; *arguments != NULL; arguments++)
                argv[argc++] = unconst(*arguments);
        assert_null(flags_parse(&program, argc, argv, &given, &help));
        launch_release(&f->launch);
        return launch_prepare(given, &f->launch);
}
#define PREPARE(f, ...) prepare(f, (const char *const[]){ "start", __VA_ARGS__, NULL })
#define PREPARE_APP(f, ...) prepare(f, (const char *const[]){ "app", "start", __VA_ARGS__, NULL })

static bool enabled(const struct fixture *f, const char *service)
{
        return config_service_enabled(f->launch.config, service);
}

/* ---- source of the configuration --------------------------------------------------------------------------- */

static void reads_the_named_file(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_of_given(f, "teleport.yaml", agent);

        assert_null(PREPARE(f, "-c", path));
        assert_string_equal(f->launch.config_path, path);
        assert_string_equal(f->launch.data_dir, "/var/lib/teleport");
        assert_true(str_equal(secret_str(&f->launch.token), STR("iam-token")));
        assert_false(enabled(f, "auth"));
        assert_false(enabled(f, "proxy"));
        assert_true(enabled(f, "ssh"));
}

static void refuses_a_named_file_that_is_missing(void **state)
{
        assert_refused(PREPARE(*state, "-c", "/nonexistent/teleport.yaml"), ERROR_NOT_FOUND,
                       "/nonexistent/teleport.yaml");
}

static void names_the_line_of_a_mistake(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_of_given(f, "teleport.yaml", "version: v3\nteleport:\n  nodenam: x\n");

        assert_refused(PREPARE(f, "-c", path), ERROR_INVALID_ARGUMENT, "teleport.yaml:3");
}

static void reads_a_whole_file_from_base64(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) encoded = BUF_MAX(4 * KiB);

        base64_encode(&encoded, str_of(agent));
        assert_null(PREPARE(f, "--config-string", buf_c(&encoded)));
        assert_null(f->launch.config_path);
        assert_true(enabled(f, "ssh"));
        setenv("TELEPORT_CONFIG", buf_c(&encoded), 1);
        assert_null(PREPARE(f, "--nodename=x"));
        assert_false(enabled(f, "auth"));
        unsetenv("TELEPORT_CONFIG");
        assert_refused(PREPARE(f, "--config-string", "%%%"), ERROR_INVALID_ARGUMENT, "--config-string");
}

/* ---- flags over the file -------------------------------------------------------------------------------------- */

static void lets_flags_override_the_file(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_of_given(f, "teleport.yaml", agent);

        assert_null(PREPARE(f, "-c", path, "--nodename=web-1", "--data-dir=/srv/t", "--token=other",
                            "--pid-file=/run/p", "-d", "--insecure"));
        assert_string_equal(f->launch.nodename, "web-1");
        assert_string_equal(f->launch.data_dir, "/srv/t");
        assert_string_equal(f->launch.pid_file, "/run/p");
        assert_true(str_equal(secret_str(&f->launch.token), STR("other")));
        assert_string_equal(f->launch.config->teleport->log->severity, "DEBUG");
        assert_true(f->launch.insecure);
}

static void runs_the_roles_that_are_named_and_no_others(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_of_given(f, "teleport.yaml", "version: v3\n");

        assert_null(PREPARE(f, "-c", path, "--roles=auth,proxy"));
        assert_true(enabled(f, "auth"));
        assert_true(enabled(f, "proxy"));
        assert_false(enabled(f, "ssh"));
        assert_refused(PREPARE(f, "-c", path, "--roles=auth,nodes"), ERROR_INVALID_ARGUMENT, "unknown role: 'nodes'");
        assert_failed(PREPARE(f, "-c", path, "--roles=auth,app"));
}

static void turns_the_local_auth_off_for_a_remote_one(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_of_given(f, "teleport.yaml", "version: v3\n");

        assert_null(PREPARE(f, "-c", path, "--roles=node", "--auth-server=auth.example.com", "--token=t"));
        assert_false(enabled(f, "auth"));
        assert_memory_equal(f->launch.config->teleport->auth_server, "auth.example.com", strlen("auth.example.com"));
        assert_refused(PREPARE(f, "-c", path, "--auth-server=a,b"), ERROR_INVALID_ARGUMENT, "--auth-server");
}

static void offers_the_application_of_the_flags(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_of_given(f, "teleport.yaml", agent);

        assert_null(PREPARE(f, "-c", path, "--roles=app", "--app-name=queue", "--app-uri=tcp://127.0.0.1:5672"));
        assert_true(enabled(f, "app"));
        assert_false(enabled(f, "ssh"));
        assert_int_equal(f->launch.config->app_service->n_apps, 1);
        assert_string_equal(f->launch.config->app_service->apps[0]->uri, "tcp://127.0.0.1:5672");
        assert_refused(PREPARE(f, "-c", path, "--app-name=queue"), ERROR_INVALID_ARGUMENT, "--app-name and --app-uri belong together");
        assert_refused(PREPARE(f, "-c", path, "--app-name=Queue", "--app-uri=tcp://a:1"), ERROR_INVALID_ARGUMENT, "must be a valid DNS subdomain");
}

static void runs_the_application_service_alone(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_of_given(f, "teleport.yaml", agent);
        AUTO_MEM char *apps = path_of_given(f, "apps.yaml", "version: v3\nteleport: {proxy_server: \"a:1\"}\n"
                                                            "app_service: {enabled: no, apps: [{name: wiki, uri: \"http://a:1\"}]}\n");

        assert_null(PREPARE_APP(f, "-c", path, "--name=queue", "--uri=tcp://127.0.0.1:5672", "--labels=env=prod,note=\"a, b\"", "--auth-server=p:443",
                                "--token=other", "--pid-file=/run/p", "-d", "--insecure"));
        const Cteleport__V1__AppConfig *app = f->launch.config->app_service->apps[0];
        assert_true(enabled(f, "app"));
        assert_false(enabled(f, "ssh") || enabled(f, "auth") || enabled(f, "proxy"));
        assert_string_equal(app->name, "queue");
        assert_int_equal(app->n_labels, 2);
        assert_string_equal(app->labels[1]->value, "a, b");
        assert_string_equal(f->launch.config->teleport->proxy_server, "p:443");
        assert_null(f->launch.config->teleport->auth_server);
        assert_string_equal(f->launch.pid_file, "/run/p");
        assert_true(f->launch.insecure);
        assert_null(PREPARE_APP(f, "-c", apps));
        assert_true(enabled(f, "app"));
        assert_string_equal(f->launch.config->app_service->apps[0]->name, "wiki");
        assert_null(PREPARE_APP(f, "-c", path, "--name=wiki", "--uri=http://a:1", "--public-addr=wiki.example.org"));
        assert_string_equal(f->launch.config->app_service->apps[0]->public_addr, "wiki.example.org");
        assert_null(PREPARE(f, "-c", path, "--app-name=wiki", "--app-uri=http://a:1", "--app-public-addr=wiki.example.org"));
        assert_string_equal(f->launch.config->app_service->apps[0]->public_addr, "wiki.example.org");
        assert_refused(PREPARE(f, "-c", path, "--app-public-addr=wiki.example.org"), ERROR_INVALID_ARGUMENT, "--app-public-addr needs --app-name");
        assert_refused(PREPARE_APP(f, "-c", path), ERROR_INVALID_ARGUMENT, "app_service is enabled and has no applications");
        assert_refused(PREPARE_APP(f, "-c", path, "--uri=tcp://a:1"), ERROR_INVALID_ARGUMENT, "--name and --uri belong together");
        assert_refused(PREPARE_APP(f, "-c", apps, "--labels=a=b"), ERROR_INVALID_ARGUMENT, "--labels and --public-addr need --name and --uri");
}

static void reads_labels_with_quotes(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_of_given(f, "teleport.yaml", agent);

        assert_null(PREPARE(f, "-c", path, "--labels=env=prod,note=\"a, b=c\""));
        assert_int_equal(f->launch.config->ssh_service->n_labels, 2);
        assert_string_equal(f->launch.config->ssh_service->labels[0]->key, "env");
        assert_string_equal(f->launch.config->ssh_service->labels[0]->value, "prod");
        assert_string_equal(f->launch.config->ssh_service->labels[1]->value, "a, b=c");
        assert_refused(PREPARE(f, "-c", path, "--labels=env"), ERROR_INVALID_ARGUMENT, "'env' is not a label");
}

static void puts_the_listening_address_before_the_ports(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path =
                path_of_given(f, "teleport.yaml", "version: v3\nauth_service: {listen_addr: \"0.0.0.0:4025\"}\n");

        assert_null(PREPARE(f, "-c", path, "-l", "127.0.0.1"));
        assert_string_equal(f->launch.config->auth_service->listen_addr, "127.0.0.1:4025");
        assert_string_equal(f->launch.config->proxy_service->web_listen_addr, "127.0.0.1:3080");
        assert_null(PREPARE(f, "-c", path, "-l", "::1"));
        assert_string_equal(f->launch.config->auth_service->listen_addr, "[::1]:4025");
}

/* ---- files of the configuration -----------------------------------------------------------------------------------
 */

static void reads_a_token_from_its_file(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *config = path_of_given(f, "teleport.yaml", agent);
        AUTO_MEM char *token = path_of_given(f, "token", "from-a-file\n");
        AUTO_MEM char *empty = path_of_given(f, "empty", " \n");

        assert_null(PREPARE(f, "-c", config, "--token", token));
        assert_true(str_equal(secret_str(&f->launch.token), STR("from-a-file")));
        assert_refused(PREPARE(f, "-c", config, "--token", empty), ERROR_INVALID_ARGUMENT, "is empty");
        assert_refused(PREPARE(f, "-c", config, "--token", "/nonexistent"), ERROR_NOT_FOUND,
                       "cannot read the join token");
        assert_refused(PREPARE(f, "-c", config, "--token", "not/absolute"), ERROR_INVALID_ARGUMENT, "characters");
}

static void resolves_pins_and_refuses_invalid_ones(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *config = path_of_given(f, "teleport.yaml", agent);
        AUTO_MEM char *two = path_of_given(f, "two",
                                        PIN "\n\n  sha256:AB"
                                            "23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n");
        AUTO_MEM char *empty = path_of_given(f, "empty", "\n");
        static const char *const wrong[] = {
                "md5:00", "sha256:00", "0123", PIN "0",
                "sha256:zz23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        };

        assert_null(PREPARE(f, "-c", config));
        assert_int_equal(f->launch.ca_pin_count, 0);
        assert_null(PREPARE(f, "-c", config, "--ca-pin", PIN, "--ca-pin", two));
        assert_int_equal(f->launch.ca_pin_count, 3);
        assert_string_equal(f->launch.ca_pins[1], PIN);
        assert_memory_equal(f->launch.ca_pins[2], "sha256:ab23", strlen("sha256:ab23"));
        assert_refused(PREPARE(f, "-c", config, "--ca-pin", empty), ERROR_INVALID_ARGUMENT, "is empty");
        assert_refused(PREPARE(f, "-c", config, "--ca-pin", ""), ERROR_INVALID_ARGUMENT, "no value");
        assert_refused(PREPARE(f, "-c", config, "--ca-pin=,"), ERROR_INVALID_ARGUMENT, "no value");
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
                assert_refused(PREPARE(f, "-c", config, "--ca-pin", wrong[i]), ERROR_INVALID_ARGUMENT,
                               "is not a CA pin");
}

static void finds_a_name_for_this_host(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *config = path_of_given(f, "teleport.yaml", agent);

        assert_null(PREPARE(f, "-c", config));
        assert_true(f->launch.nodename[0] != '\0');
        assert_refused(PREPARE(f, "-c", config, "--nodename=a_b"), ERROR_INVALID_ARGUMENT, "nodename");
}

static void takes_the_diagnostic_address_of_the_file_or_the_flag(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *config = path_of_given(f, "teleport.yaml", "version: v3\nteleport: {diag_addr: \"\"}\n");

        assert_null(PREPARE(f, "-c", config));
        assert_null(f->launch.config->teleport->diag_addr);
        assert_null(PREPARE(f, "-c", config, "--diag-addr=127.0.0.1:3000"));
        assert_string_equal(f->launch.config->teleport->diag_addr, "127.0.0.1:3000");
        assert_refused(PREPARE(f, "-c", config, "--diag-addr=127.0.0.1"), ERROR_INVALID_ARGUMENT, "teleport.diag_addr");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(reads_the_named_file),
                TEST(refuses_a_named_file_that_is_missing),
                TEST(names_the_line_of_a_mistake),
                TEST(reads_a_whole_file_from_base64),
                TEST(lets_flags_override_the_file),
                TEST(runs_the_roles_that_are_named_and_no_others),
                TEST(turns_the_local_auth_off_for_a_remote_one),
                TEST(offers_the_application_of_the_flags),
                TEST(runs_the_application_service_alone),
                TEST(reads_labels_with_quotes),
                TEST(puts_the_listening_address_before_the_ports),
                TEST(reads_a_token_from_its_file),
                TEST(resolves_pins_and_refuses_invalid_ones),
                TEST(finds_a_name_for_this_host),
                TEST(takes_the_diagnostic_address_of_the_file_or_the_flag),
        };

        return cmocka_run_group_tests_name("launch", tests, NULL, NULL);
}
