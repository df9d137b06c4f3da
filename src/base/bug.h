/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a process that found itself broken. Never for anything a peer can cause.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include "base/compiler.h"

/* Prints the sentence with its place to stderr and aborts. */
#define bug(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)

void bug_at(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4) NO_RETURN;

#endif
