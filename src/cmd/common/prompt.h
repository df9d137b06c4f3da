/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prompts for passwords and codes.
 */
#ifndef CMD_COMMON_PROMPT_H
#define CMD_COMMON_PROMPT_H

#include "base/error.h"
#include "base/secret.h"

/*
 * Reads one line: from standard input if that is not a terminal, otherwise by a prompt on the terminal, without echo. The line
 * end is removed. INVALID_ARGUMENT for an empty line.
 */
struct error *prompt_secret(const char *query, struct secret *ret) MUST_USE;

#endif
