/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OS_PROCESS_APART_H
#define OS_PROCESS_APART_H

#include <stddef.h>

#include "base/error.h"

enum { PROCESS_APART_MAX = 4096 }; /* PIPE_BUF (pipe(7)): written at once */

/*
 * Runs work(result) in a copy of this process, and copies `size` bytes of *result back, PROCESS_APART_MAX at most. All else that the
 * work changes ends with the copy, such as libraries that it loads and memory that they keep: the account database
 * (getpwnam(3)) loads modules that cannot be unloaded. Blocks until the work is done.
 *
 * Pointers in *result must point to memory that existed before. UNAVAILABLE if the copy cannot be made or ends early; *result is
 * unchanged then.
 */
struct error *process_apart(void (*work)(void *result), void *result, size_t size) MUST_USE;

#endif
