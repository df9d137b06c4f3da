/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a person for what nobody else may see.
 */
#ifndef CMD_TSH_PROMPT_H
#define CMD_TSH_PROMPT_H

#include "base/error.h"
#include "base/secret.h"

/*
 * One line: from standard input when that is no terminal, otherwise asked for on the terminal, without echo. The line
 * end is taken off. INVALID_ARGUMENT when nothing came.
 */
struct error *prompt_secret(const char *query, struct secret *ret) MUST_USE;

#endif
