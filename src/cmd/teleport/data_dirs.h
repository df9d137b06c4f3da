/* SPDX-License-Identifier: Apache-2.0 */
/* The directories of this host's state, for commands that work on it while no service runs. */
#ifndef CMD_TELEPORT_DATA_DIRS_H
#define CMD_TELEPORT_DATA_DIRS_H

#include "base/arena.h"
#include "cmd/common/flags.h"

/* The rows of --config and --data-dir for flag tables. */
#define DATA_DIRS_FLAGS                                                                                                \
        { "config", .letter = 'c', .kind = FLAG_TEXT, .value = "FILE", .help = "Configuration file, for its data_dir" }, \
        { "data-dir", .kind = FLAG_TEXT, .value = "DIR", .help = "Directory of this host's state (/var/lib/teleport)" }

struct data_dirs {
        const char *data_dir, *store; /* in the arena, or borrowed from the flags */
};

/* Finds them as `start` does, but also in a configuration file that `start` would refuse. */
struct error *data_dirs_find(const struct flags *given, struct arena *arena, struct data_dirs *ret) MUST_USE;

#endif
