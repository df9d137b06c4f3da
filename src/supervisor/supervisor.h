/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent of the services: opens files and listening sockets, starts the processes of the services, restarts one
 * that dies, passes signals on, and stops them in order.
 *
 *   absent      this host does not run it
 *   pausing     it died; a timer brings it back
 *   stopped     a dependent (signer, sts) whose auth is gone: it is started with auth
 *   starting    runs, has not said READY yet
 *   ready       serves
 *   gone        ended while we stop
 *
 * Until all have been ready once, a death, or a service that says it cannot go on, is our own failure: an operator watching
 * `teleport start` or a service manager is to see it, with the reason. Afterwards it costs that one service for a moment, but for
 * auth and signer that say so: without these there is no cluster.
 */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include "supervisor/launch.h"

/*
 * Runs the services until a signal ends them (NULL then) or they cannot run (why). Logs from the moment
 * on that it has prepared its log.
 */
struct error *supervisor_run(const struct launch *l) MUST_USE;

#endif
