/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splits a command line into words as a POSIX shell does, with quotes and backslashes, but without variables, globbing
 * and operators. It is used for credential_process, which runs without a shell.
 */
#ifndef AWS_COMMAND_LINE_H
#define AWS_COMMAND_LINE_H

#include "base/error.h"
#include "base/str.h"

enum { COMMAND_WORDS_MAX = 256 };

/*
 * A NULL-terminated list for execvp, freed with command_words_free. INVALID_ARGUMENT for an open quote, for no words,
 * and for too many.
 */
struct error *command_words(struct str line, char ***ret) MUST_USE;
void command_words_free(char **words);

#endif
