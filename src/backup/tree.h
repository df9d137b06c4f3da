/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the data directory for a backup, while services write to them. A file is read as long as it was when it was opened: logs and
 * recordings only grow. Symbolic links and files with several hard links are errors: their owner, a service, could lead root to a file of
 * another user. Sockets and the like are left out.
 */
#ifndef BACKUP_TREE_H
#define BACKUP_TREE_H

#include "backup/archive.h"

struct tree {
        const char *dir;    /* "/var/lib/teleport/ca" */
        const char *inner; /* a directory in dir that a service owns, and could replace by a symbolic link: it is not followed. NULL: dir itself */
        const char *prefix; /* in the archive: "ca" */
        const char *last;   /* a file directly in dir that is read last, as it gets another name at any time: "events.log". NULL: none */
        unsigned depth;     /* of directories below dir to descend into */
        bool (*wants)(const char *name); /* selects the files directly in dir; NULL: all. Never asked about names that begin with '.' */
};

/*
 * Adds the files to the archive; none if the directory does not exist. A file that gets another name, or is compressed to NAME.gz, while it is
 * read or afterwards is added once. ABORTED: a file became shorter meanwhile, or the names beside `last` change all the time.
 * FAILED_PRECONDITION: a link.
 */
struct error *tree_write(const struct tree *t, struct archive_writer *to, uint64_t *count) MUST_USE;

/* Adds one file; *ret_exists false: there is none. FAILED_PRECONDITION: a link. */
struct error *tree_write_file(const char *path, const char *name, struct archive_writer *to, bool *ret_exists) MUST_USE;

/* SHA-256 of the names and contents of all files, to see whether they change during a backup. 1 MiB at most. */
struct error *tree_digest(const struct tree *t, uint8_t ret[32]) MUST_USE;

#endif
