/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed archive of older lines of issued.log: issued.log.1.gz and issued.log.2.gz. Lines are appended to one of
 * them; when it has LIMIT_ISSUED_ARCHIVE bytes, the other, older one is emptied and used instead. So the latest lines
 * are kept, and the disk space is bounded.
 *
 * Each packing appends one gzip member (RFC 1952), so `zcat issued.log.1.gz` prints all lines of a file. Every member
 * carries its length and a number that counts up in the extra field of its header (subfield 'C' 'T': length and number,
 * 32 bits each, little endian): from these the next start finds the end of the last complete member and the newer file.
 * The length is written last; a member with length 0, a length beyond the file, or a wrong checksum is the rest of a
 * crash and is cut off: its lines are still in issued.log, which is emptied after the member is synced.
 *
 * All operations use descriptors opened at the start, as the signer's sandbox permits no opening or renaming.
 */
#ifndef SIGNER_ISSUED_ARCHIVE_H
#define SIGNER_ISSUED_ARCHIVE_H

#include <sys/types.h>

#include "base/error.h"

enum { ISSUED_ARCHIVE_FILES = 2 };

struct issued_archive {
        struct issued_archive_file {
                int fd;
                off_t size;      /* the end of its last whole member */
                off_t last;      /* where that member begins */
                uint32_t number; /* that member's; 0: the file is empty */
        } files[ISSUED_ARCHIVE_FILES];
        off_t most; /* maximum of one file, exceeded by one member at most: LIMIT_ISSUED_ARCHIVE; smaller in tests */
};

/*
 * Opens `prefix`.1.gz and `prefix`.2.gz, 0600, creating them if missing, and cuts off incomplete members. Loads zlib (os/zlib_api.h), so
 * it is called before the sandbox.
 */
struct error *issued_archive_open(struct issued_archive *a, const char *prefix) MUST_USE;
void issued_archive_release(struct issued_archive *a);

/* Whether the last member contains exactly the `size` bytes of `fd`: a crash happened after packing and before emptying. */
bool issued_archive_has(const struct issued_archive *a, int fd, off_t size);

/*
 * Packs the first `size` bytes of fd and syncs them. *ret_dropped: the older file was emptied for it.
 * RESOURCE_EXHAUSTED: no disk space, nothing is packed. DATA_LOSS: the content of the disk is unknown.
 */
struct error *issued_archive_add(struct issued_archive *a, int fd, off_t size, bool *ret_dropped) MUST_USE;

#endif
