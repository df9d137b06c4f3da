/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prepares the settings of `teleport start` for the supervisor: finds and reads the configuration file, applies the
 * command line, checks the result, and reads the files that it names (token file, pin files).
 */
#ifndef CMD_TELEPORT_LAUNCH_H
#define CMD_TELEPORT_LAUNCH_H

#include "cmd/common/flags.h"
#include "supervisor/launch.h"

extern const struct flag launch_flags[];    /* of `start` */
extern const struct flag app_start_flags[]; /* of `app start` */

/*
 * Reads and checks all of it, and will again for a reload: `given` is borrowed as long as *ret. INVALID_ARGUMENT names the key or
 * flag. *ret is to be released in either case.
 */
struct error *launch_prepare(const struct flags *given, struct launch *ret) MUST_USE;

/*
 * The same for `debug connect`, which has only the flags config, config-string, ca-pin and data-dir: what is needed to reach the
 * cluster, without the join token.
 */
struct error *launch_prepare_connection(const struct flags *given, struct launch *ret) MUST_USE;

/*
 * Reads and checks one file as `start` would, with the files of https_keypairs, but no other files that it names: for
 * `configure --test`. *ret_ignored
 * lists the keys without effect; the caller frees it. It is NULL after an error.
 */
struct error *launch_check_file(const char *path, char **ret_ignored) MUST_USE;

#endif
