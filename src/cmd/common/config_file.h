/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where our programs find teleport.yaml: --config, --config-string, /etc/teleport.yaml.
 */
#ifndef CMD_COMMON_CONFIG_FILE_H
#define CMD_COMMON_CONFIG_FILE_H

#include "base/arena.h"
#include "cmd/common/flags.h"
#include "config.pb-c.h"

#define CONFIG_FILE_DEFAULT "/etc/teleport.yaml"

/*
 * Reads one file, unchecked. INVALID_ARGUMENT with the place of each mistake, NOT_FOUND, PERMISSION_DENIED.
 * *ret_ignored (may be NULL) lists the keys without effect, see schema_notes; it lives in the arena.
 */
struct error *config_file_load(struct arena *arena, const char *path, const char **ret_ignored,
                               Cteleport__V1__Config **ret) MUST_USE;

/*
 * Reads what the flags `config` and `config-string` (base64 of a whole file) name; the first beats the second,
 * and both the default file, which alone may be missing. *ret_path is NULL when no file was read.
 */
struct error *config_file_find(struct arena *arena, const struct flags *given, const char **ret_path,
                               const char **ret_ignored, Cteleport__V1__Config **ret) MUST_USE;

/* One warning on standard error that lists keys without effect, if there are any; the log has it as IGNORED_KEYS. */
#define IGNORED_KEYS "keys of Teleport that change nothing here are ignored"
void ignored_keys_print(const char *keys);

/* A configuration without a file: version v3, all defaults. Lives in the arena. */
Cteleport__V1__Config *config_file_empty(struct arena *arena);

#endif
