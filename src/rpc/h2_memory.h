/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocator for one nghttp2 session. nghttp2 allocates buffers for the largest frame, a table of streams and two header
 * tables at its start: 22 KiB, of which an idle connection uses a few bytes. This allocator orders them on separate
 * pages so that the used blocks share one page and unused blocks take no memory. Other allocations use malloc.
 *
 *      │ the session, frame … │ … frame … │ … │ header tables │ stream table │    one mapping for each session
 *        in use                 never or rarely touched
 */
#ifndef RPC_H2_MEMORY_H
#define RPC_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

/* Embedded in its owner, which must not access the fields. */
struct h2_memory {
        nghttp2_mem hooks; /* for nghttp2_session_*_new3 */
        char *pages;       /* NULL: none, malloc is used */
        size_t front_used, small_used, large_used; /* of the three parts */
};

/*
 * Initialises m, which must not be moved until it is released after the session. Without pages malloc is used, which is
 * better for short-lived connections, since mapping and unmapping cost more than they save.
 */
void h2_memory_init(struct h2_memory *m, bool has_pages);
void h2_memory_release(struct h2_memory *m);

#endif
