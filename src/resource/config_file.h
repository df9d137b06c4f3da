/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads teleport.yaml from a file or a text into a message; resource/config.h validates it.
 */
#ifndef RESOURCE_CONFIG_FILE_H
#define RESOURCE_CONFIG_FILE_H

#include "base/arena.h"
#include "base/error.h"
#include "config.pb-c.h"

#define CONFIG_FILE_DEFAULT "/etc/teleport.yaml"

/* The text of the log and standard error before a list of keys without effect. */
#define IGNORED_KEYS "keys of Teleport that change nothing here are ignored"

/*
 * Reads one file. INVALID_ARGUMENT with the position of each mistake, NOT_FOUND, PERMISSION_DENIED. *ret_ignored (may
 * be NULL) lists the keys without effect, see schema_notes. Both results live in the arena.
 */
struct error *config_file_load(struct arena *arena, const char *path, const char **ret_ignored,
                               Cteleport__V1__Config **ret) MUST_USE;

/* The same for a text; errors show name instead of a path. */
struct error *config_text_load(struct arena *arena, const char *name, struct str text, const char **ret_ignored,
                               Cteleport__V1__Config **ret) MUST_USE;

/*
 * Prefixes an error of the checks with the place in the file: "FILE:LINE:COLUMN: ". The key is that with which the error begins, or
 * the given one; if the file (NULL: none) does not have it, the prefix is the file's name. An error that names the file is returned unchanged.
 */
struct error *config_file_place(const char *path, const char *key, struct error *err) MUST_USE;

/* A configuration without a file: version v3, all defaults. Lives in the arena. */
Cteleport__V1__Config *config_file_empty(struct arena *arena);

#endif
