/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closes connections that may not stay open: when the certificate that opened one has ended, and when the directory of users,
 * roles and locks changes so that its user or host is removed or locked. Nodes first get the orders to end connections, and
 * keep theirs for PACE_LOCKED_NODE.
 */
#ifndef AUTH_CORE_CALLER_WATCH_H
#define AUTH_CORE_CALLER_WATCH_H

#include "base/clock.h"
#include "base/compiler.h"

struct auth;

/* Watches the callers of auth, whose directory must be open. */
struct caller_watch;
struct caller_watch *caller_watch_new(struct auth *a) MUST_USE;
void caller_watch_free(struct caller_watch *w);

/* A caller's cert_not_after is `end`. */
void caller_watch_expiry(struct caller_watch *w, struct walltime end);

#endif
