/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restores a backup into an empty data directory.
 *
 *      empty directory ─▶ file `restoring`, durable ─▶ files ─▶ digests, database, CA checked ─▶ all durable ─▶ `restoring` removed
 *
 * While `restoring` exists, teleport does not start with the directory (restore_check_finished()): a part of a cluster is no cluster.
 * A restore that fails removes what it wrote. After a crash, the next restore does that first.
 */
#ifndef BACKUP_RESTORE_H
#define BACKUP_RESTORE_H

#include "backup/age.h"
#include "backup/data_check.h"

struct restore_options {
        const char *data_dir, *store; /* the store is data_dir/backend, or a directory elsewhere */
        struct age_unlock unlock;
        struct age_source source; /* the file */
        const char *pin;          /* the CA must have it; NULL: any */
};

/* Text of the backup about itself: JSON, at most this size. */
enum { RESTORE_MANIFEST_MAX = 64 * KiB };

struct restored {
        struct data_check check;
        bool has_config; /* data_dir/RESTORE_CONFIG */
        uint64_t files;
};
void restored_release(struct restored *r);

/* The configuration of the backup in the data directory: it is not put in place of one that is in use. */
#define RESTORE_CONFIG "teleport.yaml.restored"

/*
 * Blocks. FAILED_PRECONDITION: the directory is not empty, or teleport uses it; the backup is of a newer version; its CA has not the
 * pin. Others as age_reader_new(), archive_next() and data_check_run().
 */
struct error *restore_run(const struct restore_options *options, struct restored *ret) MUST_USE;

/* The file that exists during a restore; the caller frees the path. */
#define RESTORE_MARKER "restoring"
char *restore_marker_path(const char *data_dir) MUST_USE;

/* FAILED_PRECONDITION: a restore into this data directory was interrupted. */
struct error *restore_check_finished(const char *data_dir) MUST_USE;

#endif
