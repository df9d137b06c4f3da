/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sessions/session_repeats.h"

#include <string.h>

#include "auth/sessions/session_events.h"
#include "base/buf.h"
#include "base/limits.h"
#include "pki/key.h"

/* A digest, so that nobody can choose an address that counts as another one. */
static uint64_t address_of(const Cteleport__V1__ReportPort *m)
{
        AUTO(buf) text = BUF_MAX(LIMIT_REPORT + 64);
        uint8_t digest[32];
        uint64_t ret;

        buf_put_c(&text, m->direction);
        buf_put_char(&text, '\0');
        buf_put_c(&text, m->address);
        sha256(buf_str(&text), digest);
        memcpy(&ret, digest, sizeof ret);
        return ret;
}

/* Whether the connection has forwarded to the address before; notes it. */
static bool is_known(struct session_repeats *r, uint64_t address)
{
        for (size_t i = 0; i < ARRAY_LEN(r->addresses); i++)
                if (r->addresses[i] == address)
                        return true;
        r->addresses[r->next_address] = address;
        r->next_address = (r->next_address + 1) % ARRAY_LEN(r->addresses);
        return false;
}

/* False: it repeats nothing. */
static bool is_repeat(struct session_repeats *r, const Cteleport__V1__ReportUp *up, enum repeat *ret)
{
        switch (up->payload_case) {
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_RESIZE:
                *ret = REPEAT_RESIZE;
                return true;
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_PORT:
                *ret = up->port->is_denied ? REPEAT_PORT_DENIED : REPEAT_PORT;
                return up->port->is_denied || is_known(r, address_of(up->port));
        default:
                return false;
        }
}

static void on_pace(void *ctx)
{
        struct session_repeats *r = ctx;

        connection_report_left_out(r->auth, r->connection, r->left_out);
}

bool session_repeats_leave_out(struct session_repeats *r, const Cteleport__V1__ReportUp *up)
{
        const int64_t price = MINUTES(1).ns / LIMIT_EVENTS_REPEATED_PER_MINUTE;
        struct instant now = loop_now(&r->auth->loop);
        enum repeat kind;

        if (!is_repeat(r, up, &kind))
                return false;
        int64_t begin = r->spent_until.ns > now.ns ? r->spent_until.ns : now.ns;
        if (begin - now.ns <= price * (LIMIT_EVENTS_REPEATED_BURST - 1)) {
                r->spent_until.ns = begin + price;
                return false;
        }
        r->left_out[kind]++;
        if (r->pace == NULL)
                r->pace = timer_new(&r->auth->loop, on_pace, r);
        if (!timer_is_running(r->pace))
                timer_start(r->pace, MILLISECONDS(PACE_LEFT_OUT));
        return true;
}

void session_repeats_end(struct session_repeats *r)
{
        if (r->pace == NULL)
                return;
        timer_free(r->pace);
        r->pace = NULL;
        connection_report_left_out(r->auth, r->connection, r->left_out);
}
