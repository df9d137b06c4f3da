/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the files of the audit log within their configured age and size: compresses and removes old ones, every PACE_RETENTION and after
 * each rotation, on a thread of its own, as compression must not delay other work. What was removed is logged and audited, as a count.
 */
#ifndef AUTH_CORE_RETENTION_H
#define AUTH_CORE_RETENTION_H

#include "base/compiler.h"

struct auth;

struct retention;
/* Begins the first run. a->log_dir and the settings are read now. */
struct retention *retention_new(struct auth *a) MUST_USE;
void retention_free(struct retention *r); /* at any moment; NULL is silent */

/* A run is due now; also during one. NULL is silent. */
void retention_wake(struct retention *r);

#endif
