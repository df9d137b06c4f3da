/* SPDX-License-Identifier: Apache-2.0 */
#include "net/curl_api.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"

/* The library is loaded once per process, so this state is global. */
static struct {
        bool is_there;
        struct curl_api api;
} loaded;

static const struct {
        const char *name;
        size_t offset;
} functions[] = {
#define CURL_ROW(function) { "curl_" #function, offsetof(struct curl_api, function) },
        CURL_FUNCTIONS(CURL_ROW)
#undef CURL_ROW
};

static struct error *not_usable(const char *why)
{
        AUTO_MEM char *shown = escaped(str_of(why));

        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "libcurl cannot be loaded: %s", shown),
                          "install the package libcurl4 (version 7.85 or newer)");
}

static struct error *load(void)
{
        struct curl_api api;

        /* libcurl would write TLS secrets to the file that this variable names. */
        unsetenv("SSLKEYLOGFILE");
        void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
                return not_usable(dlerror());
        for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
                void *function = dlsym(library, functions[i].name);

                if (function == NULL)
                        return not_usable(dlerror());
                memcpy((char *)&api + functions[i].offset, &function, sizeof function);
        }
        if (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return not_usable("it does not initialise");
        loaded.api = api;
        loaded.is_there = true;
        return NULL;
}

struct error *curl_api_load(const struct curl_api **ret)
{
        if (!loaded.is_there)
                TRY(load());
        *ret = &loaded.api;
        return NULL;
}
