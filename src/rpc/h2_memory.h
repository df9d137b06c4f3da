/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of one nghttp2 session. nghttp2 makes room at once for the largest frame, for a table of streams
 * and for two tables of headers: 22 KiB, of which a connection that idles touches a few bytes. They lie on
 * pages of their own, so that what is never touched takes no memory. All else comes from malloc.
 *
 *      │ header tables │ … │ stream table │ frame, 16 KiB and some │      one mapping for each session
 */
#ifndef RPC_H2_MEMORY_H
#define RPC_H2_MEMORY_H

#include <nghttp2/nghttp2.h>

/* Embedded; the owner may touch nothing. */
struct h2_memory {
        nghttp2_mem hooks; /* for nghttp2_session_*_new3 */
        char *pages;       /* NULL: there are none, malloc serves */
        size_t small_used; /* from the front */
        size_t large_used; /* behind the page of the small ones */
};

/* Stays where it is until released, after the session was deleted. */
void h2_memory_init(struct h2_memory *m);
void h2_memory_release(struct h2_memory *m);

#endif
