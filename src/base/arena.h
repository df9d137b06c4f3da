/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arena allocator with a size cap, for the memory of one request: all allocations are freed together.
 *
 * Memory is not wiped, so secrets must not be stored in an arena; see struct secret.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

struct arena;

/*
 * Creates an arena for cap bytes in all; memory is allocated as needed. A request beyond cap is granted, because peers
 * and stored data decide the sizes and must not end the process; the arena counts as exhausted from then on. Call
 * arena_check() before building an answer from it.
 */
struct arena *arena_new(size_t cap) MUST_USE;
void arena_free(struct arena *a);
DEFINE_AUTO_PTR(arena);

/* Allocates size zeroed bytes, aligned for any type; may overdraw. Aborts only when the system has no memory. */
void *arena_alloc(struct arena *a, size_t size) MUST_USE;

/* The same without overdrawing: NULL when the cap would be exceeded. For sizes that are products of sizes from peers. */
void *arena_try_alloc(struct arena *a, size_t size) MUST_USE;

/* Copies s; the copy lives as long as the arena. */
struct str arena_str(struct arena *a, struct str s);

/* A C string of s in the arena, or NULL if s holds a NUL or the cap is passed. */
const char *str_to_c(struct arena *a, struct str s);

/* RESOURCE_EXHAUSTED, naming `what`, when more than the cap was allocated. */
struct error *arena_check(const struct arena *a, const char *what) MUST_USE;

/* The size of all blocks of the arena, used or not. */
size_t arena_reserved(const struct arena *a);

/* printf into the arena; may overdraw. */
const char *arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);

/* Bytes allocated so far. */
size_t arena_used(const struct arena *a);

#endif
