/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "base/log.h"
#include "supervisor/internal.h"

typedef Cteleport__Internal__V1__Control control_message;

static void kill_all(struct supervisor *s)
{
        for (size_t i = 0; i < s->child_count; i++) {
                if (!child_lives(&s->children[i]))
                        continue;
                log_warn("service does not end and is killed", LOG_C("name", child_name(&s->children[i])));
                kill(s->children[i].pid, SIGKILL);
        }
        for (struct child *c = s->draining; c != NULL; c = c->next)
                kill(c->pid, SIGKILL);
        supervisor_kill_sign(s);
        supervisor_kill_all_sshd(s);
}

static void on_timeout(void *ctx)
{
        struct supervisor *s = ctx;

        if (s->end == DRAINING)
                supervisor_stop(s, NULL);
        else
                kill_all(s);
}

static void on_slow_step(void *ctx)
{
        supervisor_stop_next(ctx);
}

static void report_to_end(struct child *c)
{
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        control.kind = c->sup->end == DRAINING ? CTELEPORT__INTERNAL__V1__CONTROL__KIND__DRAIN
                                               : CTELEPORT__INTERNAL__V1__CONTROL__KIND__STOP;
        c->was_reported = true;
        supervisor_send(c, &control);
}

/* Former processes of services that stop before this one may need it for their open connections. */
static bool former_needs(const struct supervisor *s, const struct service_process *row)
{
        for (const struct child *c = s->draining; c != NULL; c = c->next)
                if (c->row->stop < row->stop)
                        return true;
        return false;
}

/* Orders the next service to stop, unless a service that was ordered before still runs: it may need the others. */
void supervisor_stop_next(struct supervisor *s)
{
        bool is_overdue = s->end == STOPPING && !timer_is_running(s->step_timer);
        bool lives = s->sshds != NULL || s->sign.pid > 0 || s->draining != NULL;

        for (size_t i = 0; i < s->child_count; i++)
                lives |= child_lives(&s->children[i]);
        if (!lives) {
                timer_stop(s->end_timer);
                loop_stop(&s->loop);
                return;
        }
        const struct service_process *row;
        for (size_t i = 0; (row = services_stop_at(i)) != NULL; i++) {
                struct child *c = supervisor_child(s, row->name);

                if (!child_lives(c) || (c->was_reported && is_overdue))
                        continue;
                if (!is_overdue && former_needs(s, row))
                        return;
                if (!c->was_reported) {
                        report_to_end(c);
                        if (s->end == STOPPING)
                                timer_start(s->step_timer, MILLISECONDS(TIMEOUT_STOP_STEP));
                }
                return;
        }
}

/* From here on, no service is started again. */
static void begin(struct supervisor *s, int within_ms)
{
        if (s->end_timer == NULL)
                s->end_timer = timer_new(&s->loop, on_timeout, s);
        if (s->step_timer == NULL)
                s->step_timer = timer_new(&s->loop, on_slow_step, s);
        timer_start(s->end_timer, MILLISECONDS(within_ms));
        supervisor_end_reload(s);
        supervisor_close_reload(s);
        supervisor_close_listeners(s);
        supervisor_note_stop();
        for (size_t i = 0; i < s->child_count; i++) {
                struct child *c = &s->children[i];

                c->was_reported = false;
                if (c->restart != NULL)
                        timer_stop(c->restart);
                if (c->state == CHILD_PAUSING || c->state == CHILD_STOPPED)
                        c->state = CHILD_EXITED;
        }
        supervisor_report_stopping(s);
        supervisor_stop_sign(s);
        for (struct child *c = s->draining; c != NULL; c = c->next)
                report_to_end(c);
        supervisor_stop_next(s);
}

void supervisor_stop(struct supervisor *s, struct error *failure)
{
        if (s->failure == NULL)
                s->failure = failure;
        else
                error_free(failure); /* the first failure is the cause, later ones are its consequences */
        if (s->end == STOPPING) {
                if (failure == NULL)
                        kill_all(s); /* second request to stop */
                return;
        }
        s->end = STOPPING;
        begin(s, TIMEOUT_STOP);
}

void supervisor_drain(struct supervisor *s)
{
        if (s->end != RUNNING)
                return;
        s->end = DRAINING;
        begin(s, TIMEOUT_GRACEFUL_STOP);
}
