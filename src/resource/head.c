/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/head.h"

#include "base/mem.h"
#include "base/text.h"

static char *text(const char *c)
{
        return (char *)(uintptr_t)c; /* protobuf-c's structs have no const; what is constant is not written to */
}

struct error *head_check(const struct head_kind *k, char **kind, char **sub_kind, char **version)
{
        AUTO_MEM char *shown_kind = escaped(str_of(*kind)), *shown_version = escaped(str_of(*version));

        if (is_unset(*kind))
                *kind = text(k->kind);
        if (strcmp(*kind, k->kind) != 0)
                return error_about(error_new(ERROR_INVALID_ARGUMENT, "this is a resource of kind '%s', not %s", shown_kind, k->article), "kind");
        if (!is_unset(*sub_kind))
                return error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s has no sub_kind", k->article), "leave sub_kind out"),
                                   "sub_kind");
        if (is_unset(*version))
                *version = text(k->versions[0]);
        for (size_t i = 0; k->versions[i] != NULL; i++)
                if (strcmp(*version, k->versions[i]) == 0)
                        return NULL;
        return error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT, "version '%s' of a %s is not supported", shown_version, k->kind),
                                      "write version: %s", k->versions[0]),
                           "version");
}
