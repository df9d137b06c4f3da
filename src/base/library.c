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

struct error *library_load(const struct library *library, void *ret_table)
{
        void *handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);

        if (handle == NULL)
                return not_usable(library, dlerror());
        for (size_t i = 0; i < library->function_count; i++)
                if (dlsym(handle, library->functions[i].name) == NULL)
                        return not_usable(library, dlerror());
        for (size_t i = 0; i < library->function_count; i++) {
                void *function = dlsym(handle, library->functions[i].name);

                memcpy((char *)ret_table + library->functions[i].offset, &function, sizeof function);
        }
        return NULL;
}
