/* SPDX-License-Identifier: Apache-2.0 */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

static struct error *not_usable(const struct library *library, const char *why)
{
        AUTO_MEM char *shown = escaped(str_of(why));

        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "%.*s cannot be loaded: %s", (int)strcspn(library->file, "."), library->file, shown),
                          "install the package %s", library->package);
}

struct error *library_use(const struct library *library, void *ret_table, struct library_use *ret)
{
        AUTO(library_use) use = { .handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL) };

        if (use.handle == NULL)
                return not_usable(library, dlerror());
        for (size_t i = 0; i < library->function_count; i++)
                if (dlsym(use.handle, library->functions[i].name) == NULL)
                        return not_usable(library, dlerror());
        for (size_t i = 0; i < library->function_count; i++) {
                void *function = dlsym(use.handle, library->functions[i].name);

                memcpy((char *)ret_table + library->functions[i].offset, &function, sizeof function);
        }
        *ret = use;
        use.handle = NULL;
        return NULL;
}

void library_use_release(struct library_use *use)
{
        if (use->handle != NULL)
                dlclose(use->handle);
        use->handle = NULL;
}

struct error *library_load(const struct library *library, void *ret_table)
{
        struct library_use for_ever;

        return library_use(library, ret_table, &for_ever);
}
