/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends the process after a violated invariant (a bug of this program). Not for conditions that a peer can cause.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include "base/compiler.h"

/* Prints the sentence with file and line to stderr and aborts. */
#define bug(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)

void bug_at(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4) NO_RETURN;

#endif
