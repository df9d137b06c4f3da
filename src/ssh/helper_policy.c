/* SPDX-License-Identifier: Apache-2.0 */
#include "ssh/helper_policy.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

const Cteleport__V1__NodePermits *helper_permits(const Cteleport__V1__ReportDecision *d)
{
        static const Cteleport__V1__NodePermits none = CTELEPORT__V1__NODE_PERMITS__INIT;

        return d->node == NULL ? &none : d->node;
}

const char *helper_kind(const char *kind)
{
        static const char *const kinds[] = { "shell", "exec", "sftp", "scp" };

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (strcmp(kind, kinds[i]) == 0)
                        return kinds[i];
        return NULL;
}

static bool may_copy_files(const Cteleport__V1__SSHConfig *config, const Cteleport__V1__ReportDecision *d)
{
        return (d->decides_sessions || helper_permits(d)->file_copy) && !(config->has_ssh_file_copy && !config->ssh_file_copy);
}

const char *helper_refusal_text(const Cteleport__V1__SSHConfig *config, const Cteleport__Session__V1__Start *start, const char *kind,
                             const Cteleport__V1__ReportDecision *d)
{
        if (!d->is_allowed)
                return d->reason;
        if (kind == NULL)
                return "the session is of an unknown kind";
        if (start->has_pty && !helper_permits(d)->pty)
                return "your roles do not permit a terminal on this node";
        if ((strcmp(kind, "sftp") == 0 || strcmp(kind, "scp") == 0) && !may_copy_files(config, d))
                return "copying files is not allowed: ssh_file_copy of your roles, or of this node, forbids it";
        return NULL;
}
