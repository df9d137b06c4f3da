/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS credentials are used by a process of its own, one for each join. `instance`, which is exposed to the network, requests
 * it and gets a socket on which the process signs one challenge (aws/sign_message.h). It runs as the user that started
 * `teleport`, because it reads that user's ~/.aws and runs the credential_process. Only its environment has AWS_* variables.
 *
 * Only one runs at a time, and requests beyond a burst wait: a compromised `instance` cannot start many of them. It ends when it
 * has answered, when its client hangs up, with `instance`, with the supervisor, and after a timeout in any case.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/service.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/pb.h"
#include "supervisor/internal.h"
#include "supervisor/journal.h"
#include "os/fdpass.h"

typedef Cteleport__Internal__V1__Boot boot_message;
typedef Cteleport__Internal__V1__Control control_message;

#define AWS_SIGN_PROCESS "aws-sign" /* of the table of services */

/* `fd` is borrowed; -1: no process was started, and `text` has the reason. */
static void report(struct supervisor *s, int fd, const char *text)
{
        struct child *instance = supervisor_requester(s, SERVICE_REQUEST_AWS_SIGN);
        Cteleport__Internal__V1__InstanceControl answer = CTELEPORT__INTERNAL__V1__INSTANCE_CONTROL__INIT;
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        answer.number = s->sign.number;
        if (text != NULL)
                answer.refusal = pb_text(text);
        control.own_case = CTELEPORT__INTERNAL__V1__CONTROL__OWN_INSTANCE;
        control.instance = &answer;
        if (instance != NULL && child_lives(instance))
                (void)supervisor_send_with(instance, &control, fd); /* a lost message closes `fd`, which ends the signer */
}

/* ---- starting ------------------------------------------------------------------------------------------ */

/* The process gets the log settings and the socket: no token, no keys, no other part of the configuration. */
static struct error *spawn(struct supervisor *s, int client)
{
        Cteleport__V1__Config config = CTELEPORT__V1__CONFIG__INIT;
        Cteleport__V1__TeleportConfig teleport = CTELEPORT__V1__TELEPORT_CONFIG__INIT;
        boot_message boot = CTELEPORT__INTERNAL__V1__BOOT__INIT;
        AUTO_FD int journal = s->journal_fd < 0 ? -1 : journal_open();
        const struct child_fds fds = { .names = { "client", SERVICE_FD_JOURNAL }, .fds = { client, journal }, .count = journal < 0 ? 1 : 2 };
        const struct service_process *process = services_process(AWS_SIGN_PROCESS);
        AUTO_FD int control = -1; /* the process sends no control messages */

        teleport.log = s->launch->config->teleport->log;
        config.teleport = &teleport;
        boot.service = pb_text(process->name);
        boot.config = &config;
        boot.data_dir = pb_text(s->launch->data_dir);
        boot.fds = pb_texts(fds.names);
        boot.n_fds = fds.count;
        return child_spawn(process, &boot, &fds, s->log_fd, s->program.fd, &s->sign.pid, &control);
}

static struct error *start(struct supervisor *s)
{
        AUTO_FD int here = -1, there = -1;

        TRY(fdpass_pair(&here, &there));
        TRY(spawn(s, there));
        report(s, here, NULL);
        return NULL;
}

static void on_timeout(void *ctx)
{
        struct supervisor *s = ctx;

        if (s->sign.pid == 0)
                return;
        if (!s->sign.was_reported) {
                supervisor_stop_sign(s);
                return;
        }
        log_warn("The process that signs for a join does not end and is killed", LOG_INT("pid", s->sign.pid));
        supervisor_kill_sign(s);
}

static void on_pause(void *ctx);

static void prepare(struct supervisor *s)
{
        if (s->sign.timeout != NULL)
                return;
        s->sign.timeout = timer_new(&s->loop, on_timeout, s);
        s->sign.pause = timer_new(&s->loop, on_pause, s);
        s->sign.burst = LIMIT_AWS_SIGN_BURST;
        s->sign.last = loop_now(&s->loop);
}

/* Whether one more process may start now; the burst grows by one every PACE_AWS_SIGN. */
static bool is_within_rate(struct supervisor *s)
{
        struct instant now = loop_now(&s->loop);
        int64_t back = duration_ms(instant_since(now, s->sign.last)) / PACE_AWS_SIGN;

        if (back > 0) {
                s->sign.last = now;
                s->sign.burst = back >= LIMIT_AWS_SIGN_BURST - (int64_t)s->sign.burst ? LIMIT_AWS_SIGN_BURST : s->sign.burst + (unsigned)back;
        }
        if (s->sign.burst == 0)
                return false;
        s->sign.burst--;
        return true;
}

static void start_next(struct supervisor *s)
{
        if (!s->sign.is_wanted || s->sign.pid > 0 || s->end != RUNNING || timer_is_running(s->sign.pause))
                return;
        if (!is_within_rate(s)) {
                timer_start(s->sign.pause, MILLISECONDS(PACE_AWS_SIGN));
                return;
        }
        s->sign.is_wanted = s->sign.was_reported = false;
        struct error *err = start(s);
        if (err != NULL) {
                log_error("The process that signs for a join cannot be started", LOG_ERR(err));
                report(s, -1, err->what);
                error_free(err);
                return;
        }
        timer_start(s->sign.timeout, MILLISECONDS(TIMEOUT_AWS_SIGN_REQUEST + TIMEOUT_AWS_SIGN + TIMEOUT_AWS_SIGN_STOP));
}

static void on_pause(void *ctx)
{
        start_next(ctx);
}

void supervisor_sign(struct supervisor *s, int64_t number)
{
        prepare(s);
        s->sign.is_wanted = true;
        s->sign.number = number;
        start_next(s);
}

/* ---- ending -------------------------------------------------------------------------------------------- */

void supervisor_stop_sign(struct supervisor *s)
{
        s->sign.is_wanted = false;
        if (s->sign.pid == 0 || s->sign.was_reported)
                return;
        s->sign.was_reported = true;
        kill(s->sign.pid, SIGTERM); /* so that it ends its own child processes */
        timer_start(s->sign.timeout, MILLISECONDS(TIMEOUT_AWS_SIGN_STOP));
}

void supervisor_kill_sign(struct supervisor *s)
{
        if (s->sign.pid > 0)
                kill(s->sign.pid, SIGKILL);
}

void supervisor_reap_sign(struct supervisor *s)
{
        int status;

        if (s->sign.pid == 0 || waitpid(s->sign.pid, &status, WNOHANG) != s->sign.pid)
                return;
        AUTO_MEM char *exit_text = child_exit_text(status);
        if (WIFSIGNALED(status) && !s->sign.was_reported)
                log_warn("The process that signs for a join died", LOG_C("exit", exit_text));
        else
                log_debug("service ended", LOG_C("name", AWS_SIGN_PROCESS), LOG_C("exit", exit_text));
        s->sign.pid = 0;
        timer_stop(s->sign.timeout);
        start_next(s);
        if (s->end != RUNNING)
                supervisor_stop_next(s);
}

void supervisor_release_sign(struct supervisor *s)
{
        timer_free(s->sign.timeout);
        timer_free(s->sign.pause);
}
