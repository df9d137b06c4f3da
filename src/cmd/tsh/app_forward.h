/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwards the connections of a local port to an application, until a signal ends it.
 *
 *     program ──▶ 127.0.0.1:PORT ──▶ app_dial ──▶ proxy ──▶ host ──▶ application
 *
 * Each connection reads the profile again, so that a login, a logout and a renewed certificate count at once. A connection that is
 * refused is closed, and the reason printed: each text once in PACE_APP_REFUSAL. SIGINT and SIGTERM end the listener; the open
 * connections continue until they end, or until a second signal.
 */
#ifndef CMD_TSH_APP_FORWARD_H
#define CMD_TSH_APP_FORWARD_H

#include "client/app_hosts.h"

/*
 * Serves the listening socket (owned). port: one of the application's tcp_ports, 0 if it has none. ids: of the hosts that offer the application, as the Auth Service has listed them. Returns after
 * the signal. Afterwards the program must end, as connections may be left.
 */
struct error *app_forward_run(const struct profile *p, const char *app, uint32_t port, int fd, const char *const *ids, size_t count) MUST_USE;

#endif
