/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory allocation that aborts instead of failing, and descriptors that scopes close.
 *
 * Sizes that a peer can influence must be checked against a named limit first.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/str.h"

/* Returns size bytes of zeroed memory, never NULL (size 0 gives a unique pointer). Free it with free(). */
void *mem_alloc(size_t size) MUST_USE;

/* Returns count elements of zeroed memory; aborts on overflow of count * size. */
void *mem_array(size_t count, size_t size) MUST_USE;

/* Grows or shrinks an array; new bytes are not zeroed. Aborts on overflow. */
void *mem_resize(void *old, size_t count, size_t size) MUST_USE;

/* Copies len bytes and adds a NUL, never NULL. */
char *mem_dup(const void *bytes, size_t len) MUST_USE;

/* printf into newly allocated memory, never NULL. */
char *mem_printf(const char *format, ...) PRINTF_LIKE(1, 2) MUST_USE;

/*
 * Returns memory that the process does not use at the moment to the system: free blocks of malloc, stack that the main thread used before, and
 * resident pages of read-only data of the program and its libraries, which is most of what the dynamic loader read at the start. Pages that are read again
 * come from the system's cache of the files.
 */
void mem_trim(void);

#define NEW(type) ((type *)mem_alloc(sizeof(type)))

/* Cleanup functions behind AUTO_MEM and AUTO_FD. */
void mem_free_at(void *at);
void fd_close_at(int *at);

/*
 * Writes everything to a blocking descriptor and continues after signals. False on errors, with errno set; a part may
 * have been written. A pipe or socket without a reader raises SIGPIPE.
 */
bool fd_write_all(int fd, struct str bytes) MUST_USE;

#endif
