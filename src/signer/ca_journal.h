/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signer's journal of the rotations of its CAs: data_dir/ca/rotation.
 *
 * The file has two slots of equal size. A record is written to the slot that does not hold the last one, and is the last one when
 * it is whole on the disk; then the other slot is wiped, since records hold private keys. A crash leaves the old record or the new
 * one. The file has its full size from the beginning, so that a full disk does not stop a rotation, and is written through one
 * descriptor, so that the signer opens no file in its sandbox. If the disk is full when the file is made, the first record makes it.
 *
 *     slot: 8 bytes magic, generation (64 bits), length (32 bits), SHA-256 of generation, length and record, record
 */
#ifndef SIGNER_CA_JOURNAL_H
#define SIGNER_CA_JOURNAL_H

#include "base/buf.h"
#include "base/error.h"

enum { CA_JOURNAL_SLOT = 32 * KiB, CA_JOURNAL_RECORD = 16 * KiB };

struct ca_journal {
        int fd; /* 0: not open */
        uint64_t generation; /* of the last record; 0: there is none */
        unsigned slot;       /* that holds it */
        size_t size;         /* of the file */
};

/*
 * Opens the journal of the CA's directory, creates it if it is missing, and appends the last record to `ret_record`: nothing if
 * there is none. FAILED_PRECONDITION if the only record is damaged, other than by an interrupted first write.
 */
struct error *ca_journal_open(struct ca_journal *j, const char *dir, struct buf *ret_record) MUST_USE;
/* The same of a journal that no process has open; nothing is changed, and there may be no file. */
struct error *ca_journal_read(const char *dir, struct buf *ret_record) MUST_USE;

void ca_journal_release(struct ca_journal *j);

/*
 * Replaces the record; durable when it returns. RESOURCE_EXHAUSTED if the disk is full: the former record stays, and the call may be
 * repeated. DATA_LOSS: which record is on the disk is unknown.
 */
struct error *ca_journal_write(struct ca_journal *j, struct str record) MUST_USE;

#endif
