/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of tar archives in the ustar format (POSIX.1-2001, "pax": ustar Interchange Format): regular files only, names of 99
 * characters at most. The reader accepts the form that the writer makes, and nothing else of what tar programs know.
 */
#ifndef BACKUP_TAR_H
#define BACKUP_TAR_H

#include "base/error.h"
#include "base/str.h"

enum { TAR_BLOCK = 512, TAR_NAME_MAX = 99 };

struct tar_entry {
        char name[TAR_NAME_MAX + 1]; /* relative: words of letters, digits, '.', '_' and '-', with '/' between */
        uint64_t size;               /* below 8 GiB */
        int64_t modified;            /* seconds since 1970 */
        unsigned mode;               /* permissions */
};

/* Whether a name has this form; no word is "." or "..". */
bool tar_name_is_valid(struct str name);

/* INVALID_ARGUMENT: the name or the size does not fit. */
struct error *tar_header_write(const struct tar_entry *entry, char ret[TAR_BLOCK]) MUST_USE;

/* *ret_is_end: a block of zeros, of which an archive has two at its end. INVALID_ARGUMENT: anything else. */
struct error *tar_header_read(const char block[TAR_BLOCK], struct tar_entry *ret, bool *ret_is_end) MUST_USE;

/* The number of zeros behind a file of this size. */
size_t tar_padding(uint64_t size);

#endif
