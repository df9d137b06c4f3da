/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `teleport start` is going to run: the configuration file with the command line laid over it,
 * checked, and what it names (token file, pin files) read.
 */
#ifndef CMD_TELEPORT_LAUNCH_H
#define CMD_TELEPORT_LAUNCH_H

#include "base/arena.h"
#include "base/secret.h"
#include "cmd/common/flags.h"
#include "resource/config.h"

struct launch {
        struct arena *arena;
        Cteleport__V1__Config *config; /* checked, defaults filled in */
        const char *config_path;       /* NULL: none was read */
        const char *nodename;
        const char *data_dir;
        const char *pid_file; /* NULL: none */
        const char **ca_pins; /* "sha256:<hex>", lower case */
        size_t ca_pin_count;
        struct secret token; /* join token; empty when none is given */
        bool insecure;
        struct config_warnings warnings;
        const char *ignored_keys; /* ", " between; "" or NULL if none */
};

void launch_release(struct launch *l);

extern const struct flag launch_flags[];

/* Reads and checks all of it. INVALID_ARGUMENT names the key or flag. *ret is to be released in either case. */
struct error *launch_prepare(const struct flags *given, struct launch *ret) MUST_USE;

/*
 * Reads and checks one file as `start` would, without what it names: for `configure --test`. *ret_ignored lists the
 * keys without effect; the caller frees it. It is NULL after an error.
 */
struct error *launch_check_file(const char *path, char **ret_ignored) MUST_USE;

#endif
