/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notifies the service manager of the service's state (sd_notify(3)), without libsystemd: see
 * docs/decisions/0005-no-libsystemd.md.
 */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

/*
 * Sends a state such as "READY=1" to $NOTIFY_SOCKET. Does nothing when the variable is not set; errors are ignored.
 */
void notify_manager(const char *state);

#endif
