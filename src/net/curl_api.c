/* SPDX-License-Identifier: Apache-2.0 */
#include "net/curl_api.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/text.h"

/* A library is a thing of the whole process, so this is too. */
static struct {
        void *handle;
        struct curl_api api;
        unsigned holders;
        bool is_pinned;
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

struct error *curl_api_load(void)
{
        struct curl_api api;

        if (loaded.handle != NULL)
                return NULL;
        /* libcurl would write TLS secrets to the file that this names. */
        unsetenv("SSLKEYLOGFILE");
        void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
                return not_usable(dlerror());
        for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
                void *function = dlsym(library, functions[i].name);

                if (function == NULL) {
                        struct error *err = not_usable(dlerror());
                        dlclose(library);
                        return err;
                }
                memcpy((char *)&api + functions[i].offset, &function, sizeof function);
        }
        if (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
                dlclose(library);
                return not_usable("it does not initialise");
        }
        loaded.handle = library;
        loaded.api = api;
        return NULL;
}

const struct curl_api *curl_api_hold(void)
{
        if (loaded.handle == NULL)
                bug("libcurl is used before it is loaded");
        loaded.holders++;
        return &loaded.api;
}

void curl_api_drop(void)
{
        loaded.holders--;
}

void curl_api_pin(void)
{
        loaded.is_pinned = true;
}

void curl_api_unload(void)
{
        if (loaded.handle == NULL || loaded.holders > 0 || loaded.is_pinned)
                return;
#ifndef CTELEPORT_SANITIZED /* their reports need the library's names until the end */
        loaded.api.global_cleanup();
        dlclose(loaded.handle);
        loaded.handle = NULL;
#endif
}
