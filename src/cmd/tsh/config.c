/* SPDX-License-Identifier: Apache-2.0 */
/* tsh config: text for ~/.ssh/config, with which ssh, scp, rsync, git and Ansible reach nodes. */
#include <stdlib.h>

#include "client/openssh.h"
#include "cmd/common/output.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"

struct error *config_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(buf) out = BUF_MAX(256 * KiB);
        const char *self = NULL, *home = getenv("TELEPORT_HOME");

        (void)ctx;
        TRY(user_load(given, &p));
        TRY(profile_find_inner(&p));
        TRY(openssh_self(p.arena, &self));
        TRY(openssh_put_config(&out, &p, self, home == NULL || *home == '\0' ? NULL : p.home));
        return output_flush(&out);
}
