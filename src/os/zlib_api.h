/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zlib, which the processes that write logs load when they start (base/library.h).
 */
#ifndef OS_ZLIB_API_H
#define OS_ZLIB_API_H

#include <zlib.h>

#include "base/error.h"

enum { ZLIB_GZIP_WINDOW = 15 + 16 }; /* the largest window; +16 selects the gzip format (RFC 1952) */

/* The functions with "2_" are what deflateInit2() and inflateInit2() call. */
struct zlib_api {
        __typeof__(inflateInit2_) *inflate_init;
        __typeof__(inflate) *inflate;
        __typeof__(inflateReset) *inflate_reset;
        __typeof__(inflateEnd) *inflate_end;
        __typeof__(deflateInit2_) *deflate_init;
        __typeof__(deflateSetHeader) *deflate_set_header;
        __typeof__(deflate) *deflate;
        __typeof__(deflateEnd) *deflate_end;
};

/* Loaded once per process, so it is global; read only after zlib_load(). */
extern struct zlib_api zlib;

/* To be called before the sandbox, and before other threads are started; again it does nothing. */
struct error *zlib_load(void) MUST_USE;

#endif
