/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor with stand-ins for the services: this program executes itself as `service NAME`, and writes events to
 * a FIFO, on which the tests wait.
 */
#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "os/file_testing.h"
#include "resource/config_file.h"
#include "supervisor/stand_in.h"
#include "supervisor/supervisor_testing.h"

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static void starts_the_services_and_links_them(void **state)
{
        struct fixture *f = *state;

        start(f);
        await_all_linked(f);
        assert_log(f, "Auth service listening addr:127.0.0.1:");
        assert_log(f, "Proxy service listening addr:127.0.0.1:");
}

static void assert_order(struct fixture *f, const char *first, const char *second, const char *third)
{
        const char *const prefixes[] = { first, second, third };
        const struct event *before = NULL;

        for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
                AWAIT(f, prefixes[i]);
                assert_true(before == NULL || f->last > before);
                before = f->last;
        }
}

static void ends_them_in_order(void **state)
{
        struct fixture *f = *state;

        start(f);
        await_all_linked(f);
        kill(f->pid, SIGTERM);
        assert_order(f, "proxy stops", "ssh stops", "instance stops");
        AWAIT(f, "auth stops");
        AWAIT(f, "signer ends", "sts ends");
        assert_int_equal(await_end(f), 0);
}

static void drains_them_in_order(void **state)
{
        struct fixture *f = *state;

        start(f);
        await_all_linked(f);
        kill(f->pid, SIGQUIT);
        assert_order(f, "ssh drains", "instance drains", "auth drains");
        assert_int_equal(await_end(f), 0);
}

static void gives_secrets_only_to_services_that_need_them(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "instance.do", "sign");
        start(f);
        AWAIT(f, "signer was given token= static=0 keypairs=0 aws=no http_proxy=no",
              "sts was given token= static=0 keypairs=0 aws=no http_proxy=yes", "auth was given token= static=1 keypairs=0 aws=no",
              "proxy was given token= static=0 keypairs=1 aws=no http_proxy=no",
              "instance was given token=secret-token static=0 keypairs=0 aws=no http_proxy=yes",
              "ssh was given token= static=0 keypairs=0 aws=no http_proxy=yes", "aws-sign was given token= static=0 keypairs=0 aws=yes");
}

static void gives_each_service_its_own_sections(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "instance.do", "sign");
        start(f);
        AWAIT(f, "signer receives teleport auth_service\n", "sts receives teleport auth_service\n", "auth receives teleport auth_service proxy_service\n",
              "proxy receives teleport proxy_service\n", "instance receives teleport proxy_service ssh_service\n",
              "ssh receives teleport proxy_service ssh_service\n", "aws-sign receives teleport\n");
}

static void starts_a_process_that_signs_when_instance_asks(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "instance.do", "sign");
        start(f);
        AWAIT(f, "aws-sign starts pid=", "instance gets signer 1", "aws-sign ends");
        assert_null(find_event(f, "ssh gets signer"));
        assert_null(find_event(f, "proxy gets signer"));
}

/* A dying `instance` may leave its request for another process pending: the next one must not receive it. */
static void assert_never_two_signers(const struct fixture *f)
{
        int living = 0;

        for (size_t i = 0; i < f->event_count; i++) {
                const char *line = f->seen[i].line;

                if (strncmp(line, "aws-sign starts", strlen("aws-sign starts")) == 0)
                        living++;
                else if (strncmp(line, "aws-sign ends", strlen("aws-sign ends")) == 0 ||
                         strncmp(line, "aws-sign is ordered", strlen("aws-sign is ordered")) == 0)
                        living--;
                assert_in_range(living, 0, 1);
        }
}

/* It has requested 30; the first one lives until its client hangs up, and of the others only the last is started. */
static void starts_one_process_that_signs_at_a_time(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "instance.do", "keep a signer");
        start(f);
        AWAIT(f, "instance starts");
        pid_t instance = pid_of_last_line(f);
        AWAIT(f, "instance gets signer 1");
        while (count_events(f, "aws-sign starts") == 0)
                assert_true(read_event(f));
        given_file(f->dir, "instance.do", "");
        await_all_linked(f);
        await_started(f);
        assert_int_equal(count_events(f, "aws-sign starts"), 1);
        kill(instance, SIGKILL);
        AWAIT(f, "aws-sign", "instance starts");
        assert_never_two_signers(f);
}

static void limits_the_rate_of_requests_for_signers(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *after_burst = mem_printf("instance gets signer %d ", LIMIT_AWS_SIGN_BURST + 1);

        given_file(f->dir, "instance.do", "sign without end");
        start(f);
        AWAIT(f, "instance gets signer 1 ");
        struct instant first = clock_now(clock_system());
        AWAIT(f, after_burst);
        assert_true(duration_ms(instant_since(clock_now(clock_system()), first)) >= PACE_AWS_SIGN / 2);
        given_file(f->dir, "instance.do", "");
}

static void ends_the_process_that_signs_with_instance(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "instance.do", "keep a signer");
        given_file(f->dir, "aws-sign.do", "stay");
        start(f);
        AWAIT(f, "instance starts");
        pid_t instance = pid_of_last_line(f);
        AWAIT(f, "instance gets signer 1", "aws-sign starts");
        given_file(f->dir, "instance.do", "");
        await_started(f);
        kill(instance, SIGKILL);
        AWAIT(f, "aws-sign is ordered to end");
}

/* A request that only `instance` may send. */
static void starts_no_signer_for_other_services(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "ssh.do", "sign");
        given_file(f->dir, "proxy.do", "sign");
        start(f);
        await_all_linked(f);
        assert_int_equal(count_events(f, "aws-sign starts"), 0);
}

static void restarts_a_dead_service_and_links_it_again(void **state)
{
        struct fixture *f = *state;

        start(f);
        AWAIT(f, "proxy starts");
        pid_t proxy = pid_of_last_line(f);
        await_all_linked(f);
        await_started(f);
        kill(proxy, SIGKILL);
        AWAIT(f, "proxy starts pid=", "auth gets a link to proxy", "instance gets a link to proxy", "auth receives proxy",
              "proxy receives auth", "instance receives proxy", "proxy receives instance");
        assert_log(f, "service ended and will be started again name:proxy");
}

static void replaces_signer_and_sts_with_their_auth(void **state)
{
        struct fixture *f = *state;

        start(f);
        AWAIT(f, "auth starts");
        pid_t auth = pid_of_last_line(f);
        await_all_linked(f);
        await_started(f);
        kill(auth, SIGKILL);
        AWAIT(f, "auth starts", "signer starts", "sts starts", "auth receives signer", "signer receives auth",
              "auth receives sts", "sts receives auth", "auth receives proxy", "proxy receives auth", "auth receives instance",
              "instance receives auth");
}

static void restarts_a_signer_and_notifies_auth(void **state)
{
        struct fixture *f = *state;

        start(f);
        AWAIT(f, "signer starts");
        pid_t signer = pid_of_last_line(f);
        await_all_linked(f);
        await_started(f);
        kill(signer, SIGKILL);
        AWAIT(f, "signer starts", "auth gets a link to signer", "auth receives signer", "signer receives auth");
}

static void links_those_again_that_lost_touch(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "proxy.do", "lose auth");
        start(f);
        AWAIT(f, "proxy starts", "proxy gets a link to auth", "auth gets a link to proxy");
}

static void fails_with_the_sentence_of_a_service_that_gives_up(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "auth.do", "give up");
        start(f);
        AWAIT(f, "auth starts");
        assert_int_equal(await_end(f), 1);
        assert_log(f, "ERROR: auth: the store is damaged\nhint:  restore it\n");
}

/* The proxy, restarted to do this, is started again afterwards; auth is not affected. */
static void assert_costs_that_service_only(struct fixture *f, const char *act, const char *line)
{
        start(f);
        AWAIT(f, "auth starts", "proxy starts");
        pid_t proxy = pid_of_last_line(f);
        await_all_linked(f);
        await_started(f);
        given_file(f->dir, "proxy.do", act);
        kill(proxy, SIGKILL);
        AWAIT(f, "proxy starts");
        given_file(f->dir, "proxy.do", "");
        AWAIT(f, "proxy starts", "proxy receives auth", "auth receives proxy");
        assert_log(f, line);
        assert_null(find_event(f, "auth starts"));
}

static void restarts_a_service_that_gives_up_once_all_were_ready(void **state)
{
        assert_costs_that_service_only(*state, "give up", "a service cannot go on name:proxy");
}

static void kills_a_service_that_sends_invalid_messages(void **state)
{
        assert_costs_that_service_only(*state, "send invalid", "a service sent an invalid message and is killed name:proxy");
}

static void serves_the_others_while_one_floods_it(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "instance.do", "flood");
        start(f);
        AWAIT(f, "proxy starts");
        pid_t proxy = pid_of_last_line(f);
        await_started(f);
        kill(proxy, SIGKILL);
        AWAIT(f, "proxy starts");
        given_file(f->dir, "instance.do", "");
}

/*
 * Both have sent their requests before the supervisor reads any, the flood first; `instance` sees which is done first. If the
 * flood were read to its end, its last request would be.
 */
static void reads_others_before_the_end_of_a_flood(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "ssh.do", "flood and relink");
        given_file(f->dir, "instance.do", "ask behind the flood");
        start(f);
        await_started(f);
        kill(f->pid, SIGSTOP);
        AWAIT(f, "ssh has flooded");
        given_file(f->dir, "flooded", "");
        AWAIT(f, "instance has asked");
        kill(f->pid, SIGCONT);
        AWAIT(f, "instance gets signer 1");
        const struct event *signer = f->last;
        AWAIT(f, "instance gets a link to ssh");
        assert_true(signer < f->last);
}

/* Until all services are ready, an operator watches and no peer is served: any failure ends the start, with its reason. */
static void fails_with_the_sentence_of_any_service_before_all_are_ready(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "ssh.do", "give up");
        start(f);
        AWAIT(f, "ssh starts");
        assert_int_equal(await_end(f), 1);
        assert_log(f, "ERROR: ssh: the store is damaged\nhint:  restore it\n");
}

static void fails_when_a_service_dies_before_all_are_ready(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "sts.do", "die");
        start(f);
        AWAIT(f, "sts starts");
        assert_int_equal(await_end(f), 1);
        assert_log(f, "ERROR: the service 'sts' ended with status 3 before it was ready");
}

static void runs_only_instance_and_ssh_on_an_agent(void **state)
{
        struct fixture *f = *state;

        start_with(f, agent_config);
        AWAIT(f, "instance starts");
        assert_non_null(strstr(f->last->line, "fds=ssh\n"));
        AWAIT(f, "ssh starts");
        assert_non_null(strstr(f->last->line, "fds=instance,helpers\n"));
        kill(f->pid, SIGTERM);
        while (read_event(f)) {
                const char *line = f->seen[f->event_count - 1].line;

                assert_true(strncmp(line, "instance", strlen("instance")) == 0 || strncmp(line, "ssh", strlen("ssh")) == 0);
        }
        assert_int_equal(await_end(f), 0);
        AUTO_MEM char *host_uuid = path_in(f->dir, "host_uuid");
        assert_int_not_equal(access(host_uuid, F_OK), 0); /* the cluster gives it one */
}

static void runs_commands_of_labels_in_a_process_of_their_own(void **state)
{
        struct fixture *f = *state;

        start_with(f, "version: v3\n"
                      "teleport: {auth_server: 127.0.0.1, join_params: {token_name: t, method: iam}}\n"
                      "auth_service: {enabled: no}\n"
                      "proxy_service: {enabled: no}\n"
                      "ssh_service: {enabled: yes, commands: [{name: os, command: [uname], period: 1m}]}\n");
        AWAIT(f, "labels starts");
        assert_non_null(strstr(f->last->line, "fds=instance\n"));
        AWAIT(f, "labels was given token= static=0 keypairs=0 aws=no", "labels receives instance", "instance receives labels");
        kill(f->pid, SIGTERM);
        assert_order(f, "ssh stops", "labels stops", "instance stops");
        assert_int_equal(await_end(f), 0);
}

static void starts_sshd_for_a_connection_and_reports_its_end(void **state)
{
        struct fixture *f = *state;

        if (geteuid() != 0)
                skip();
        given_file(f->dir, "ssh.do", "start sshd");
        start(f);
        AWAIT(f, "sshd says Unable to load host key", "ssh gets the stream of " CONNECTION,
              "ssh receives that " CONNECTION " ended with status 1");
}

static void await_log(const struct fixture *f, const char *part)
{
        AUTO_MEM char *path = path_in(f->dir, "log");

        for (;;) {
                AUTO(buf) log = BUF_MAX(64 * KiB);

                if (file_read(path, &log) == NULL && strstr(buf_c(&log), part) != NULL)
                        return;
                sched_yield();
        }
}

static void make_host_key(const struct fixture *f)
{
        AUTO_MEM char *proc = path_in(f->dir, "proc"), *dir = path_in(f->dir, "proc/ssh");
        AUTO_MEM char *command = mem_printf("ssh-keygen -q -t ed25519 -N '' -f %s/host_key", dir);

        assert_true(mkdir(proc, 0700) == 0 && mkdir(dir, 0700) == 0);
        assert_int_equal(system(command), 0);
}

/* With a key it waits for its client, so that the first lives when the second is requested. */
static void starts_no_second_sshd_for_a_connection(void **state)
{
        struct fixture *f = *state;

        if (geteuid() != 0)
                skip();
        make_host_key(f);
        given_file(f->dir, "ssh.do", "start sshd twice");
        start(f);
        AWAIT(f, "ssh receives of helper"); /* requested last, answered last */
        size_t streams = 0;
        for (size_t i = 0; i < f->event_count; i++)
                streams += strstr(f->seen[i].line, "ssh gets the stream of " CONNECTION) != NULL;
        assert_int_equal(streams, 1);
}

/* Its log descriptor cannot be passed: then its connection is not passed either, and it ends. */
static void ends_an_sshd_that_could_not_be_handed_over(void **state)
{
        struct fixture *f = *state;

        if (geteuid() != 0)
                skip();
        make_host_key(f);
        given_file(f->dir, "ssh.do", "start sshd and receive nothing");
        start_with(f, "version: v3\n"
                      "teleport: {auth_server: 127.0.0.1, join_params: {token_name: t, method: iam}, log: {severity: DEBUG}}\n"
                      "auth_service: {enabled: no}\n"
                      "proxy_service: {enabled: no}\n"
                      "ssh_service: {enabled: yes}\n");
        await_log(f, "sshd is ended: its connection could not be handed over connection:" CONNECTION);
        await_log(f, "sshd ended connection:" CONNECTION);
}

static void starts_nothing_under_a_name_that_is_no_connection(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "ssh.do", "start invalid");
        start(f);
        AWAIT(f, "ssh receives that " CONNECTION " there is none"); /* requested last, answered first */
}

static void knows_helpers_by_the_sshd_that_started_them(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "ssh.do", "check helper");
        start(f);
        AWAIT(f, "ssh receives of helper");
        assert_non_null(strstr(f->last->line, "it was not started by the sshd of this connection"));
}

static void knows_a_helper_by_its_process_and_not_by_its_number(void **state)
{
        struct fixture *f = *state;

        given_file(f->dir, "ssh.do", "check dead helper");
        start(f);
        AWAIT(f, "ssh receives of helper");
        assert_non_null(strstr(f->last->line, "it is gone"));
}

static void refuses_a_data_directory_in_use(void **state)
{
        struct fixture *f = *state;
        int lock;

        assert_null(dir_lock(f->dir, &lock));
        AUTO_MEM char *fifo = path_in(f->dir, "events");
        AUTO_FD int keep_fifo_open = open(fifo, O_RDWR | O_CLOEXEC); /* no other process does */
        start(f);
        assert_int_equal(await_end(f), 1);
        assert_log(f, "is in use by process");
        close(lock);
        assert_true(keep_fifo_open >= 0);
}

static void hands_new_certificates_to_the_proxy_on_hangup(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *cert = path_in(f->dir, "webproxy_cert.pem");

        start(f);
        await_all_linked(f);
        await_started(f);
        assert_int_equal(unlink(cert), 0);
        kill(f->pid, SIGHUP);
        AWAIT(f, "proxy has 1 keypairs, key of some length");
        assert_int_equal(access(cert, F_OK), 0);
}

static void takes_the_services_with_it_when_killed(void **state)
{
        struct fixture *f = *state;

        start(f);
        await_all_linked(f);
        kill(f->pid, SIGKILL);
        while (read_event(f)) /* until the last writer has closed it */
                ;
        assert_true(feof(f->events));
}

static void gives_an_auth_machine_its_host_id_and_keeps_it(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_in(f->dir, "host_uuid");
        AUTO(buf) first = BUF_MAX(64);

        given_file(f->dir, "host_uuid", " \n"); /* blank counts as missing */
        start(f);
        await_all_linked(f);
        assert_null(file_read(path, &first));
        assert_int_equal(first.len, 36);
        assert_int_equal(mode_of(path), 0400);
}

static void keeps_the_host_id_that_instance_was_given(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_in(f->dir, "host_uuid");
        AUTO(buf) text = BUF_MAX(64);

        given_file(f->dir, "instance.do", "join");
        start_with(f, agent_config);
        AWAIT(f, "instance gets signer 1");
        assert_null(file_read(path, &text));
        assert_string_equal(buf_c(&text), CONNECTION);
        assert_int_equal(mode_of(path), 0400);
}

/* Of another service, and on the machine of auth, where the ID is auth's. */
static void takes_no_host_id_where_none_is_given(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_in(f->dir, "host_uuid");
        AUTO(buf) text = BUF_MAX(64);

        given_file(f->dir, "host_uuid", "22222222-2222-4333-8444-555555555555");
        given_file(f->dir, "ssh.do", "join");
        given_file(f->dir, "instance.do", "join");
        start(f);
        AWAIT(f, "instance gets signer 1");
        assert_null(file_read(path, &text));
        assert_string_equal(buf_c(&text), "22222222-2222-4333-8444-555555555555");
}

int main(int argc, char **argv)
{
        if (argc == 3 && strcmp(argv[1], "service") == 0)
                return stand_in_main(argv[2]);

        const struct CMUnitTest tests[] = {
                TEST(starts_the_services_and_links_them),
                TEST(ends_them_in_order),
                TEST(drains_them_in_order),
                TEST(gives_secrets_only_to_services_that_need_them),
                TEST(gives_each_service_its_own_sections),
                TEST(restarts_a_dead_service_and_links_it_again),
                TEST(replaces_signer_and_sts_with_their_auth),
                TEST(restarts_a_signer_and_notifies_auth),
                TEST(links_those_again_that_lost_touch),
                TEST(fails_with_the_sentence_of_a_service_that_gives_up),
                TEST(restarts_a_service_that_gives_up_once_all_were_ready),
                TEST(kills_a_service_that_sends_invalid_messages),
                TEST(serves_the_others_while_one_floods_it),
                TEST(reads_others_before_the_end_of_a_flood),
                TEST(fails_with_the_sentence_of_any_service_before_all_are_ready),
                TEST(fails_when_a_service_dies_before_all_are_ready),
                TEST(runs_only_instance_and_ssh_on_an_agent),
                TEST(runs_commands_of_labels_in_a_process_of_their_own),
                TEST(starts_a_process_that_signs_when_instance_asks),
                TEST(starts_one_process_that_signs_at_a_time),
                TEST(limits_the_rate_of_requests_for_signers),
                TEST(ends_the_process_that_signs_with_instance),
                TEST(starts_no_signer_for_other_services),
                TEST(starts_sshd_for_a_connection_and_reports_its_end),
                TEST(ends_an_sshd_that_could_not_be_handed_over),
                TEST(starts_nothing_under_a_name_that_is_no_connection),
                TEST(starts_no_second_sshd_for_a_connection),
                TEST(knows_a_helper_by_its_process_and_not_by_its_number),
                TEST(knows_helpers_by_the_sshd_that_started_them),
                TEST(refuses_a_data_directory_in_use),
                TEST(hands_new_certificates_to_the_proxy_on_hangup),
                TEST(takes_the_services_with_it_when_killed),
                TEST(gives_an_auth_machine_its_host_id_and_keeps_it),
                TEST(keeps_the_host_id_that_instance_was_given),
                TEST(takes_no_host_id_where_none_is_given),
        };

        return cmocka_run_group_tests_name("supervisor", tests, NULL, NULL);
}
