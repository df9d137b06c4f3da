/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of a command line, as a POSIX shell splits them, with quotes and backslashes but nothing else: no
 * variables, no globbing, no operators. What credential_process names is run without a shell.
 */
#ifndef AWS_COMMAND_LINE_H
#define AWS_COMMAND_LINE_H

#include "base/error.h"
#include "base/str.h"

enum { COMMAND_WORDS_MAX = 256 };

/*
 * A NULL-terminated list for execvp, given back with command_words_free. INVALID_ARGUMENT for an open
 * quote, for no words, and for too many.
 */
struct error *command_words(struct str line, char ***ret) MUST_USE;
void command_words_free(char **words);

#endif
