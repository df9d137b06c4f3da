/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/version.h"

#include <stdio.h>

#include "cmd/git_version.h"

struct error *version_run(void *ctx, const struct flags *given)
{
        (void)ctx;
        (void)given;
        printf("Teleport v%s git:%s %s\n", CTELEPORT_VERSION, CTELEPORT_GIT, CTELEPORT_RUNTIME);
        return NULL;
}
