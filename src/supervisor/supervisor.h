/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor, parent process of all services: opens files and listening sockets, starts the processes of the
 * services, restarts a process that ends, forwards signals, and stops the processes in order.
 *
 *   absent      this host does not run it
 *   pausing     it ended; a timer will restart it
 *   stopped     a dependent (signer, sts) whose auth has ended: it is started with auth
 *   starting    runs, has not reported READY yet
 *   ready       serves
 *   gone        ended during the stop
 *
 * Until all services have been ready once, the end of a process or a fatal error of a service ends the supervisor with
 * that error, so that the operator or the service manager sees the reason. Afterwards only that service is restarted,
 * except after a fatal error of auth or signer, without which there is no cluster.
 */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include "supervisor/launch.h"

/*
 * A variable that the unit of `teleport install systemd` sets when its restrictions would also bind sessions of users, which
 * are then refused.
 */
#define SUPERVISOR_UNIT_WITHOUT_SESSIONS "TELEPORT_UNIT_WITHOUT_SESSIONS"

/*
 * Runs the services until a signal ends them (returns NULL) or they cannot run (returns the reason). Errors before its
 * log is set up are only returned.
 */
struct error *supervisor_run(const struct launch *l) MUST_USE;

#endif
