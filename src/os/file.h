/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File access: bounded reads, atomic writes and private files.
 */
#ifndef OS_FILE_H
#define OS_FILE_H

#include "base/buf.h"
#include "base/error.h"

/*
 * A sandboxed process uses a directory by its descriptor, as /proc/self/fd/N, which is meaningless to users. After this
 * call path_shown(), and so every error of this module, shows `shown` instead of `path`, also as a prefix of a longer
 * path. Both are copied and never freed. To be called before other threads are started.
 */
void path_show_as(const char *path, const char *shown);

/* The path as shown in messages, escaped; the caller frees it. Every message with a path uses this. */
char *path_shown(const char *path) MUST_USE;

/* Reads a whole regular file, at most the maximum size of out. NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED. */
struct error *file_read(const char *path, struct buf *out) MUST_USE;

/*
 * Opens /dev/null for each of standard input, output and error that the caller closed (`tsh ls <&-`), so that no
 * file or socket gets one of their numbers. To be called before anything else is opened; aborts without /dev/null.
 */
void file_open_standard(void);

/*
 * Reads the input that a user has named on a command line: a file, a pipe such as `<(command)`, `-` or /dev/stdin.
 * Waits for a pipe's writer, so it must not be called from a loop. NOT_FOUND, PERMISSION_DENIED, FAILED_PRECONDITION (a
 * directory), RESOURCE_EXHAUSTED beyond the maximum size of out.
 */
struct error *file_read_input(const char *path, struct buf *out) MUST_USE;

/* As file_read, and refuses a file that group or others may read or write, or that another user owns. */
struct error *file_read_private(const char *path, struct buf *out) MUST_USE;

/*
 * Writes path atomically with the mode: O_EXCL temporary beside it, fsync, rename, fsync of the
 * directory. After a crash there is the old file or the new one.
 */
struct error *file_write_atomic(const char *path, struct str bytes, unsigned mode) MUST_USE;

/* Creates a directory with `mode`, and missing parents. An existing directory is accepted if this user owns it. */
struct error *dir_make(const char *path, unsigned mode) MUST_USE;

/*
 * Creates one directory with exactly this mode, whatever the umask; an existing one keeps its mode. Checked by
 * descriptor: a symbolic link, or a directory that others own or may write, is refused.
 */
struct error *dir_make_exact(const char *path, unsigned mode) MUST_USE;

/* Syncs a directory after a rename or unlink in it. */
struct error *dir_sync(const char *path) MUST_USE;

/* Takes an exclusive lock on dir/lock until the process ends; FAILED_PRECONDITION names the holder's PID. */
struct error *dir_lock(const char *dir, int *ret_fd) MUST_USE;

/* Whether a process holds that lock now; does not take it. */
bool dir_is_locked(const char *dir);

#endif
