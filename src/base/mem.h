/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for our own needs: allocation that dies instead of failing. And what scopes close: descriptors.
 *
 * A size that a peer can influence is checked against a named limit first; then these may serve.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/str.h"

/* Returns size bytes of zeroed memory, never NULL (size 0 gives a unique pointer). Give back with free(). */
void *mem_alloc(size_t size) MUST_USE;

/* Returns count elements of zeroed memory; dies on overflow of count * size. */
void *mem_array(size_t count, size_t size) MUST_USE;

/* Grows or shrinks an array; new bytes are not zeroed. Dies on overflow. */
void *mem_resize(void *old, size_t count, size_t size) MUST_USE;

/* Copies len bytes and adds a NUL, never NULL. */
char *mem_dup(const void *bytes, size_t len) MUST_USE;

/* printf into fresh memory, never NULL. */
char *mem_printf(const char *format, ...) PRINTF_LIKE(1, 2) MUST_USE;

#define NEW(type) ((type *)mem_alloc(sizeof(type)))

/* Cleanup functions behind AUTO_MEM and AUTO_FD. */
void mem_free_at(void *at);
void fd_close_at(int *at);

/*
 * Writes everything to a descriptor that blocks, however often signals interrupt. False: errno says why; what was written before
 * stays. A pipe or socket whose reader is gone raises SIGPIPE.
 */
bool fd_write_all(int fd, struct str bytes) MUST_USE;

#endif
