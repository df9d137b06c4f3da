/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings with which the supervisor runs: the validated configuration with the command line applied, and the
 * contents of the files that it names (token file, pin files).
 */
#ifndef SUPERVISOR_LAUNCH_H
#define SUPERVISOR_LAUNCH_H

#include "base/arena.h"
#include "base/secret.h"
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
        /*
         * Reads the same settings again, for a reload: *ret is to be released in either case. NULL: the settings cannot change.
         * Errors say what the operator has to correct.
         */
        struct error *(*again)(const void *ctx, struct launch *ret) MUST_USE;
        const void *again_ctx; /* borrowed */
};

void launch_release(struct launch *l);

#endif
