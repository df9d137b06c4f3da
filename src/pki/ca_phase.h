/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phases of the rotation of a CA, as in Teleport.
 *
 *     STANDBY ─► INIT ─► UPDATE_CLIENTS ─► UPDATE_SERVERS ─► STANDBY        with the new CA
 *                 └────────────┴──────────────────┴─► ROLLBACK ─► STANDBY   with the old CA
 *
 * From INIT on there are two CAs, and all members trust both. The old one signs, from UPDATE_CLIENTS on the new one signs the
 * certificates of clients, from UPDATE_SERVERS on all; in ROLLBACK the old one signs again. STANDBY drops the other CA.
 */
#ifndef PKI_CA_PHASE_H
#define PKI_CA_PHASE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

enum ca_phase { CA_STANDBY, CA_INIT, CA_UPDATE_CLIENTS, CA_UPDATE_SERVERS, CA_ROLLBACK };

/* "update_clients": in messages, in the store and on the command line. */
const char *ca_phase_name(enum ca_phase phase);
/* INVALID_ARGUMENT with the names that there are. */
struct error *ca_phase_get(struct str name, enum ca_phase *ret) MUST_USE;
/* "rotating clients": in Teleport's status. */
const char *ca_phase_title(enum ca_phase phase);

/* FAILED_PRECONDITION, with the phases that may follow, if `next` may not follow `now`. */
struct error *ca_phase_check_step(enum ca_phase now, enum ca_phase next) MUST_USE;

/* The step that follows by itself: INIT after STANDBY, then the others in order, STANDBY after UPDATE_SERVERS and ROLLBACK. */
enum ca_phase ca_phase_next(enum ca_phase now);

/* Whether the new CA signs the certificates of servers, or those of clients. */
bool ca_phase_signs_with_new(enum ca_phase phase, bool is_server);

#endif
