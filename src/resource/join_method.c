/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/join_method.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#define NAME(name) #name,

const char *const join_method_names[] = { JOIN_METHODS(NAME) NULL };

/* Methods that only Teleport has. */
static const char *const unsupported[] = {
        "ec2", "azure", "azure_devops", "bitbucket", "bound_keypair", "circleci", "env0", "gcp", "github", "gitlab",
        "kubernetes", "oracle", "spacelift", "terraform_cloud", "tpm", NULL,
};

static bool has(const char *const names[], struct str name)
{
        for (size_t i = 0; names[i] != NULL; i++)
                if (str_equal(name, str_of(names[i])))
                        return true;
        return false;
}

/* "a, b and c" */
static void put_names(struct buf *out)
{
        for (size_t i = 0; join_method_names[i] != NULL; i++)
                buf_printf(out, "%s%s", i == 0 ? "" : join_method_names[i + 1] == NULL ? " and " : ", ", join_method_names[i]);
}

struct error *join_method_check(struct str method, const char *field)
{
        AUTO_MEM char *shown = escaped(method);
        AUTO(buf) names = BUF_MAX(1 * KiB);

        if (has(join_method_names, method))
                return NULL;
        put_names(&names);
        struct error *err = has(unsupported, method) ?
                                    error_new(ERROR_INVALID_ARGUMENT, "%s: join method '%s' is not supported by this release", field, shown) :
                                    error_new(ERROR_INVALID_ARGUMENT, "%s: there is no join method '%s'", field, shown);
        return error_hint(err, "the supported join methods are %s", buf_c(&names));
}
