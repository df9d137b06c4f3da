/* SPDX-License-Identifier: Apache-2.0 */
#include "os/zlib_api.h"

#include "base/library.h"

struct zlib_api zlib;

static const struct library_function functions[] = {
        { "inflateInit2_", offsetof(struct zlib_api, inflate_init) },
        { "inflate", offsetof(struct zlib_api, inflate) },
        { "inflateReset", offsetof(struct zlib_api, inflate_reset) },
        { "inflateEnd", offsetof(struct zlib_api, inflate_end) },
        { "deflateInit2_", offsetof(struct zlib_api, deflate_init) },
        { "deflateSetHeader", offsetof(struct zlib_api, deflate_set_header) },
        { "deflate", offsetof(struct zlib_api, deflate) },
        { "deflateEnd", offsetof(struct zlib_api, deflate_end) },
};

static const struct library libz = {
        .file = "libz.so.1",
        .package = "zlib1g",
        .functions = functions,
        .function_count = ARRAY_LEN(functions),
};

struct error *zlib_load(void)
{
        return zlib.inflate != NULL ? NULL : library_load(&libz, &zlib);
}
