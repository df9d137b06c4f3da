/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/role.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

/* A role with how people write it beside its own name in any case. */
struct row {
        struct system_role role;
        struct str alias; /* "": none */
};

/*
 * Auth does not join: there is one Auth Service, and it makes its own identity. Bot joins by a program of
 * its own. Instance comes with every service of a host and is never written down.
 */
static const struct row rows[] = {
        { { STR_INIT("Node"), .is_local_service = true, .is_joinable = true }, { 0 } },
        { { STR_INIT("Proxy"), .is_local_service = true, .is_joinable = true }, { 0 } },
        { { STR_INIT("Kube"), .is_local_service = true, .is_joinable = true }, { 0 } },
        { { STR_INIT("App"), .is_local_service = true, .is_joinable = true }, { 0 } },
        { { STR_INIT("Db"), .is_local_service = true, .is_joinable = true }, { 0 } },
        { { STR_INIT("WindowsDesktop"), .is_local_service = true, .is_joinable = true }, STR_INIT("windows_desktop") },
        { { STR_INIT("Discovery"), .is_local_service = true, .is_joinable = true }, { 0 } },
        { { STR_INIT("Auth"), .is_local_service = true }, { 0 } },
        { { STR_INIT("Instance") }, { 0 } },
        { { STR_INIT("Bot") }, { 0 } },
        { { STR_INIT("Admin") }, { 0 } },
        { { STR_INIT("Nop") }, { 0 } },
        { { STR_INIT("ProvisionToken") }, { 0 } },
        { { STR_INIT("RemoteProxy") }, STR_INIT("remote_proxy") },
        { { STR_INIT("Signup") }, { 0 } },
        { { STR_INIT("Trusted_cluster") }, STR_INIT("trustedcluster") },
};

const struct system_role *system_role_find(struct str name)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (str_equal(name, rows[i].role.name))
                        return &rows[i].role;
        return NULL;
}

const struct system_role *system_role_parse(struct str text)
{
        for (size_t i = 0; text.len > 0 && i < ARRAY_LEN(rows); i++)
                if (str_equal_nocase(text, rows[i].role.name) || str_equal_nocase(text, rows[i].alias))
                        return &rows[i].role;
        return NULL;
}

struct error *system_role_unknown(struct str text)
{
        AUTO_MEM char *shown = escaped(text);
        AUTO(buf) joinable = BUF_MAX(1 * KiB);
        struct nearest nearest = nearest_to(text, 2);

        for (size_t i = 0; i < ARRAY_LEN(rows) && rows[i].role.is_joinable; i++) {
                nearest_offer(&nearest, rows[i].role.name.ptr);
                buf_printf(&joinable, "%s%s", i == 0 ? "" : ", ", rows[i].role.name.ptr);
        }
        struct error *err = error_new(ERROR_INVALID_ARGUMENT, "invalid role \"%s\"", shown);
        if (nearest.word != NULL)
                return error_hint(err, "did you mean %s", nearest.word);
        return error_hint(err, "the roles a token may give are %s", buf_c(&joinable));
}
