/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OS_PROCESS_FORK_H
#define OS_PROCESS_FORK_H

#include <sys/types.h>

#include "base/compiler.h"

/*
 * fork(2) for a process with signal handlers, such as one with a loop: libuv's handlers write to a pipe that both
 * processes share, so a signal to the child before its exec would be delivered to the parent. In the child, handled
 * signals have their default action, and ignored ones stay ignored. The mask is unchanged in both. Returns -1 as fork()
 * does.
 */
pid_t process_fork(void) MUST_USE;

#endif
