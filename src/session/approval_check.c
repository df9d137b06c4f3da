/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks the approval of the ssh process. Its values become environment variables of the session's programs, which may run as
 * root: only names, IDs and addresses are accepted, without characters that a shell, a prompt or a terminal would interpret.
 */
#include "base/limits.h"
#include "base/str.h"
#include "session/session_internal.h"

static bool is_plain(const char *value)
{
        struct str s = str_of(value);

        if (s.len > 2 * LIMIT_NAME)
                return false;
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && str_find_char(STR("._-+@:[]/"), s.ptr[i]) == strlen("._-+@:[]/"))
                        return false;
        return true;
}

struct error *session_approval_check(const Cteleport__Session__V1__Approval *approval)
{
        const char *const values[] = { approval->session_id, approval->user, approval->cluster, approval->host_id, approval->proxy_addr, approval->client_addr };

        for (size_t i = 0; i < ARRAY_LEN(values); i++)
                if (!is_plain(values[i]))
                        return error_new(ERROR_INVALID_ARGUMENT, "the SSH Service sent a malformed description of this session");
        return NULL;
}
