/* SPDX-License-Identifier: Apache-2.0 */
#include "net/curl_api.h"

#include <stdlib.h>

#include "base/library.h"

/* The library is loaded once per process, so this state is global. */
static struct {
        bool is_there;
        struct curl_api api;
} loaded;

static const struct library_function functions[] = {
#define CURL_ROW(function) { "curl_" #function, offsetof(struct curl_api, function) },
        CURL_FUNCTIONS(CURL_ROW)
#undef CURL_ROW
};

static const struct library libcurl = {
        .file = "libcurl.so.4",
        .package = "libcurl4 (version 7.85 or newer)",
        .functions = functions,
        .function_count = ARRAY_LEN(functions),
};

static struct error *load(void)
{
        struct curl_api api;

        /* libcurl would write TLS secrets to the file that this variable names. */
        unsetenv("SSLKEYLOGFILE");
        TRY(library_load(&libcurl, &api));
        if (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "libcurl cannot be loaded: it does not initialise"),
                                  "install the package %s", libcurl.package);
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
