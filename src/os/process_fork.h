/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OS_PROCESS_FORK_H
#define OS_PROCESS_FORK_H

#include <sys/types.h>

#include "base/compiler.h"

/*
 * fork(2) for a process that handles signals, such as one with a loop (libuv's handlers write to a pipe that both processes
 * have: a signal for the child, before it executes its program, would count as one for the parent). In the child no handler
 * runs: what was handled has its default action, what was ignored stays so. The mask is the parent's in both. -1 as fork.
 */
pid_t process_fork(void) MUST_USE;

#endif
