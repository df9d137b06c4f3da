/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/health.h"

#include "base/compiler.h"
#include "base/limits.h"
#include "base/text.h"

/* ---- the parts --------------------------------------------------------------------------------------------- */

static const struct {
        const char *name;
        const char *process; /* that reports it */
        const char *starting, *degraded;
} parts[HEALTH_PARTS] = {
        [HEALTH_CLUSTER] = { "cluster", "instance", "this host has not joined the cluster yet; `teleport status` says why",
                             "this host is not connected to the cluster; `teleport status` says why" },
        [HEALTH_TUNNELS] = { "tunnels", "instance", "no proxy has a tunnel to this host yet",
                             "no proxy has a tunnel to this host: users cannot reach it" },
        [HEALTH_STORE] = { "store", "auth", "the state of the cluster is not open yet",
                           "the state of the cluster cannot be written; the log of auth says why" },
        [HEALTH_AUDIT] = { "audit", "auth", "the audit log is not open yet",
                           "the audit log cannot be written; the log of auth says why" },
        [HEALTH_DISK] = { "disk", "auth", NULL,
                          "the disk of the audit log is almost full: no host joins, and no connection begins" },
        [HEALTH_AUTH] = { "auth", "proxy", "this proxy has no connection to the Auth Service yet",
                          "this proxy has no connection to the Auth Service" },
};

/* The worst process: the supervisor if it stops the others, one that does not run, then one that does not respond, then one that is starting. */
static struct health_part_state processes_state(const struct figures *f, struct instant now)
{
        struct health_part_state all = { "processes", HEALTH_OK, NULL, NULL };

        if (figures_phase(f, 0) == PROCESS_DOWN)
                return (struct health_part_state){ "processes", HEALTH_DEGRADED, NULL, "this host is being stopped: it finishes what is open" };
        for (size_t n = 1; n < METRIC_PROCESSES; n++) {
                if (!figures_is_here(f, n))
                        continue;
                enum process_phase phase = figures_phase(f, n);
                if (phase < PROCESS_STARTING)
                        return (struct health_part_state){ "processes", HEALTH_DEGRADED, f->of[n].name, "has ended, and is started again; its log says why" };
                if (phase == PROCESS_READY && figures_lag(f, n, now).ns > MILLISECONDS(TIMEOUT_LOOP_LAG).ns)
                        return (struct health_part_state){ "processes", HEALTH_DEGRADED, f->of[n].name, "does not respond" };
                if (phase != PROCESS_READY)
                        all = (struct health_part_state){ "processes", HEALTH_STARTING, f->of[n].name, "is starting" };
        }
        return all;
}

static struct health_part_state reported(const struct figures *f, enum health_part part)
{
        const struct figures_process *p = figures_find(f, parts[part].process);
        struct health_part_state state = { parts[part].name, HEALTH_ABSENT, NULL, NULL };

        if (p == NULL)
                return state;
        if (!figures_is_running(f, (size_t)(p - f->of)))
                return (struct health_part_state){ parts[part].name, HEALTH_DEGRADED, p->name, "does not run" };
        int64_t value = metric_value(p->memory, METRIC_HEALTH, part);
        if (value >= HEALTH_OK && value <= HEALTH_DEGRADED)
                state.health = (enum health)value;
        state.reason = state.health == HEALTH_STARTING   ? parts[part].starting
                       : state.health == HEALTH_DEGRADED ? parts[part].degraded
                                                         : NULL;
        return state;
}

bool health_part_at(const struct figures *f, struct instant now, size_t i, struct health_part_state *ret)
{
        if (i > HEALTH_PARTS)
                return false;
        if (i == 0) {
                *ret = processes_state(f, now);
                return true;
        }
        *ret = reported(f, (enum health_part)(i - 1));
        return true;
}

static bool all_are_ready(const struct figures *f, struct instant now)
{
        struct health_part_state part;

        for (size_t i = 0; health_part_at(f, now, i, &part); i++)
                if (part.health != HEALTH_OK && part.health != HEALTH_ABSENT)
                        return false;
        return true;
}

/* ---- the state --------------------------------------------------------------------------------------------- */

void health_init(struct health_machine *h)
{
        *h = (struct health_machine){ .state = HEALTH_STATE_STARTING };
}

void health_check(struct health_machine *h, const struct figures *f, struct instant now)
{
        if (!all_are_ready(f, now)) {
                if (h->state != HEALTH_STATE_STARTING)
                        h->state = HEALTH_STATE_DEGRADED;
                return;
        }
        if (h->state == HEALTH_STATE_STARTING)
                h->state = HEALTH_STATE_OK;
        if (h->state == HEALTH_STATE_RECOVERING && instant_since(now, h->since).ns > MILLISECONDS(TIMEOUT_HEALTH_RECOVERY).ns)
                h->state = HEALTH_STATE_OK;
        if (h->state == HEALTH_STATE_DEGRADED)
                *h = (struct health_machine){ HEALTH_STATE_RECOVERING, now };
}

int health_status(enum health_state state)
{
        return state == HEALTH_STATE_OK ? 200 : state == HEALTH_STATE_DEGRADED ? 503 : 400;
}

/* The texts of Teleport. */
static const char *text_of(enum health_state state)
{
        static const char *const texts[] = {
                [HEALTH_STATE_OK] = "ok",
                [HEALTH_STATE_RECOVERING] = "teleport is recovering from a degraded state, check logs for details",
                [HEALTH_STATE_DEGRADED] = "teleport is in a degraded state, check logs for details",
                [HEALTH_STATE_STARTING] = "teleport is starting and hasn't joined the cluster yet",
        };

        return texts[state];
}

void health_put_json(const struct health_machine *h, const struct figures *f, struct instant now, struct buf *out)
{
        static const char *const names[] = { [HEALTH_OK] = "ok", [HEALTH_STARTING] = "starting", [HEALTH_DEGRADED] = "degraded" };
        struct health_part_state part;
        bool is_first = true;

        buf_printf(out, "{\"status\":\"%s\",\"parts\":[", text_of(h->state));
        for (size_t i = 0; health_part_at(f, now, i, &part); i++) {
                if (part.health == HEALTH_ABSENT)
                        continue;
                buf_printf(out, "%s{\"part\":\"%s\",\"state\":\"%s\"", is_first ? "" : ",", part.name, names[part.health]);
                if (part.reason != NULL) {
                        AUTO(buf) reason = BUF_MAX(512);

                        if (part.process != NULL)
                                buf_printf(&reason, "the process %s ", part.process);
                        buf_put_c(&reason, part.reason);
                        buf_put_c(out, ",\"reason\":");
                        json_put_string(out, buf_str(&reason));
                }
                buf_put_c(out, "}");
                is_first = false;
        }
        buf_put_c(out, "]}\n");
}
