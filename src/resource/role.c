/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/role.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

/* A role of a host that belongs to no service, and its alias. Bot joins with a program of its own. */
struct row {
        struct system_role role;
        struct str alias; /* "": none */
};

static const struct row rows[] = {
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
        const struct service_row *service = services_of_role(name);

        if (service != NULL)
                return &service->role;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (str_equal(name, rows[i].role.name))
                        return &rows[i].role;
        return NULL;
}

static bool is_spelled(struct str text, const struct system_role *role, struct str alias)
{
        return text.len > 0 && (str_equal_nocase(text, role->name) || str_equal_nocase(text, alias));
}

const struct system_role *system_role_parse(struct str text)
{
        const struct service_row *service;

        for (size_t i = 0; (service = services_at(i)) != NULL; i++)
                if (is_spelled(text, &service->role, service->role_alias))
                        return &service->role;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (is_spelled(text, &rows[i].role, rows[i].alias))
                        return &rows[i].role;
        return NULL;
}

struct error *system_role_unknown(struct str text)
{
        AUTO_MEM char *shown = escaped(text);
        AUTO(buf) joinable = BUF_MAX(1 * KiB);
        struct nearest nearest = nearest_to(text, 2);

        const struct service_row *service;
        for (size_t i = 0; (service = services_at(i)) != NULL; i++) {
                if (!service->role.is_joinable)
                        continue;
                nearest_offer(&nearest, service->role.name.ptr);
                buf_printf(&joinable, "%s%s", joinable.len == 0 ? "" : ", ", service->role.name.ptr);
        }
        struct error *err = error_new(ERROR_INVALID_ARGUMENT, "invalid role \"%s\"", shown);
        if (nearest.word != NULL)
                return error_hint(err, "did you mean %s", nearest.word);
        return error_hint(err, "the roles of tokens are %s", buf_c(&joinable));
}
