/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sqlite/sqlite_api.h"

#include "base/bug.h"
#include "base/library.h"

/* The library is loaded once per process, so this state is global. */
static struct {
        bool is_there;
        struct sqlite_api api;
} loaded;

static const struct library_function functions[] = {
#define SQLITE_ROW_OF(function) { "sqlite3_" #function, offsetof(struct sqlite_api, function) },
        SQLITE_FUNCTIONS(SQLITE_ROW_OF)
#undef SQLITE_ROW_OF
        { "sqlite3_temp_directory", offsetof(struct sqlite_api, temp_directory) },
};

static const struct library libsqlite3 = {
        .file = "libsqlite3.so.0",
        .package = "libsqlite3-0 (version 3.37 or newer)",
        .functions = functions,
        .function_count = ARRAY_LEN(functions),
};

__attribute__((weak)) void sqlite_api_loaded(struct sqlite_api *api)
{
        (void)api;
}

struct error *sqlite_api_load(void)
{
        if (loaded.is_there)
                return NULL;
        TRY(library_load(&libsqlite3, &loaded.api));
        sqlite_api_loaded(&loaded.api);
        loaded.is_there = true;
        return NULL;
}

const struct sqlite_api *sqlite(void)
{
        if (!loaded.is_there)
                bug("SQLite is used before it was loaded");
        return &loaded.api;
}
