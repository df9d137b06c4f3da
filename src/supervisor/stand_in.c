/* SPDX-License-Identifier: Apache-2.0 */
/* Fake services for supervisor_test.c, which write the events they receive to data_dir/events. */
#include "supervisor/stand_in.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/service.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"
#include "rpc/pb.h"

struct stand_in {
        struct service service;
        struct loop loop;
        const char *name;
        int events_fd;
        uv_poll_t links[8];
        size_t link_count;
};

static void report(struct stand_in *in, const char *format, ...) PRINTF_LIKE(2, 3);

static void report(struct stand_in *in, const char *format, ...)
{
        char line[512];
        va_list args;

        va_start(args, format);
        int len = vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        if (write(in->events_fd, line, (size_t)len) != len)
                _exit(90);
}

static void on_stop(void *ctx)
{
        struct stand_in *in = ctx;

        report(in, "%s stops\n", in->name);
        exit(0);
}

static void on_drain(void *ctx)
{
        struct stand_in *in = ctx;

        report(in, "%s drains\n", in->name);
        exit(0);
}

static void report_keypairs(struct stand_in *in, Cteleport__Internal__V1__HttpsKeyPair **pairs, size_t count)
{
        report(in, "%s has %zu keypairs, key of %s\n", in->name, count,
             pairs[0]->key_pem.len > 100 ? "some length" : "none");
}

/* Each side sends its name over a link; the other reports what it receives. */
static void on_link_readable(uv_poll_t *poll, int status, int events)
{
        struct stand_in *in = poll->data;
        char sent[64];
        uv_os_fd_t fd;

        (void)status;
        (void)events;
        uv_fileno((uv_handle_t *)poll, &fd);
        ssize_t n = read(fd, sent, sizeof(sent));
        if (n <= 0) {
                uv_poll_stop(poll);
                return;
        }
        report(in, "%s receives %.*s\n", in->name, (int)n, sent);
}

static void report_start(struct stand_in *in, int fd)
{
        uv_poll_t *poll = &in->links[in->link_count++];

        ssize_t n = write(fd, in->name, strlen(in->name));
        (void)n; /* a sibling may be dead already */
        poll->data = in;
        uv_poll_init(&in->loop.uv, poll, fd);
        uv_poll_start(poll, UV_READABLE, on_link_readable);
}

static void on_link(void *ctx, const char *name, int fd)
{
        struct stand_in *in = ctx;

        report(in, "%s gets a link to %s\n", in->name, name);
        report_start(in, fd);
}

/* Whether a test has written `act` to data_dir/NAME.do for this service. */
static bool is_to(const struct stand_in *in, const char *act)
{
        AUTO_MEM char *path = mem_printf("%s/%s.do", in->service.boot->data_dir, in->name);
        AUTO(buf) text = BUF_MAX(64);
        AUTO_PTR(error) err = file_read(path, &text);

        return err == NULL && str_equal(buf_str(&text), str_of(act));
}

/* The same for one process: the next one does not act so. */
static bool is_to_once(const struct stand_in *in, const char *act)
{
        AUTO_MEM char *path = mem_printf("%s/%s.do", in->service.boot->data_dir, in->name);

        return is_to(in, act) && unlink(path) == 0;
}

static void report_what_it_was_given(struct stand_in *in)
{
        const Cteleport__Internal__V1__Boot *boot = in->service.boot;
        AUTO(buf) fds = BUF_MAX(256);

        for (size_t i = 0; i < boot->n_fds; i++)
                buf_printf(&fds, "%s%s", i == 0 ? "" : ",", boot->fds[i]);
        report(in, "%s starts pid=%ld fds=%s\n", in->name, (long)getpid(), buf_c(&fds));
        report(in, "%s receives teleport%s%s%s\n", in->name, boot->config->auth_service == NULL ? "" : " auth_service",
               boot->config->proxy_service == NULL ? "" : " proxy_service", boot->config->ssh_service == NULL ? "" : " ssh_service");
        report(in, "%s was given token=%s static=%zu keypairs=%zu aws=%s http_proxy=%s\n", in->name,
             boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_INSTANCE ? boot->instance->token : "",
             boot->config->auth_service == NULL ? 0 : boot->config->auth_service->n_tokens,
             boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_PROXY ? boot->proxy->n_https_keypairs : 0,
             getenv("AWS_SECRET_ACCESS_KEY") == NULL ? "no" : "yes", getenv("HTTPS_PROXY") == NULL ? "no" : "yes");
}

/* ---- a stand-in for ssh ----------------------------------------------------------------------------------- */

static void send_request(struct stand_in *in, enum child_message_kind kind, const char *name, int64_t number)
{
        service_send(&in->service, &(struct child_message){ .kind = kind, .name = name, .number = number });
}

/* Sends the ID of a living process with the descriptor of a process that has ended. */
static void request_of_dead(struct stand_in *in)
{
        const struct child_message request = { .kind = CHILD_SENT_HELPER_CHECK, .name = CONNECTION, .number = getpid() };
        siginfo_t end;
        pid_t pid = fork();

        if (pid == 0)
                _exit(0);
        AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (pidfd < 0 || waitid(P_PID, (id_t)pid, &end, WEXITED) < 0)
                _exit(94);
        service_send_with(&in->service, &request, pidfd);
}

/* Reports the log lines that sshd writes before it ends: it has no key here. */
static void report_log(struct stand_in *in, int fd)
{
        char sent[512];
        ssize_t n;

        while ((n = read(fd, sent, sizeof(sent) - 1)) > 0) {
                sent[n] = '\0';
                report(in, "sshd says %s", sent);
        }
        close(fd);
}

static void on_sshd(struct stand_in *in, const Cteleport__Internal__V1__SshControl *control, int fd)
{
        switch (control->kind) {
        case CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_LOG:
                if (is_to(in, "start sshd twice"))
                        close(fd); /* sshd runs until its connection is closed */
                else
                        report_log(in, fd);
                break;
        case CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_STREAM:
                report(in, "ssh gets the stream of %s\n", control->connection_id);
                close(fd);
                break;
        case CTELEPORT__INTERNAL__V1__SSH_CONTROL__KIND__SSHD_ENDED:
                report(in, "ssh receives that %s %s\n", control->connection_id, control->text);
                break;
        default:
                report(in, "ssh receives of helper %lld: %s\n", (long long)control->number, control->text);
                break;
        }
}

static void request_as_reported(struct stand_in *in)
{
        if (is_to(in, "start sshd"))
                send_request(in, CHILD_SENT_SSHD_START, CONNECTION, 0);
        if (is_to(in, "start sshd twice")) {
                send_request(in, CHILD_SENT_SSHD_START, CONNECTION, 0);
                send_request(in, CHILD_SENT_SSHD_START, CONNECTION, 0);
                send_request(in, CHILD_SENT_HELPER_CHECK, CONNECTION, getpid());
        }
        if (is_to(in, "start invalid")) {
                send_request(in, CHILD_SENT_SSHD_START, "a b; c", 0);
                send_request(in, CHILD_SENT_SSHD_START, "123456789012-i-0123456789abcdef0", 0);
                send_request(in, CHILD_SENT_SSHD_STOP, CONNECTION, 0);
        }
        if (is_to(in, "start sshd and receive nothing")) {
                if (shutdown(SERVICE_FD_CONTROL, SHUT_RD) < 0)
                        _exit(96);
                send_request(in, CHILD_SENT_SSHD_START, CONNECTION, 0);
        }
        if (is_to(in, "check dead helper"))
                request_of_dead(in);
        if (is_to(in, "check helper"))
                send_request(in, CHILD_SENT_HELPER_CHECK, CONNECTION, getpid());
}

/* ---- stand-ins for instance and aws-sign --------------------------------------------------------------------- */

static void request_to_sign(struct stand_in *in, int64_t number)
{
        send_request(in, CHILD_SENT_AWS_SIGN, NULL, number);
}

static void on_signer(struct stand_in *in, int64_t number, int fd, const char *text)
{
        bool keeps_it = is_to(in, "keep a signer"); /* before the report, because a test changes the file then */

        report(in, "%s gets signer %lld %s\n", in->name, (long long)number, fd >= 0 ? "" : text);
        if (keeps_it)
                return;
        close(fd);
        if (is_to(in, "sign without end"))
                request_to_sign(in, number + 1);
}

/* Waits until its client hangs up, and then, if the test requests it, for SIGTERM. */
static NO_RETURN void sign(struct stand_in *in)
{
        int fd = service_take_fd(&in->service, "client"), signum = 0;
        sigset_t terminate;
        char byte;

        sigprocmask(SIG_BLOCK, NULL, &terminate); /* gets the signals that were blocked at the start */
        if (recv(fd, &byte, 1, 0) == 0 && is_to(in, "stay"))
                (void)sigwait(&terminate, &signum);
        report(in, "aws-sign %s\n", signum == SIGTERM ? "is ordered to end" : "ends");
        exit(0);
}

/* ---- while the supervisor is stopped -------------------------------------------------------------------------- */

static bool is_stopped(pid_t pid)
{
        AUTO_MEM char *path = mem_printf("/proc/%ld/stat", (long)pid);
        AUTO(buf) text = BUF_MAX(4096);
        AUTO_PTR(error) err = file_read(path, &text);

        return err == NULL && strstr(buf_c(&text), ") T ") != NULL;
}

/* Sends many requests that get no answer, and then one for a new link to `instance`, which `instance` reports. */
static void flood_and_relink(struct stand_in *in)
{
        while (!is_stopped(getppid()))
                sched_yield();
        for (int i = 0; i < 3 * LIMIT_CHILD_MESSAGES_PER_TURN; i++)
                request_to_sign(in, i); /* only `instance` may send this request */
        service_relink(&in->service, "instance");
        report(in, "%s has flooded\n", in->name);
}

static void request_behind_the_flood(struct stand_in *in)
{
        AUTO_MEM char *path = mem_printf("%s/flooded", in->service.boot->data_dir);

        while (access(path, F_OK) < 0) /* the test creates the file */
                sched_yield();
        request_to_sign(in, 1);
        report(in, "%s has asked\n", in->name);
}

static void on_own(void *ctx, const Cteleport__Internal__V1__Control *control, int fd)
{
        if (control->own_case == CTELEPORT__INTERNAL__V1__CONTROL__OWN_PROXY)
                report_keypairs(ctx, control->proxy->https_keypairs, control->proxy->n_https_keypairs);
        else if (control->own_case == CTELEPORT__INTERNAL__V1__CONTROL__OWN_INSTANCE)
                on_signer(ctx, control->instance->number, fd, control->instance->refusal);
        else
                on_sshd(ctx, control->ssh, fd);
}

static void live(struct stand_in *in)
{
        static const struct service_events events = {
                .on_stop = on_stop,
                .on_drain = on_drain,
                .on_link = on_link,
                .on_own = on_own,
        };
        static const char *const siblings[] = { "signer", "sts", "auth", "proxy", "instance", "ssh", "labels" };

        if (service_control(&in->service, &in->loop, &events, in) != NULL)
                _exit(92);
        for (size_t i = 0; i < ARRAY_LEN(siblings); i++) {
                int fd = service_take_fd(&in->service, siblings[i]);

                if (fd >= 0)
                        report_start(in, fd);
        }
        service_ready(&in->service);
        if (is_to(in, "lose auth"))
                service_relink(&in->service, "auth");
        request_as_reported(in);
        if (is_to(in, "sign") || is_to(in, "keep a signer") || is_to(in, "sign without end"))
                request_to_sign(in, 1);
        for (int64_t number = 2; is_to(in, "keep a signer") && number <= 30; number++)
                request_to_sign(in, number);
        if (is_to(in, "join")) {
                send_request(in, CHILD_SENT_HOST_ID, "../../etc/passwd", 0);
                send_request(in, CHILD_SENT_HOST_ID, CONNECTION, 0);
                request_to_sign(in, 1); /* the answer shows that the messages before it were handled */
        }
        if (is_to(in, "flood and relink"))
                flood_and_relink(in);
        if (is_to(in, "ask behind the flood"))
                request_behind_the_flood(in);
        while (is_to(in, "flood"))
                for (int i = 0; i < 10000; i++)
                        service_relink(&in->service, "nobody");
        loop_run(&in->loop);
}

/* Runs as signer or sts: serves only the link to auth, and ends with it. */
static void follow(struct stand_in *in)
{
        int fd = service_take_fd(&in->service, "auth");
        char sent[64];
        ssize_t n;

        n = write(fd, in->name, strlen(in->name));
        service_ready(&in->service);
        while ((n = read(fd, sent, sizeof(sent))) > 0)
                report(in, "%s receives %.*s\n", in->name, (int)n, sent);
        report(in, "%s ends\n", in->name);
        exit(0);
}

int stand_in_main(const char *name)
{
        static struct stand_in in;
        sigset_t terminate;

        in.name = name;
        sigemptyset(&terminate);
        sigaddset(&terminate, SIGTERM);
        if (strcmp(name, "aws-sign") == 0)
                sigprocmask(SIG_BLOCK, &terminate, NULL);
        if (service_begin(&in.service) != NULL || loop_init(&in.loop, NULL) != NULL)
                return 93;
        AUTO_MEM char *path = mem_printf("%s/events", in.service.boot->data_dir);
        in.events_fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        /* Read before the start is reported, because a test changes the file then. */
        bool gives_up = is_to(&in, "give up") || is_to_once(&in, "give up once"), dies = is_to(&in, "die"), sends_invalid = is_to(&in, "send invalid");
        bool hangs = is_to_once(&in, "hang once");
        report_what_it_was_given(&in);
        if (gives_up) {
                service_fatal(&in.service,
                              error_hint(error_new(ERROR_DATA_LOSS, "the store is damaged"), "restore it"));
                return 1;
        }
        if (dies)
                return 3;
        while (hangs)
                pause();
        if (sends_invalid) {
                static const char invalid[] = "\x08\x06\x1a\x04 what protobuf would take";

                if (write(SERVICE_FD_CONTROL, invalid, sizeof(invalid)) < 0)
                        return 95;
                pause();
        }
        if (strcmp(name, "signer") == 0 || strcmp(name, "sts") == 0)
                follow(&in);
        if (strcmp(name, "aws-sign") == 0)
                sign(&in);
        live(&in);
        return 0;
}
