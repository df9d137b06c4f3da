/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "base/log.h"
#include "supervisor/notify.h"
#include "supervisor/internal.h"

typedef Cteleport__Internal__V1__Control control_message;

/* Who serves strangers goes first, who is asked goes last; signer and sts end when auth closes its ends. */
static const enum child_kind order[] = { CHILD_PROXY, CHILD_SSH, CHILD_LABELS, CHILD_INSTANCE, CHILD_AUTH };

static void kill_all(struct supervisor *s)
{
        for (enum child_kind kind = 0; kind < CHILD_KINDS; kind++) {
                if (!child_lives(&s->children[kind]))
                        continue;
                log_warn("service does not end and is killed", LOG_C("name", child_rows[kind].name));
                kill(s->children[kind].pid, SIGKILL);
        }
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

/* Tells the next one, unless one that was told may still need the others. */
void supervisor_stop_next(struct supervisor *s)
{
        bool is_overdue = s->end == STOPPING && !timer_is_running(s->step_timer);
        bool lives = s->sshds != NULL || s->sign.pid > 0;

        for (enum child_kind kind = 0; kind < CHILD_KINDS; kind++)
                lives |= child_lives(&s->children[kind]);
        if (!lives) {
                timer_stop(s->end_timer);
                loop_stop(&s->loop);
                return;
        }
        for (size_t i = 0; i < ARRAY_LEN(order); i++) {
                struct child *c = &s->children[order[i]];

                if (!child_lives(c) || (c->was_reported && is_overdue))
                        continue;
                if (!c->was_reported) {
                        report_to_end(c);
                        if (s->end == STOPPING)
                                timer_start(s->step_timer, MILLISECONDS(TIMEOUT_STOP_STEP));
                }
                return;
        }
}

/* Nobody comes back from now on. */
static void begin(struct supervisor *s, int within_ms)
{
        if (s->end_timer == NULL)
                s->end_timer = timer_new(&s->loop, on_timeout, s);
        if (s->step_timer == NULL)
                s->step_timer = timer_new(&s->loop, on_slow_step, s);
        timer_start(s->end_timer, MILLISECONDS(within_ms));
        supervisor_close_listeners(s);
        for (enum child_kind kind = 0; kind < CHILD_KINDS; kind++) {
                struct child *c = &s->children[kind];

                c->was_reported = false;
                if (c->restart != NULL)
                        timer_stop(c->restart);
                if (c->state == CHILD_PAUSING || c->state == CHILD_DORMANT)
                        c->state = CHILD_GONE;
        }
        notify_manager("STOPPING=1");
        supervisor_stop_sign(s);
        supervisor_stop_next(s);
}

void supervisor_stop(struct supervisor *s, struct error *failure)
{
        if (s->failure == NULL)
                s->failure = failure;
        else
                error_free(failure); /* the first is the cause, what follows it the noise */
        if (s->end == STOPPING) {
                if (failure == NULL)
                        kill_all(s); /* asked twice */
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
