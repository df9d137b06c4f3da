/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by flags.c (parsing) and flags_help.c (printing) only. */
#ifndef CMD_COMMON_FLAGS_INTERNAL_H
#define CMD_COMMON_FLAGS_INTERNAL_H

#include "cmd/common/flags.h"

/* The command that words name, also by an alias; NULL when there is none. */
const struct command *program_find(const struct program *program, struct str words);

/* Whether these words are the beginning of a longer command name: "tokens" of "tokens add". */
bool program_has_group(const struct program *program, struct str words);

#endif
