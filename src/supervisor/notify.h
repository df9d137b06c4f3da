/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notifies the service manager of the service's state (sd_notify(3)), without libsystemd: see
 * docs/decisions/0005-no-libsystemd.md.
 */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

#include <stdint.h>

/*
 * Sends a state such as "READY=1" to $NOTIFY_SOCKET. Does nothing when the variable is not set; errors are ignored.
 */
void notify_manager(const char *state);

/*
 * Sends the states of a reload that begins: RELOADING=1 with the time, which Type=notify-reload needs. READY=1 ends the reload,
 * whether it succeeded or not.
 */
void notify_reloading(void);

/*
 * The interval in which the manager expects WATCHDOG=1 from this process (sd_watchdog_enabled(3)), in microseconds; 0: it expects
 * none, or the variables are invalid.
 */
int64_t notify_watchdog_usec(void);

#endif
