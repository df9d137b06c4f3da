/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A way to a node that stands before ssh begins, so that what is wrong with it is told in our words:
 *
 *     tsh ssh ──dials──▶ proxy ──▶ node                 refused: an error, and ssh never runs
 *        │ fork
 *        ├── relay: carries bytes between the node and an abstract socket, until either ends
 *        └── becomes ssh ──ProxyCommand──▶ tsh proxy attach: connects to the socket, hands the connection to ssh
 */
#ifndef CMD_TSH_RELAY_H
#define CMD_TSH_RELAY_H

#include "client/client.h"
#include "client/mux.h"

/*
 * Dials and leaves a process behind that serves the first connection of this user to the socket *ret_name (in the
 * profile's arena), and ends by itself: with the connection, and when mux names one that is shared, holding its lock, once it is
 * without sessions and its socket is gone (logged out) or the certificate has ended. Meanwhile the Auth Service is asked which host that must be: *ret_host_id. The caller becomes another program, or ends; it has no more use for loops.
 */
struct error *relay_start(const struct profile *p, const char *node, const char *login, const struct mux *mux, const char **ret_name,
                          const char **ret_host_id) MUST_USE;

/* In the ProxyCommand: connects, and hands the connection to ssh on standard output (ProxyUseFdpass). */
struct error *relay_attach(const char *name) MUST_USE;

#endif
