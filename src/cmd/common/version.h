/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command `version`, the same in every program.
 */
#ifndef CMD_COMMON_VERSION_H
#define CMD_COMMON_VERSION_H

#include "cmd/common/flags.h"

/* The text that it prints. */
extern const struct version {
        const char *version, *gitref, *runtime;
} program_version;

struct error *version_run(void *ctx, const struct flags *given) MUST_USE;

#endif
