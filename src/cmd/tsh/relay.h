/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connects to a node before ssh starts, so that failures are reported by tsh:
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
 * Dials, and starts a background process that serves the first connection of this user to the socket *ret_name (in the
 * profile's arena). The process ends with the connection. If mux names a shared connection, the process holds its lock, and also
 * ends when there are no sessions and the socket is gone (logout) or the certificate has expired. During the dial the host ID of the node
 * is requested from the Auth Service: *ret_host_id. Afterwards the caller must execute another program, or end, without running a loop.
 */
struct error *relay_start(const struct profile *p, const char *node, const char *login, const struct mux *mux, const char **ret_name,
                          const char **ret_host_id) MUST_USE;

/* In the ProxyCommand: connects, and hands the connection to ssh on standard output (ProxyUseFdpass). */
struct error *relay_attach(const char *name) MUST_USE;

#endif
