/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/head.h"

#include "base/mem.h"
#include "base/text.h"

struct error *head_check(const struct head_kind *k, char **kind, char **sub_kind, char **version)
{
        AUTO_MEM char *shown_kind = escaped(str_of(*kind)), *shown_version = escaped(str_of(*version));

        if (is_unset(*kind))
                *kind = unconst(k->kind);
        if (strcmp(*kind, k->kind) != 0)
                return error_about(error_new(ERROR_INVALID_ARGUMENT, "this is a resource of kind '%s', not %s", shown_kind, k->article), "kind");
        if (!is_unset(*sub_kind))
                return error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s has no sub_kind", k->article), "leave sub_kind out"),
                                   "sub_kind");
        if (is_unset(*version))
                *version = unconst(k->versions[0]);
        for (size_t i = 0; k->versions[i] != NULL; i++)
                if (strcmp(*version, k->versions[i]) == 0)
                        return NULL;
        return error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT, "version '%s' of %ss is not supported", shown_version, k->kind),
                                      "write version: %s", k->versions[0]),
                           "version");
}

struct walltime timestamp_end(const Cteleport__V1__Timestamp *end)
{
        struct walltime t;

        if (end == NULL)
                return (struct walltime){ 0 };
        if (__builtin_mul_overflow(end->seconds, SECONDS(1).ns, &t.ns) || __builtin_add_overflow(t.ns, end->nanos, &t.ns))
                t.ns = end->seconds > 0 ? INT64_MAX : 1;
        return t.ns <= 0 ? (struct walltime){ 1 } : t; /* 0 would mean that it never expires */
}

struct error *check_not_past(const Cteleport__V1__Timestamp *end, struct walltime now, const char *field)
{
        if (end == NULL || timestamp_end(end).ns > now.ns)
                return NULL;
        return error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s has passed already", field), "leave it out to set no expiry"),
                           "%s", field);
}
