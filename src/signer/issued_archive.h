/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Older lines of issued.log, packed: issued.log.1.gz and issued.log.2.gz. One of them grows; when it has LIMIT_ISSUED_ARCHIVE
 * bytes, the other, which is the older one, is emptied and grows instead. So the last lines are kept, and the disk that they
 * take is bounded.
 *
 * Each packing appends one gzip member (RFC 1952), so `zcat issued.log.1.gz` prints all lines of a file. Every member carries
 * its length and a number that counts up in the extra field of its header (subfield 'C' 'T': length and number, 32 bits each,
 * little endian): the next start finds the end of the last whole one, and which file is the newer one. The length is written
 * last; a member whose length is 0, goes beyond the file, or whose sum does not fit was torn by a crash, and is cut off: its
 * lines are still in issued.log then, which is emptied after the member is synced.
 *
 * Everything works on descriptors that are opened at the start: a signer in its sandbox opens and renames nothing.
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
        off_t most; /* of one file, one member more at most: LIMIT_ISSUED_ARCHIVE; tests have less time */
};

/* Opens `prefix`.1.gz and `prefix`.2.gz, 0600, creating them if need be, and cuts off what a crash left. */
struct error *issued_archive_open(struct issued_archive *a, const char *prefix) MUST_USE;
void issued_archive_release(struct issued_archive *a);

/* Whether the last member holds just the `size` bytes of `fd`: packed, but not emptied before a crash. */
bool issued_archive_has(const struct issued_archive *a, int fd, off_t size);

/*
 * Packs the first `size` bytes of fd and syncs them. *ret_dropped: the older file was emptied for it. RESOURCE_EXHAUSTED: no
 * room, nothing is packed. DATA_LOSS: the content of the disk is unknown.
 */
struct error *issued_archive_add(struct issued_archive *a, int fd, off_t size, bool *ret_dropped) MUST_USE;

#endif
