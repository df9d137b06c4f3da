/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a backup: a tar archive of files, in the order in which they are written, the last of which is SHA256SUMS, with a
 * line for each other file in the format of sha256sum(1). docs/protocols/backup.md has the files.
 */
#ifndef BACKUP_ARCHIVE_H
#define BACKUP_ARCHIVE_H

#include "backup/age.h"
#include "backup/tar.h"

/* The format of the archive, in backup.json. A reader refuses a newer one. */
enum { ARCHIVE_FORMAT = 1 };

#define ARCHIVE_MANIFEST "backup.json"
#define ARCHIVE_SUMS "SHA256SUMS"
#define ARCHIVE_DATABASE "backend/sqlite.db"
#define ARCHIVE_CONFIG "config/teleport.yaml"

/* ---- writing ------------------------------------------------------------------------------------------ */

struct archive_writer;
struct archive_writer *archive_writer_new(struct age_writer *to) MUST_USE; /* borrowed */
void archive_writer_free(struct archive_writer *w);
DEFINE_AUTO_PTR(archive_writer);

/* A file: begin, then exactly entry->size bytes in any pieces. */
struct error *archive_begin(struct archive_writer *w, const struct tar_entry *entry) MUST_USE;
struct error *archive_put(struct archive_writer *w, struct str bytes) MUST_USE;
/* A file whose bytes are in memory; mode 0600. */
struct error *archive_put_file(struct archive_writer *w, const char *name, struct str bytes, int64_t modified) MUST_USE;
/* Writes SHA256SUMS and the end of the archive, not the end of the age file. */
struct error *archive_writer_finish(struct archive_writer *w) MUST_USE;

/* ---- reading ------------------------------------------------------------------------------------------ */

struct archive_reader;
struct archive_reader *archive_reader_new(struct age_reader *from) MUST_USE; /* borrowed */
void archive_reader_free(struct archive_reader *r);
DEFINE_AUTO_PTR(archive_reader);

/*
 * The next file, whose bytes the caller reads up to *ret 0. At the end, *ret_is_end: SHA256SUMS was there, agreed with all the files,
 * and nothing followed. INVALID_ARGUMENT or DATA_LOSS: a malformed archive.
 */
struct error *archive_next(struct archive_reader *r, struct tar_entry *ret, bool *ret_is_end) MUST_USE;
struct error *archive_get(struct archive_reader *r, char *to, size_t most, size_t *ret) MUST_USE;

#endif
