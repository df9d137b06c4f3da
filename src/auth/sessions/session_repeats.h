/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of one connection that repeat others: a denied forwarding of a port, which has no effect; a forwarding to an address to which the
 * connection has forwarded before; a change of the terminal's size. A client can cause them in a loop without an effort. Beyond a pace they
 * are counted, and the numbers are reported. All other events are always recorded: budgets limit them (event_budget.h).
 */
#ifndef AUTH_SESSIONS_SESSION_REPEATS_H
#define AUTH_SESSIONS_SESSION_REPEATS_H

#include "api.pb-c.h"
#include "base/clock.h"
#include "base/str.h"

struct auth;
struct connection;

enum repeat { REPEAT_PORT, REPEAT_PORT_DENIED, REPEAT_RESIZE, REPEAT_COUNT };

/* Zeroed but for the two pointers. The owner must not access other fields. */
struct session_repeats {
        struct auth *auth;
        const struct connection *connection; /* for the report */
        uint64_t left_out[REPEAT_COUNT]; /* not recorded since the last report */
        struct instant spent_until;
        uint64_t addresses[32]; /* digests of those that were forwarded to last */
        size_t next_address;
        struct timer *pace; /* runs while there is something to report; NULL: there never was */
};

/* Whether the message is to be counted only; it is then counted, and the number is reported every PACE_LEFT_OUT. */
bool session_repeats_leave_out(struct session_repeats *r, const Cteleport__V1__ReportUp *up);

/* Reports the rest; to be called at the end, while the connection can be read. Again it does nothing. */
void session_repeats_end(struct session_repeats *r);

#endif
