/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/supervisor.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "supervisor/internal.h"
#include "os/file.h"

/* ---- when all are ready ---------------------------------------------------------------------------------- */

static struct error *write_pid_file(const struct launch *l)
{
        AUTO_MEM char *pid = mem_printf("%ld", (long)getpid());

        if (l->pid_file == NULL || l->pid_file[0] == '\0')
                return NULL;
        struct error *err = file_write_atomic(l->pid_file, str_of(pid), 0644);
        return err == NULL ? NULL : error_wrap(err, "pid_file");
}

void supervisor_on_ready(struct supervisor *s)
{
        for (size_t i = 0; i < s->child_count; i++)
                if (s->children[i].state != CHILD_READY && s->children[i].state != CHILD_ABSENT)
                        return;
        if (s->was_ready || s->end != RUNNING)
                return;
        s->was_ready = true;
        struct error *err = write_pid_file(s->launch);
        if (err != NULL) {
                supervisor_stop(s, err);
                return;
        }
        log_info("Teleport process successfully started", LOG_INT("pid", getpid()));
        supervisor_report_ready(s);
        loop_trim_later(&s->loop);
}

/* ---- certificates of the web port ------------------------------------------------------------------------- */

bool supervisor_has_web_keys(const struct supervisor *s)
{
        for (size_t i = 0; i < s->child_count; i++)
                if ((s->children[i].row->secrets & SERVICE_SECRET_WEB_KEYS) && s->children[i].state != CHILD_ABSENT)
                        return true;
        return false;
}

/* A half-replaced or wrong file must not stop the service: what was loaded stays in use until the next check. */
static void reload_keypairs(struct supervisor *s, bool send_unchanged)
{
        bool is_changed;

        if (!supervisor_has_web_keys(s))
                return;
        struct error *refused = web_keypairs_reload(s->launch, loop_wall(&s->loop), &s->keypairs, &is_changed);
        for (const struct error *err = refused; err != NULL; err = err->also)
                log_error("a web certificate stays as it was", LOG_ERR(err));
        supervisor_show_web_end(s);
        if (is_changed) {
                supervisor_send_keypairs(s);
                log_info("the certificates of the web port were loaded anew");
        } else if (refused == NULL && send_unchanged) {
                log_info("the certificates of the web port have not changed");
        }
        error_free(refused);
}

static struct duration keypairs_interval(const Cteleport__V1__Config *config)
{
        const Cteleport__V1__ProxyConfig *proxy = config->proxy_service;

        if (proxy == NULL || proxy->n_https_keypairs == 0)
                return MILLISECONDS(PACE_SELF_SIGNED_CHECK); /* for the self-signed certificate, which expires */
        return proxy->https_keypairs_reload_interval == NULL ? SECONDS(0)
                                                             : SECONDS(proxy->https_keypairs_reload_interval->seconds);
}

static void on_keypairs_timer(void *ctx)
{
        struct supervisor *s = ctx;

        reload_keypairs(s, false);
        timer_start(s->keypairs_timer, keypairs_interval(s->launch->config));
}

static void watch_keypairs(struct supervisor *s)
{
        struct duration interval = keypairs_interval(s->launch->config);

        if (s->keypairs_timer != NULL)
                timer_stop(s->keypairs_timer);
        if (!supervisor_has_web_keys(s) || interval.ns <= 0)
                return;
        if (s->keypairs_timer == NULL)
                s->keypairs_timer = timer_new(&s->loop, on_keypairs_timer, s);
        timer_start(s->keypairs_timer, interval);
}

void supervisor_reload_keypairs(struct supervisor *s)
{
        reload_keypairs(s, true);
        watch_keypairs(s);
}

/* ---- signals ----------------------------------------------------------------------------------------------- */

static void on_child(void *ctx, int signum)
{
        (void)signum;
        supervisor_reap(ctx);
}

static void on_terminate(void *ctx, int signum)
{
        log_info("Got a signal, exiting immediately", LOG_C("signal", strsignal(signum)));
        supervisor_stop(ctx, NULL);
}

static void on_quit(void *ctx, int signum)
{
        log_info("Got a signal, shutting down gracefully", LOG_C("signal", strsignal(signum)));
        supervisor_drain(ctx);
}

static void on_hangup(void *ctx, int signum)
{
        (void)signum;
        supervisor_reopen_log(ctx);
        log_info("SIGHUP reopens the log file and loads the configuration again");
        supervisor_reload(ctx);
}

static void on_replace(void *ctx, int signum)
{
        (void)signum;
        log_info("SIGUSR2 loads the configuration again, and the program if that on the disk is another one");
        supervisor_reload(ctx);
}

static void on_describe(void *ctx, int signum)
{
        static const char *const names[] = {
                [CHILD_ABSENT] = "absent",     [CHILD_PAUSING] = "pausing", [CHILD_STOPPED] = "stopped",
                [CHILD_STARTING] = "starting", [CHILD_READY] = "ready",     [CHILD_EXITED] = "exited",
        };
        const struct supervisor *s = ctx;

        (void)signum;
        for (size_t i = 0; i < s->child_count; i++) {
                const struct child *c = &s->children[i];

                if (c->state != CHILD_ABSENT)
                        log_info("service", LOG_C("name", child_name(c)), LOG_C("state", names[c->state]),
                                 LOG_INT("pid", child_lives(c) ? c->pid : 0), LOG_INT("starts", c->starts));
        }
}

static const struct {
        int signum;
        void (*fn)(void *ctx, int signum);
} signal_rows[] = {
        { SIGCHLD, on_child }, { SIGTERM, on_terminate }, { SIGINT, on_terminate }, { SIGQUIT, on_quit },
        { SIGHUP, on_hangup }, { SIGUSR1, on_describe },  { SIGUSR2, on_replace },
};

/* ---- children ------------------------------------------------------------------------------------------------ */

struct child *supervisor_child(struct supervisor *s, const char *name)
{
        for (size_t i = 0; i < s->child_count; i++)
                if (strcmp(child_name(&s->children[i]), name) == 0)
                        return &s->children[i];
        return NULL;
}

struct child *supervisor_requester(struct supervisor *s, unsigned request)
{
        for (size_t i = 0; i < s->child_count; i++)
                if (s->children[i].row->requests & request)
                        return &s->children[i];
        return NULL;
}

bool supervisor_keeps_state(const struct supervisor *s)
{
        for (size_t i = 0; i < s->child_count; i++)
                if (s->children[i].row->keeps_state && s->children[i].state != CHILD_ABSENT)
                        return true;
        return false;
}

static void add_children(struct supervisor *s)
{
        const struct service_process *row;

        for (size_t i = 0; (row = services_process_at(i)) != NULL; i++) {
                if (i == ARRAY_LEN(s->children))
                        bug("the table of services has more than %zu processes", ARRAY_LEN(s->children));
                s->children[s->child_count++] = (struct child){
                        .sup = s,
                        .row = row,
                        .state = services_process_is_needed(s->launch->config, row) ? CHILD_EXITED : CHILD_ABSENT,
                        .control_fd = -1,
                        .pause = { MILLISECONDS(PACE_RESTART_FIRST), MILLISECONDS(PACE_RESTART_MAX) },
                };
        }
}

/* A link is listed in the row of the process that starts later, and names the process that starts earlier. */
static void add_pairings(struct supervisor *s)
{
        for (size_t i = 0; i < s->child_count; i++)
                for (const char *const *link = s->children[i].row->links; *link != NULL; link++) {
                        struct child *earlier = supervisor_child(s, *link);

                        if (earlier == NULL || s->pairing_count == ARRAY_LEN(s->pairings))
                                bug("the table of services links '%s' to '%s'", child_name(&s->children[i]), *link);
                        s->pairings[s->pairing_count++] = (struct pairing){ { earlier, &s->children[i] }, { -1, -1 } };
                }
}

static void supervisor_init(struct supervisor *s, const struct launch *l)
{
        *s = (struct supervisor){ .launch = l, .lock_fd = -1, .reload_fd = -1, .program = { .fd = -1 }, .log_fd = STDERR_FILENO, .journal_fd = -1 };
        for (size_t i = 0; i < METRIC_PROCESSES; i++)
                s->metrics.fds[i] = s->metrics.readers[i] = -1;
        add_children(s);
        add_pairings(s);
}

static void supervisor_release(struct supervisor *s)
{
        for (size_t i = 0; i < ARRAY_LEN(s->watches); i++)
                signal_watch_free(s->watches[i]);
        for (size_t i = 0; i < s->child_count; i++)
                timer_free(s->children[i].restart);
        supervisor_end_reload(s);
        supervisor_close_reload(s);
        timer_free(s->hold);
        timer_free(s->keypairs_timer);
        timer_free(s->end_timer);
        timer_free(s->step_timer);
        for (size_t i = 0; i < s->pairing_count; i++)
                for (size_t side = 0; side < 2; side++)
                        fd_close_at(&s->pairings[i].waiting[side]);
        supervisor_close_listeners(s);
        supervisor_release_metrics(s);
        supervisor_release_draining(s);
        supervisor_release_sign(s);
        supervisor_release_sshd(s);
        if (s->program.fd >= 0)
                close(s->program.fd);
        supervisor_release_manager(s);
        web_keypairs_release(&s->keypairs);
        timer_free(s->host_id_pace);
        free(s->new_host_id);
        free(s->host_id);
        loop_release(&s->loop);
        if (s->was_ready && s->launch->pid_file != NULL)
                unlink(s->launch->pid_file);
        if (s->log_fd > STDERR_FILENO)
                close(s->log_fd);
        log_to_journal(-1);
        fd_close_at(&s->journal_fd);
        fd_close_at(&s->lock_fd);
        if (s->loaded != NULL)
                launch_release(s->loaded);
        free(s->loaded);
}

static void on_hold(void *ctx)
{
        struct supervisor *s = ctx;

        timer_start(s->hold, HOURS(24));
}

static void watch_signals(struct supervisor *s)
{
        _Static_assert(ARRAY_LEN(signal_rows) <= ARRAY_LEN(s->watches), "a watch for each signal");
        s->hold = timer_new(&s->loop, on_hold, s);
        on_hold(s);
        for (size_t i = 0; i < ARRAY_LEN(signal_rows); i++)
                s->watches[i] = signal_watch_new(&s->loop, signal_rows[i].signum, signal_rows[i].fn, s);
}

static struct error *run(struct supervisor *s)
{
        TRY(loop_init(&s->loop, NULL));
        TRY(supervisor_prepare(s));
        watch_signals(s);
        for (size_t i = 0; i < s->child_count && s->failure == NULL; i++) {
                if (s->children[i].state != CHILD_EXITED)
                        continue;
                struct error *err = supervisor_start(&s->children[i]);
                if (err != NULL)
                        supervisor_stop(s, err);
        }
        watch_keypairs(s);
        supervisor_watch_metrics(s);
        supervisor_serve_reload(s);
        loop_run(&s->loop);
        return s->failure;
}

struct error *supervisor_run(const struct launch *l)
{
        struct supervisor s;

        supervisor_init(&s, l);
        struct error *err = run(&s);
        supervisor_release(&s);
        return err;
}
