/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling the service manager how far we are (sd_notify(3)), without its library: see
 * docs/decisions/0005-no-libsystemd.md.
 */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

/*
 * Sends a state such as "READY=1" to $NOTIFY_SOCKET. Nothing happens when there is none: a manager that
 * does not listen is no reason to fail.
 */
void notify_manager(const char *state);

#endif
