/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether this host is ready, as /readyz answers: Teleport's states and texts, and the state of each part.
 *
 *     STARTING ── all parts ready ──► OK ◄── ready for TIMEOUT_HEALTH_RECOVERY ── RECOVERING
 *                                     │                                             ▲  │
 *                                     └── a part is not ──► DEGRADED ── all ready ──┘  │
 *                                                               ▲── a part is not ─────┘
 *
 * The parts are "processes", and those of enum health_part that a process of this host reports.
 */
#ifndef DIAG_HEALTH_H
#define DIAG_HEALTH_H

#include "base/buf.h"
#include "diag/figures.h"

/* The values of process_state. */
enum health_state { HEALTH_STATE_OK, HEALTH_STATE_RECOVERING, HEALTH_STATE_DEGRADED, HEALTH_STATE_STARTING };

struct health_machine {
        enum health_state state;
        struct instant since; /* of RECOVERING */
};

void health_init(struct health_machine *h);
/* Checks all parts now, and changes the state. To be called every PACE_HEALTH_CHECK and before each answer. */
void health_check(struct health_machine *h, const struct figures *f, struct instant now);

/* The HTTP status of /readyz in that state: 200, 400, 503. */
int health_status(enum health_state state);
/* The body of /readyz: the state, and each part with its state and the reason. */
void health_put_json(const struct health_machine *h, const struct figures *f, struct instant now, struct buf *out);

/* The parts, from 0 on, with their names; false beyond the last. A part that this host does not have is skipped by the caller. */
struct health_part_state {
        const char *name;
        enum health health; /* HEALTH_ABSENT: this host does not have it */
        const char *process; /* that is at fault; NULL: no particular one */
        const char *reason; /* what is wrong, and where to look; with a process, what is said of it; NULL: nothing */
};
bool health_part_at(const struct figures *f, struct instant now, size_t i, struct health_part_state *ret);

#endif
