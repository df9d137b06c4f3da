/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsqlite3 as a table of functions (base/library.h): only the Auth Service has a database.
 */
#ifndef STORE_SQLITE_SQLITE_API_H
#define STORE_SQLITE_SQLITE_API_H

#include <sqlite3.h>

#include "base/error.h"

#define SQLITE_FUNCTIONS(X)                                                                                            \
        X(bind_blob)                                                                                                   \
        X(bind_blob64)                                                                                                 \
        X(bind_int64)                                                                                                  \
        X(bind_text)                                                                                                   \
        X(changes)                                                                                                     \
        X(close)                                                                                                       \
        X(column_blob)                                                                                                 \
        X(column_bytes)                                                                                                \
        X(column_int64)                                                                                                \
        X(column_text)                                                                                                 \
        X(db_config)                                                                                                   \
        X(errmsg)                                                                                                      \
        X(errstr)                                                                                                      \
        X(exec)                                                                                                        \
        X(extended_result_codes)                                                                                       \
        X(file_control)                                                                                                \
        X(finalize)                                                                                                    \
        X(get_autocommit)                                                                                              \
        X(limit)                                                                                                       \
        X(open_v2)                                                                                                     \
        X(prepare_v3)                                                                                                  \
        X(reset)                                                                                                       \
        X(step)                                                                                                        \
        X(system_errno)                                                                                                \
        X(vfs_find)                                                                                                    \
        X(vfs_register)                                                                                                \
        X(wal_checkpoint_v2)                                                                                           \
        X(wal_hook)

struct sqlite_api {
#define SQLITE_MEMBER(name) __typeof__(sqlite3_##name) *name;
        SQLITE_FUNCTIONS(SQLITE_MEMBER)
#undef SQLITE_MEMBER
        __typeof__(sqlite3_temp_directory) *temp_directory; /* a variable of the library */
};

/* Loads the library at the first call, before the sandbox. FAILED_PRECONDITION when it is missing or too old. */
struct error *sqlite_api_load(void) MUST_USE;

/* The table; sqlite_api_load() must have succeeded. May be called from the store's thread. */
const struct sqlite_api *sqlite(void);

/* Tests replace functions of the loaded table by defining this function. */
void sqlite_api_loaded(struct sqlite_api *api);

#endif
