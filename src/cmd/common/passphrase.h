/* SPDX-License-Identifier: Apache-2.0 */
/* The passphrase of a backup. */
#ifndef CMD_COMMON_PASSPHRASE_H
#define CMD_COMMON_PASSPHRASE_H

#include "base/error.h"
#include "base/secret.h"

/*
 * The first line of the file (`-`: of standard input); if path is NULL, by a prompt on the terminal, which is repeated if is_new.
 * INVALID_ARGUMENT: it is empty, or new and shorter than PASSPHRASE_MIN characters.
 */
enum { PASSPHRASE_MIN = 12 };
struct error *passphrase_read(const char *path, bool is_new, struct secret *ret) MUST_USE;

#endif
