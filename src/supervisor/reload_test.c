/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New settings for a running supervisor, with stand-ins for the services.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "base/limits.h"
#include "supervisor/stand_in.h"
#include "supervisor/supervisor_testing.h"

static bool log_has(const struct fixture *f, const char *part)
{
        AUTO_MEM char *path = path_in(f->dir, "log");
        AUTO(buf) log = BUF_MAX(256 * KiB);

        assert_null(file_read(path, &log));
        return str_contains(buf_str(&log), str_of(part));
}

/* How often the log has `part`, before `end` or its own end. */
static size_t count_in_log(const struct fixture *f, const char *part, const char *end)
{
        AUTO_MEM char *path = path_in(f->dir, "log");
        AUTO(buf) log = BUF_MAX(256 * KiB);
        size_t count = 0;

        assert_null(file_read(path, &log));
        const char *stop = end == NULL ? NULL : strstr(buf_c(&log), end);
        for (const char *at = buf_c(&log); (at = strstr(at, part)) != NULL && (stop == NULL || at < stop); at++)
                count++;
        return count;
}

static void await_log(const struct fixture *f, const char *part)
{
        while (!log_has(f, part))
                sched_yield();
}

static void reload(const struct fixture *f, const char *config)
{
        given_file(f->dir, "teleport.yaml", config);
        kill(f->pid, SIGHUP);
}

static void start_all(struct fixture *f, const char *config)
{
        start_with(f, config);
        await_all_linked(f);
        await_started(f);
        for (size_t i = 0; i < f->event_count; i++)
                f->seen[i].is_taken = true;
}

#define TELEPORT "version: v3\nteleport:\n  join_params: {token_name: secret-token, method: token}\n  auth_server: 127.0.0.1\n"
#define PROXY "proxy_service: {web_listen_addr: \"127.0.0.1:0\"}\n"

static void replaces_the_processes_that_a_change_concerns(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        reload(f, TELEPORT "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\", \"node:other\"]}\n" PROXY
                           "ssh_service: {labels: {env: prod}}\n");
        AWAIT(f, "auth stops", "auth starts", "signer starts", "sts starts", "auth was given token= static=2", "instance stops", "instance starts",
              "instance receives auth", "auth receives instance", "auth receives ssh", "ssh receives auth", "instance receives ssh");
        await_log(f, "The configuration was reloaded changed:\"auth_service.tokens, ssh_service.labels\"");
        assert_int_equal(count_events(f, "proxy starts"), 1);
        assert_int_equal(count_events(f, "ssh starts"), 1);
}

static void replaces_nothing_if_nothing_has_changed(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        reload(f, base_config);
        await_log(f, "The configuration was reloaded, and has not changed");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
        while (read_event(f))
                ;
        assert_int_equal(count_events(f, "instance starts"), 1);
}

static void refuses_a_configuration_as_a_whole(void **state)
{
        static const struct {
                const char *config, *refusal;
        } rows[] = {
                { TELEPORT "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\", \"node:other\"]}\n" PROXY "ssh_service: {label: 1}\n",
                  "teleport.yaml:7:15: unknown key" },
                { TELEPORT "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\"]}\n" PROXY "ssh_service: {labels: {\"a b\": c}}\n",
                  "teleport.yaml:7:23: ssh_service.labels" },
                { TELEPORT "  nodename: other\n" "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\", \"node:other\"]}\n" PROXY,
                  "teleport.yaml:5:13: a reload cannot apply the change of teleport.nodename: the certificates of this host have its name" },
                { TELEPORT "auth_service: {listen_addr: \"127.0.0.1:1\", cluster_name: x, tokens: [\"node:static\"]}\n" PROXY,
                  "cannot apply the change of auth_service.listen_addr: listening sockets are opened when the service starts; nor that of "
                  "auth_service.cluster_name" },
        };
        struct fixture *f = *state;

        start_all(f, base_config);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                reload(f, rows[i].config);
                await_log(f, rows[i].refusal);
        }
        reload(f, base_config);
        await_log(f, "The configuration was reloaded, and has not changed");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
        while (read_event(f))
                ;
        assert_int_equal(count_events(f, "auth starts"), 1);
        assert_log(f, "The configuration was not reloaded; the former one stays in force");
}

/* `auth` has its new settings already when `instance` refuses to run. */
static void reverts_to_the_former_configuration_if_a_process_fails(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        given_file(f->dir, "instance.do", "give up");
        reload(f, TELEPORT "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\", \"node:other\"]}\n" PROXY
                           "ssh_service: {labels: {env: prod}}\n");
        AWAIT(f, "auth was given token= static=2", "instance stops", "instance starts");
        given_file(f->dir, "instance.do", "");
        AWAIT(f, "auth stops", "auth was given token= static=1", "instance starts", "instance receives auth");
        await_log(f, "The configuration was not reloaded; the former one stays in force error:\"instance: the store is damaged");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
}

#define WITH_SSH(section) TELEPORT "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\"]}\n" PROXY "ssh_service: " section "\n"

static void starts_a_new_ssh_before_the_former_one_ends(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        reload(f, WITH_SSH("{port_forwarding: no}"));
        AWAIT(f, "ssh starts");
        const struct event *started = f->last;
        AWAIT(f, "ssh stops");
        assert_true(f->last > started);
        AWAIT(f, "ssh receives auth", "ssh receives instance", "instance receives ssh");
        await_log(f, "The former process of a service has ended name:ssh");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
        while (read_event(f))
                ;
        assert_int_equal(count_events(f, "ssh starts"), 2);
        assert_int_equal(count_events(f, "ssh stops"), 2);
}

static void keeps_the_former_ssh_if_the_new_one_fails(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        given_file(f->dir, "ssh.do", "give up");
        reload(f, WITH_SSH("{port_forwarding: no}"));
        await_log(f, "the former one stays in force error:\"ssh: the store is damaged");
        given_file(f->dir, "ssh.do", "die");
        reload(f, WITH_SSH("{port_forwarding: no}"));
        await_log(f, "the former one stays in force error:\"the new process of the service 'ssh' ended with status 3");
        assert_int_equal(count_events(f, "ssh stops"), 0);
        kill(f->pid, SIGTERM);
        AWAIT(f, "ssh stops");
        assert_int_equal(await_end(f), 0);
}

/* The process of a service that was started last; the line begins with "NAME starts". */
static pid_t current(struct fixture *f, const char *line)
{
        for (size_t i = 0; i < f->event_count; i++)
                if (strncmp(f->seen[i].line, line, strlen(line)) == 0)
                        f->last = &f->seen[i];
        return pid_of_last_line(f);
}

/* `instance` ends while the new `auth` is awaited, and is started again with the new settings. */
static void reverts_processes_that_were_started_again_meanwhile(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        pid_t instance = current(f, "instance starts");
        given_file(f->dir, "token", "another-token");
        given_file(f->dir, "auth.do", "hang once");
        reload(f, TELEPORT "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\", \"node:other\"]}\n" PROXY);
        AWAIT(f, "auth starts");
        pid_t auth = pid_of_last_line(f);
        kill(instance, SIGKILL);
        AWAIT(f, "instance was given token=another-token");
        given_file(f->dir, "token", "secret-token");
        kill(auth, SIGKILL);
        AWAIT(f, "auth was given token= static=1", "instance was given token=secret-token");
        await_log(f, "The configuration was not reloaded; the former one stays in force");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
}

#define WITH_DEBUG(tokens, ssh) TELEPORT "  log: {severity: DEBUG}\n" "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [" tokens "]}\n" PROXY ssh

enum { ENDS = 5 }; /* of a process in a row; the pause after the last one is about a second */

static void kill_until_it_pauses(struct fixture *f, const char *name)
{
        AUTO_MEM char *starts = mem_printf("%s starts", name), *ended = mem_printf("will be started again name:%s", name);

        for (size_t i = 1; i <= ENDS; i++) {
                kill(current(f, starts), SIGKILL);
                while (count_in_log(f, ended, NULL) < i)
                        sched_yield();
                if (i < ENDS)
                        AWAIT(f, starts);
        }
}

/* It would wait for the other in vain. */
static void a_process_starts_with_the_one_that_it_follows(void **state)
{
        static const char new_process[] = "A service has a new process name:auth";
        struct fixture *f = *state;

        start_all(f, WITH_DEBUG("\"node:static\"", ""));
        kill_until_it_pauses(f, "signer");
        reload(f, WITH_DEBUG("\"node:static\", \"node:other\"", ""));
        await_log(f, new_process);
        assert_true(count_in_log(f, "service started name:signer", new_process) > ENDS);
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
}

/* Also if its settings are the same: new processes of others may need it to be ready. */
static void a_reload_ends_the_pause_before_a_restart(void **state)
{
        static const char new_process[] = "A service has a new process name:ssh";
        struct fixture *f = *state;

        start_all(f, WITH_DEBUG("\"node:static\"", ""));
        kill_until_it_pauses(f, "instance");
        reload(f, WITH_DEBUG("\"node:static\"", "ssh_service: {port_forwarding: no}\n"));
        await_log(f, new_process);
        assert_true(count_in_log(f, "service started name:instance", new_process) > ENDS);
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
}

static void starts_no_process_for_a_reload_while_it_stops(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        pid_t ssh = current(f, "ssh starts");
        kill(ssh, SIGSTOP); /* so that the stop is not over before the reload */
        kill(f->pid, SIGQUIT);
        await_log(f, "shutting down gracefully");
        reload(f, WITH_SSH("{port_forwarding: no}"));
        await_log(f, "SIGHUP reopens the log file");
        kill(ssh, SIGCONT);
        assert_int_equal(await_end(f), 0);
        while (read_event(f))
                ;
        assert_int_equal(count_events(f, "ssh starts"), 1);
        assert_false(log_has(f, "configuration was reloaded"));
}

/* The socket of the stopped process is full when the order to leave is sent. */
static void repeats_the_order_to_leave(void **state)
{
        static const char config[] = TELEPORT "  log: {severity: WARN}\n"
                                              "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\"]}\n" PROXY;
        AUTO_MEM char *changed = mem_printf("%sssh_service: {port_forwarding: no}\n", config);
        struct fixture *f = *state;

        start_all(f, config);
        pid_t former = current(f, "ssh starts");
        kill(former, SIGSTOP);
        while (!log_has(f, "does not read the supervisor's messages name:ssh")) {
                kill(f->pid, SIGHUP);
                sched_yield();
        }
        reload(f, changed);
        AWAIT(f, "ssh starts", "ssh receives auth");
        kill(former, SIGCONT);
        AWAIT(f, "ssh stops");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
}

static void refuses_a_reload_while_too_many_former_processes_remain(void **state)
{
        static const char *const configs[] = { WITH_SSH("{port_forwarding: no}"), WITH_SSH("{port_forwarding: yes}") };
        pid_t former[LIMIT_FORMER_PROCESSES];
        struct fixture *f = *state;

        start_all(f, base_config);
        for (size_t i = 0; i < LIMIT_FORMER_PROCESSES; i++) {
                former[i] = current(f, "ssh starts");
                kill(former[i], SIGSTOP); /* as one whose sessions go on */
                reload(f, configs[i % 2]);
                AWAIT(f, "ssh starts", "ssh receives auth");
        }
        reload(f, configs[LIMIT_FORMER_PROCESSES % 2]);
        AUTO_MEM char *reason = mem_printf("error:\"%d former processes of the service 'ssh' still have connections: processes ", LIMIT_FORMER_PROCESSES);
        await_log(f, reason);
        kill(former[3], SIGCONT);
        AWAIT(f, "ssh stops");
        await_log(f, "The former process of a service has ended name:ssh");
        reload(f, configs[LIMIT_FORMER_PROCESSES % 2]);
        AWAIT(f, "ssh starts");
        for (size_t i = 0; i < LIMIT_FORMER_PROCESSES; i++)
                kill(former[i], SIGCONT);
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
}

static void starts_and_ends_a_process_as_the_configuration_needs_it(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        reload(f, TELEPORT "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\"]}\n" PROXY
                           "ssh_service: {commands: [{name: a, command: [\"/bin/true\"]}]}\n");
        AWAIT(f, "instance starts", "labels starts", "labels receives instance", "instance receives labels");
        await_log(f, "The configuration was reloaded changed:ssh_service.commands");
        reload(f, base_config);
        AWAIT(f, "instance starts", "labels stops");
        await_log(f, "A service process is not needed any more, and has ended name:labels");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
        while (read_event(f))
                ;
        assert_int_equal(count_events(f, "labels starts"), 1);
}

/* The former settings do not need it. */
static void does_not_keep_a_failed_process_that_is_not_needed(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        given_file(f->dir, "labels.do", "die");
        reload(f, WITH_SSH("{commands: [{name: a, command: [\"/bin/true\"]}]}"));
        await_log(f, "the former one stays in force error:\"the new process of the service 'labels' ended with status 3");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
        while (read_event(f))
                ;
        assert_int_equal(count_events(f, "labels starts"), 1);
}

/* signer is vital, and would end the supervisor at any other time. */
static void reverts_if_a_process_that_follows_another_one_fails(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        given_file(f->dir, "auth.do", "hang once");
        given_file(f->dir, "signer.do", "give up once");
        reload(f, TELEPORT "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\", \"node:other\"]}\n" PROXY);
        AWAIT(f, "auth was given token= static=1", "auth receives signer"); /* the new auth may be killed before it reports anything */
        await_log(f, "the former one stays in force error:\"signer: the store is damaged");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
}

static void applies_another_content_of_the_file_of_the_token(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        given_file(f->dir, "token", "another-token");
        reload(f, base_config);
        AWAIT(f, "instance stops", "instance was given token=another-token");
        await_log(f, "The configuration was reloaded changed:teleport.join_params.token_name");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
}

/* READY=1 would end it. */
static void does_not_end_the_start_for_the_service_manager(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_in(f->dir, "notify");
        AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char text[1024];
        ssize_t len;

        assert_true(strlen(path) < sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path));
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        given_file(f->dir, "instance.do", "hang once");
        setenv("NOTIFY_SOCKET", path, 1);
        start_with(f, base_config);
        unsetenv("NOTIFY_SOCKET");
        AWAIT(f, "instance starts");
        pid_t instance = pid_of_last_line(f);
        reload(f, base_config);
        await_log(f, "teleport is still starting");
        kill(instance, SIGKILL);
        assert_int_equal(await_end(f), 1);
        while ((len = recv(fd, text, sizeof(text) - 1, 0)) > 0) {
                text[len] = '\0';
                assert_null(strstr(text, "READY=1"));
        }
}

static void changes_the_severity_of_the_log(void **state)
{
        struct fixture *f = *state;

        start_all(f, base_config);
        reload(f, TELEPORT "  log: {severity: DEBUG}\n"
                           "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\"]}\n" PROXY);
        await_log(f, "The configuration was reloaded changed:teleport.log.severity");
        kill(f->pid, SIGTERM);
        assert_int_equal(await_end(f), 0);
        await_log(f, "DEBU [PROC]");
        assert_int_equal(count_events(f, "auth starts"), 1);
}

int main(int argc, char **argv)
{
        if (argc == 3 && strcmp(argv[1], "service") == 0)
                return stand_in_main(argv[2]);

        const struct CMUnitTest tests[] = {
                TEST(replaces_the_processes_that_a_change_concerns),
                TEST(replaces_nothing_if_nothing_has_changed),
                TEST(refuses_a_configuration_as_a_whole),
                TEST(reverts_to_the_former_configuration_if_a_process_fails),
                TEST(starts_a_new_ssh_before_the_former_one_ends),
                TEST(keeps_the_former_ssh_if_the_new_one_fails),
                TEST(reverts_processes_that_were_started_again_meanwhile),
                TEST(a_process_starts_with_the_one_that_it_follows),
                TEST(a_reload_ends_the_pause_before_a_restart),
                TEST(starts_no_process_for_a_reload_while_it_stops),
                TEST(repeats_the_order_to_leave),
                TEST(refuses_a_reload_while_too_many_former_processes_remain),
                TEST(starts_and_ends_a_process_as_the_configuration_needs_it),
                TEST(does_not_keep_a_failed_process_that_is_not_needed),
                TEST(reverts_if_a_process_that_follows_another_one_fails),
                TEST(applies_another_content_of_the_file_of_the_token),
                TEST(does_not_end_the_start_for_the_service_manager),
                TEST(changes_the_severity_of_the_log),
        };

        return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
