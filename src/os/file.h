/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that must be whole or not there: bounded reads, atomic private writes.
 */
#ifndef OS_FILE_H
#define OS_FILE_H

#include "base/buf.h"
#include "base/error.h"

/*
 * A sandboxed process knows a directory by its descriptor, as /proc/self/fd/N, which tells a user nothing. From this call on
 * path_shown(), and so every message of this module, has `shown` in place of `path`, also at the head of a longer path. Both are
 * copied, for the life of the process. Before other threads begin.
 */
void path_show_as(const char *path, const char *shown);

/* What a message calls this path, escaped; heap. Every message with a path in it uses this. */
char *path_shown(const char *path) MUST_USE;

/* Reads a whole regular file, at most out's ceiling. NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED. */
struct error *file_read(const char *path, struct buf *out) MUST_USE;

/*
 * Opens /dev/null for each of standard input, output and error that the caller closed (`tsh ls <&-`), so that no
 * file or socket gets one of their numbers. To be called before anything else is opened; aborts without /dev/null.
 */
void file_open_standard(void);

/*
 * Reads what a user named on a command line until its end: a file, a pipe such as `<(command)`, `-` or /dev/stdin.
 * Waits for a pipe's writer: not for a loop. NOT_FOUND, PERMISSION_DENIED, FAILED_PRECONDITION (a directory),
 * RESOURCE_EXHAUSTED past out's ceiling.
 */
struct error *file_read_input(const char *path, struct buf *out) MUST_USE;

/* As file_read, and refuses a file that group or others may read or write, or that another user owns. */
struct error *file_read_private(const char *path, struct buf *out) MUST_USE;

/*
 * Writes path atomically with the mode: O_EXCL temporary beside it, fsync, rename, fsync of the
 * directory. After a crash there is the old file or the new one.
 */
struct error *file_write_atomic(const char *path, struct str bytes, unsigned mode) MUST_USE;

/* Makes a directory and those above it; the last with `mode`. An existing one is fine if it is ours. */
struct error *dir_make(const char *path, unsigned mode) MUST_USE;

/*
 * Makes one directory with exactly this mode, whatever the umask; an existing one keeps its own. By its descriptor: a name that
 * is a link, or a directory that others own or may write, is refused.
 */
struct error *dir_make_exact(const char *path, unsigned mode) MUST_USE;

/* Syncs a directory after a rename or unlink in it. */
struct error *dir_sync(const char *path) MUST_USE;

/* Takes an exclusive lock on dir/lock until the process ends; FAILED_PRECONDITION names the holder's PID. */
struct error *dir_lock(const char *dir, int *ret_fd) MUST_USE;

/* Whether a process holds that lock now; looks without taking it. */
bool dir_is_locked(const char *dir);

#endif
