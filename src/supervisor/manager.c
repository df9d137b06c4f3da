/* SPDX-License-Identifier: Apache-2.0 */
/* Reports to the service manager: STATUS= for `systemctl status`, and WATCHDOG=1. */
#include <signal.h>
#include <stdlib.h>

#include "api/child_message.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervisor/internal.h"
#include "supervisor/notify.h"

/* ---- status -------------------------------------------------------------------------------------------- */

/* The first service that is not ready, in the order of the table; NULL if there is none. */
static const struct child *not_ready(const struct supervisor *s)
{
        for (size_t i = 0; i < s->child_count; i++)
                if (s->children[i].state != CHILD_READY && s->children[i].state != CHILD_ABSENT && s->children[i].former == NULL)
                        return &s->children[i];
        return NULL;
}

static void put_services(const struct supervisor *s, struct buf *out)
{
        buf_put_c(out, "running:");
        for (size_t i = 0; i < s->child_count; i++)
                if (s->children[i].state == CHILD_READY)
                        buf_printf(out, " %s", child_name(&s->children[i]));
}

static void put_status(const struct supervisor *s, struct buf *out)
{
        const struct child *missing = not_ready(s);

        if (s->end != RUNNING) {
                buf_put_c(out, s->end == DRAINING ? "finishing open connections" : "stopping");
                return;
        }
        if (missing != NULL)
                buf_printf(out, s->was_ready ? "%s is restarted; " : "%s is starting; ", child_name(missing));
        if (s->manager.membership != NULL)
                buf_put_c(out, s->manager.membership);
        else
                put_services(s, out); /* an Auth Service alone is no member of a cluster */
}

static void send_status(struct supervisor *s)
{
        AUTO(buf) status = BUF_MAX(CHILD_MESSAGE_TEXT);

        buf_put_c(&status, "STATUS=");
        put_status(s, &status);
        if (s->manager.sent != NULL && str_equal(str_of(s->manager.sent), buf_str(&status)))
                return;
        free(s->manager.sent);
        s->manager.sent = buf_take(&status);
        notify_manager(s->manager.sent);
}

static void on_status_pace(void *ctx)
{
        struct supervisor *s = ctx;

        if (!s->manager.is_stale)
                return;
        s->manager.is_stale = false;
        send_status(s);
        timer_start(s->manager.pace, MILLISECONDS(PACE_MANAGER_STATUS));
}

/* The manager passes each status on to its clients: a process that changes its line in a loop must not keep it busy. */
void supervisor_report_status(struct supervisor *s)
{
        if (getenv("NOTIFY_SOCKET") == NULL)
                return;
        if (s->manager.pace == NULL) {
                s->manager.pace = timer_new(&s->loop, on_status_pace, s);
                timer_unref(s->manager.pace);
        }
        s->manager.is_stale = true;
        if (!timer_is_running(s->manager.pace))
                on_status_pace(s);
}

/* A compromised `instance` must not add assignments to the datagram, such as MAINPID=. */
void supervisor_take_membership(struct supervisor *s, const char *text)
{
        AUTO(buf) line = BUF_MAX(CHILD_MESSAGE_TEXT / 2);

        escape_text(&line, str_of(text), CHILD_MESSAGE_TEXT / 4);
        free(s->manager.membership);
        s->manager.membership = buf_take(&line);
        supervisor_report_status(s);
}

/* ---- watchdog -------------------------------------------------------------------------------------------- */

/*
 * At each tick WATCHDOG=1 is sent, which shows that this loop turns, unless a vital service has not lived for WATCHDOG_TICKS.
 * Services that poll their control socket are sent a PING, and one that has not answered WATCHDOG_TICKS of them is killed: it is
 * respawned, and the others and their connections go on. Ticks are counted instead of time, so that a machine that was paused
 * does not end its services.
 */
enum { WATCHDOG_TICKS = 3 };

static void check_vital(struct child *c)
{
        if (!c->row->is_vital || c->state == CHILD_ABSENT || c->sup->end != RUNNING)
                c->dead_ticks = 0;
        else
                c->dead_ticks = child_lives(c) ? 0 : c->dead_ticks + 1;
}

/* A process that depends on another one has no event loop and only answers its own requests: see api/service.c. */
static bool answers_pings(const struct child *c)
{
        return c->state == CHILD_READY && c->row->follows == NULL && c->sup->end == RUNNING;
}

static void ping(struct child *c)
{
        Cteleport__Internal__V1__Control control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        if (!answers_pings(c)) {
                c->unanswered = 0;
                return;
        }
        if (c->unanswered >= WATCHDOG_TICKS) {
                log_error("a service does not answer and is killed", LOG_C("name", child_name(c)), LOG_INT("pid", c->pid));
                c->unanswered = 0;
                kill(c->pid, SIGKILL);
                return;
        }
        c->unanswered++;
        control.kind = CTELEPORT__INTERNAL__V1__CONTROL__KIND__PING;
        supervisor_send(c, &control);
}

static void on_watchdog(void *ctx)
{
        struct supervisor *s = ctx;
        bool is_alive = true;

        for (size_t i = 0; i < s->child_count; i++) {
                check_vital(&s->children[i]);
                is_alive &= s->children[i].dead_ticks < WATCHDOG_TICKS;
                ping(&s->children[i]);
        }
        for (struct child *c = s->draining; c != NULL; c = c->next)
                ping(c);
        if (is_alive)
                notify_manager("WATCHDOG=1");
        timer_start(s->manager.watchdog, s->manager.tick);
}

static void start_watchdog(struct supervisor *s)
{
        int64_t usec = notify_watchdog_usec();

        if (usec == 0)
                return;
        s->manager.tick = (struct duration){ usec * 1000 / 4 };
        s->manager.watchdog = timer_new(&s->loop, on_watchdog, s);
        timer_unref(s->manager.watchdog);
        on_watchdog(s);
}

/* `systemctl start` returns at READY=1: the status that comes with it is not delayed. */
static void report_now(struct supervisor *s)
{
        if (s->manager.pace != NULL)
                timer_stop(s->manager.pace);
        supervisor_report_status(s);
}

void supervisor_report_ready(struct supervisor *s)
{
        notify_manager("READY=1");
        report_now(s);
        start_watchdog(s);
}

void supervisor_report_stopping(struct supervisor *s)
{
        notify_manager("STOPPING=1");
        report_now(s);
}

void supervisor_release_manager(struct supervisor *s)
{
        timer_free(s->manager.pace);
        timer_free(s->manager.watchdog);
        free(s->manager.membership);
        free(s->manager.sent);
}
