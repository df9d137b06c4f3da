/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the output of `configure` and `install` to the destination of `-o`. */
#ifndef CMD_TELEPORT_OUTPUT_H
#define CMD_TELEPORT_OUTPUT_H

#include "base/error.h"
#include "base/str.h"

/*
 * destination is "stdout", an absolute path, "file:///path", or "file" for /etc/teleport.yaml. Anything
 * else is INVALID_ARGUMENT. *ret_path is borrowed from destination; NULL for standard output.
 */
struct error *output_path(const char *destination, const char **ret_path) MUST_USE;

/* Creates the file with mode 0600, and parent directories with mode 0755. ALREADY_EXISTS when it exists. */
struct error *output_create(const char *path, struct str text) MUST_USE;

/* Writes the file with that mode, atomically replacing an existing one; creates parent directories with mode 0755. */
struct error *output_write(const char *path, struct str text, unsigned mode) MUST_USE;

#endif
