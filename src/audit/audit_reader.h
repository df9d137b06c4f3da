/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a file of the audit log at positions of its text, compressed by gzip or not. All functions block.
 *
 * audit_archive.c writes compressed files as gzip members (RFC 1952) of up to 1 MiB of text. The extra field of each header (subfield
 * 'C' 'A') has two numbers of 32 bits, little endian: the length of the member, and that of its text. Members before the position are
 * skipped by these. Files of gzip have no such field, and are unpacked from their start.
 *
 * Memory does not depend on the file: 256 KiB of text, 32 KiB of the file, and zlib's 48 KiB.
 */
#ifndef AUDIT_AUDIT_READER_H
#define AUDIT_AUDIT_READER_H

#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"

enum { AUDIT_READER_PIECE = 256 * 1024 };

/* Lengths in the header of a compressed member: they are patched when the member is complete. */
enum { AUDIT_MEMBER_HEADER = 24, AUDIT_MEMBER_LENGTHS_AT = 16, AUDIT_MEMBER_TAG = 8 };

struct audit_reader;

/* Takes fd, also in case of an error. is_packed: as the name says; zlib_load() was called before. */
struct audit_reader *audit_reader_new(int fd, bool is_packed) MUST_USE;
void audit_reader_free(struct audit_reader *r); /* NULL is silent */

/*
 * *ret is the text from `at` on: `most` bytes or AUDIT_READER_PIECE, and fewer only at the end of the text. It is valid until the next
 * call. The text of a compressed file ends before the first damage and after LIMIT_EVENTS_UNPACKED bytes.
 */
struct error *audit_reader_view(struct audit_reader *r, off_t at, size_t most, struct str *ret) MUST_USE;

/* Whether the text ended for one of these two reasons. */
bool audit_reader_is_damaged(const struct audit_reader *r);

#endif
