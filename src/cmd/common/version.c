/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/version.h"

#include <stdio.h>

#include "cmd/git_version.h"

const struct version program_version = { CTELEPORT_VERSION, CTELEPORT_GIT, CTELEPORT_RUNTIME };

struct error *version_run(void *ctx, const struct flags *given)
{
        (void)ctx;
        (void)given;
        printf("Teleport v%s git:%s %s\n", program_version.version, program_version.gitref,
               program_version.runtime);
        return NULL;
}
