/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds and reads teleport.yaml for all programs: by --config, --config-string, or at /etc/teleport.yaml.
 */
#ifndef CMD_COMMON_CONFIG_FIND_H
#define CMD_COMMON_CONFIG_FIND_H

#include "cmd/common/flags.h"
#include "resource/config_file.h"

/*
 * Reads the file that the flag `config` names, else the content of `config-string` (base64 of a whole file), else
 * the default file, which may be missing. *ret_path is NULL when no file was read.
 */
struct error *config_file_find(struct arena *arena, const struct flags *given, const char **ret_path,
                               const char **ret_ignored, Cteleport__V1__Config **ret) MUST_USE;

/* Prints one warning on standard error that lists keys without effect, if there are any; in the log it is IGNORED_KEYS. */
void ignored_keys_print(const char *keys);

#endif
