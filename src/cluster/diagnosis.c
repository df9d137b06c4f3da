/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/diagnosis.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "net/conn_upgrade.h"
#include "net/socket.h"

static const struct name {
        const char *title, *key;
} names[DIAGNOSIS_STEPS] = {
        [DIAGNOSIS_CONFIGURATION] = { "configuration", "configuration" },
        [DIAGNOSIS_EGRESS] = { "egress proxy", "egress-proxy" },
        [DIAGNOSIS_DNS] = { "DNS", "dns" },
        [DIAGNOSIS_TCP] = { "TCP", "tcp" },
        [DIAGNOSIS_TLS] = { "TLS", "tls" },
        [DIAGNOSIS_ALPN] = { "ALPN", "alpn" },
        [DIAGNOSIS_UPGRADE] = { "upgrade", "upgrade" },
        [DIAGNOSIS_INNER_TLS] = { "inner TLS", "inner-tls" },
        [DIAGNOSIS_PAGE] = { "web page", "page" },
        [DIAGNOSIS_JOIN] = { "join service", "join" },
        [DIAGNOSIS_AUTH] = { "auth", "auth" },
        [DIAGNOSIS_CLOCK] = { "clock", "clock" },
        [DIAGNOSIS_LOGIN] = { "login", "login" },
};

const char *diagnosis_title(enum diagnosis_step step)
{
        return names[step].title;
}

const char *diagnosis_key(enum diagnosis_step step)
{
        return names[step].key;
}

/* ---- rows ----------------------------------------------------------------------------------------------------- */

static void row_clear(struct diagnosis_row *r)
{
        free(r->detail);
        error_free(r->err);
        *r = (struct diagnosis_row){ 0 };
}

static void clear_from(struct diagnosis *d, int step)
{
        for (int i = step; i < DIAGNOSIS_STEPS; i++)
                row_clear(&d->rows[i]);
}

void diagnosis_release(struct diagnosis *d)
{
        clear_from(d, 0);
        free(d->address);
        *d = (struct diagnosis){ 0 };
}

static bool has_passed(const struct diagnosis *d, enum diagnosis_step step)
{
        return d->rows[step].state == DIAGNOSIS_PASSED || d->rows[step].state == DIAGNOSIS_WARNED;
}

static bool is_reached_after(const struct diagnosis *d, enum diagnosis_step step)
{
        for (int i = (int)step + 1; i < DIAGNOSIS_STEPS; i++)
                if (d->rows[i].state != DIAGNOSIS_NOT_REACHED)
                        return true;
        return false;
}

bool diagnosis_is_settled(const struct diagnosis *d, enum diagnosis_step step)
{
        enum diagnosis_state state = d->rows[step].state;
        /* The handshake begins again with a load balancer, and the proof is added once the connection is made. */
        bool is_handshake = step == DIAGNOSIS_TLS || step == DIAGNOSIS_ALPN || step == DIAGNOSIS_INNER_TLS;
        bool is_upgrading = d->rows[DIAGNOSIS_UPGRADE].state == DIAGNOSIS_RUNNING || d->rows[DIAGNOSIS_UPGRADE].state == DIAGNOSIS_PASSED;

        if (state == DIAGNOSIS_NOT_REACHED || state == DIAGNOSIS_RUNNING || state == DIAGNOSIS_FAILED)
                return false;
        if (is_handshake && !(is_upgrading && step < DIAGNOSIS_UPGRADE))
                return is_reached_after(d, DIAGNOSIS_INNER_TLS);
        return is_reached_after(d, step);
}

static void changed(const struct diagnosis *d)
{
        if (d->changed != NULL)
                d->changed(d->ctx);
}

static void begin(struct diagnosis *d, enum diagnosis_step step)
{
        row_clear(&d->rows[step]);
        d->rows[step].state = DIAGNOSIS_RUNNING;
}

void diagnosis_begin(struct diagnosis *d, enum diagnosis_step step)
{
        begin(d, step);
        changed(d);
}

static void settle(struct diagnosis *d, enum diagnosis_step step, enum diagnosis_state state, const char *format, va_list args) PRINTF_LIKE(4, 0);

static void settle(struct diagnosis *d, enum diagnosis_step step, enum diagnosis_state state, const char *format, va_list args)
{
        struct diagnosis_row *r = &d->rows[step];

        free(r->detail);
        if (vasprintf(&r->detail, format, args) < 0)
                bug("out of memory while formatting a step");
        if (r->state != DIAGNOSIS_WARNED)
                r->state = state;
}

void diagnosis_pass(struct diagnosis *d, enum diagnosis_step step, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        settle(d, step, DIAGNOSIS_PASSED, format, args);
        va_end(args);
}

void diagnosis_skip(struct diagnosis *d, enum diagnosis_step step, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        settle(d, step, DIAGNOSIS_NOT_NEEDED, format, args);
        va_end(args);
}

void diagnosis_warn(struct diagnosis *d, enum diagnosis_step step, struct error *err)
{
        struct diagnosis_row *r = &d->rows[step];

        if (r->err != NULL) {
                error_free(err);
                return;
        }
        r->err = err;
        r->state = DIAGNOSIS_WARNED;
}

static enum diagnosis_step to_blame(const struct diagnosis *d)
{
        for (int i = DIAGNOSIS_STEPS - 1; i >= 0; i--)
                if (d->rows[i].state == DIAGNOSIS_RUNNING)
                        return (enum diagnosis_step)i;
        if (has_passed(d, DIAGNOSIS_INNER_TLS))
                return DIAGNOSIS_INNER_TLS;
        return has_passed(d, DIAGNOSIS_TLS) ? DIAGNOSIS_TLS : DIAGNOSIS_CONFIGURATION;
}

void diagnosis_fail(struct diagnosis *d, struct error *err)
{
        enum diagnosis_step step = to_blame(d);
        struct diagnosis_row *r = &d->rows[step];

        clear_from(d, (int)step + 1);
        error_free(r->err);
        r->err = err;
        r->state = DIAGNOSIS_FAILED;
}

enum diagnosis_step diagnosis_failed_at(const struct diagnosis *d)
{
        int i = 0;

        while (i < DIAGNOSIS_STEPS && d->rows[i].state != DIAGNOSIS_FAILED)
                i++;
        return (enum diagnosis_step)i;
}

/* ---- the watch of the connection ---------------------------------------------------------------------------- */

static enum diagnosis_step step_of(const struct diagnosis *d, enum watch_step step)
{
        switch (step) {
        case WATCH_DNS:
                return d->has_egress ? DIAGNOSIS_EGRESS : DIAGNOSIS_DNS;
        case WATCH_TCP:
                return d->has_egress ? DIAGNOSIS_EGRESS : DIAGNOSIS_TCP;
        case WATCH_EGRESS_TLS:
        case WATCH_TUNNEL:
                return DIAGNOSIS_EGRESS;
        case WATCH_TLS:
                return DIAGNOSIS_TLS;
        case WATCH_ALPN:
                return DIAGNOSIS_ALPN;
        case WATCH_UPGRADE:
                return DIAGNOSIS_UPGRADE;
        case WATCH_INNER_TLS:
                break;
        }
        return DIAGNOSIS_INNER_TLS;
}

/*
 * Whether the report adds nothing: a connection through a load balancer is dialled two or three times, and what is below TLS was
 * reported then.
 */
static bool is_repeated(const struct diagnosis *d, enum diagnosis_step step)
{
        bool is_upgrading = d->rows[DIAGNOSIS_UPGRADE].state != DIAGNOSIS_NOT_REACHED;

        return step < DIAGNOSIS_TLS ? d->rows[DIAGNOSIS_TLS].state != DIAGNOSIS_NOT_REACHED : step < DIAGNOSIS_UPGRADE && is_upgrading;
}

static void add_proof(struct diagnosis_row *r, const char *proof)
{
        AUTO_MEM char *before = r->detail;

        r->detail = mem_printf("%s; %s", before == NULL ? "" : before, proof);
}

void diagnosis_add_setting(struct diagnosis *d)
{
        struct diagnosis_row *r = &d->rows[DIAGNOSIS_CONFIGURATION];
        enum conn_upgrade setting = CONN_UPGRADE_DETECT;
        struct str host;
        int port;
        struct error *err = address_split(str_of(d->address), -1, &host, &port);

        if (err == NULL)
                err = conn_upgrade_of_environment(host, port, &setting);
        error_free(err); /* the connection reports it */
        if (setting == CONN_UPGRADE_DETECT)
                return;
        AUTO_MEM char *before = r->detail;
        r->detail = mem_printf("%s, TELEPORT_TLS_ROUTING_CONN_UPGRADE is %s", before == NULL ? "" : before, setting == CONN_UPGRADE_ALWAYS ? "yes" : "no");
}

static void on_begin(struct diagnosis *d, enum diagnosis_step step)
{
        if (step == DIAGNOSIS_UPGRADE && d->rows[step].state == DIAGNOSIS_NOT_REACHED && d->outer_proof != NULL)
                add_proof(&d->rows[DIAGNOSIS_TLS], d->outer_proof);
        begin(d, step);
        if (step == DIAGNOSIS_TCP && d->rows[DIAGNOSIS_DNS].state == DIAGNOSIS_NOT_REACHED)
                diagnosis_skip(d, DIAGNOSIS_DNS, "an IP address, no name");
        if (step == DIAGNOSIS_TLS) {
                row_clear(&d->rows[DIAGNOSIS_ALPN]);
                d->handshakes++;
        }
        if (step == DIAGNOSIS_UPGRADE && d->handshakes > 1)
                diagnosis_pass(d, DIAGNOSIS_ALPN, "not the cluster's protocol: something in front of the cluster ends TLS, such as a load balancer");
        else if (step == DIAGNOSIS_UPGRADE)
                diagnosis_skip(d, DIAGNOSIS_ALPN, "not tried: TELEPORT_TLS_ROUTING_CONN_UPGRADE, or an attempt before, demands the upgrade");
}

/* Of an HTTP proxy only the tunnel is the result. */
static void on_passed(struct diagnosis *d, enum watch_step step, const char *detail)
{
        if (step == WATCH_TUNNEL) {
                diagnosis_pass(d, DIAGNOSIS_EGRESS, "tunnel (CONNECT) through the HTTP proxy at %s", detail);
                diagnosis_skip(d, DIAGNOSIS_DNS, "left to the HTTP proxy");
                diagnosis_skip(d, DIAGNOSIS_TCP, "left to the HTTP proxy");
        } else if (step == WATCH_ALPN) {
                diagnosis_pass(d, DIAGNOSIS_ALPN, "%s: the server speaks the cluster's protocol", detail);
        } else if (step_of(d, step) != DIAGNOSIS_EGRESS) {
                diagnosis_pass(d, step_of(d, step), "%s", detail);
        }
}

static void on_report(void *ctx, enum watch_step step, const char *detail)
{
        struct diagnosis *d = ctx;

        if (is_repeated(d, step_of(d, step)))
                return;
        if (detail == NULL)
                on_begin(d, step_of(d, step));
        else
                on_passed(d, step, detail);
        changed(d);
}

static void on_note(void *ctx, enum watch_step step, const char *text)
{
        struct diagnosis *d = ctx;
        struct diagnosis_row *r = &d->rows[step_of(d, step)];

        if (r->state != DIAGNOSIS_RUNNING)
                return;
        free(r->detail);
        r->detail = str_dup(str_of(text));
}

const struct watch *diagnosis_watch(struct diagnosis *d, const char *via)
{
        d->has_egress = via[0] != '\0';
        if (!d->has_egress)
                diagnosis_skip(d, DIAGNOSIS_EGRESS, "none: HTTPS_PROXY is not set, or not for this address");
        d->watch = (struct watch){ .report = on_report, .note = on_note, .ctx = d };
        return &d->watch;
}

void diagnosis_connected(struct diagnosis *d, const char *direct_proof, const char *inner_proof)
{
        bool is_upgraded = has_passed(d, DIAGNOSIS_INNER_TLS);
        if (!is_upgraded) {
                diagnosis_skip(d, DIAGNOSIS_UPGRADE, "nothing in front of the cluster ends TLS");
                diagnosis_skip(d, DIAGNOSIS_INNER_TLS, "TLS is the cluster's");
        }
        add_proof(&d->rows[is_upgraded ? DIAGNOSIS_INNER_TLS : DIAGNOSIS_TLS], is_upgraded ? inner_proof : direct_proof);
}
