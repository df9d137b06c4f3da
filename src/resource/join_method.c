/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/join_method.h"

#include "base/mem.h"
#include "base/text.h"

static const struct {
        struct str name;
        bool is_supported;
} methods[] = {
        { STR_INIT("token"), true },         { STR_INIT("iam"), true },       { STR_INIT("ec2"), false },
        { STR_INIT("azure"), false },        { STR_INIT("azure_devops"), false }, { STR_INIT("bitbucket"), false },
        { STR_INIT("bound_keypair"), false }, { STR_INIT("circleci"), false }, { STR_INIT("env0"), false },
        { STR_INIT("gcp"), false },          { STR_INIT("github"), false },   { STR_INIT("gitlab"), false },
        { STR_INIT("kubernetes"), false },   { STR_INIT("oracle"), false },   { STR_INIT("spacelift"), false },
        { STR_INIT("terraform_cloud"), false }, { STR_INIT("tpm"), false },
};

struct error *join_method_check(struct str method, const char *field)
{
        AUTO_MEM char *shown = escaped(method);

        for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
                if (!str_equal(method, methods[i].name))
                        continue;
                if (methods[i].is_supported)
                        return NULL;
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s: join method '%s' is not supported by this release",
                                            field, shown),
                                  "the supported join methods are iam and token");
        }
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s: there is no join method '%s'", field, shown),
                          "the supported join methods are iam and token");
}
