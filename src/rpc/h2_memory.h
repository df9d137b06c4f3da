/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of one nghttp2 session. nghttp2 makes room at once for the largest frame, for a table of streams
 * and for two tables of headers: 22 KiB, of which a connection that idles touches a few bytes. They lie on
 * pages in such an order that the blocks that are used share one, and those that are never used take no memory. All else
 * comes from malloc.
 *
 *      │ the session, frame … │ … frame … │ … │ header tables │ stream table │    one mapping for each session
 *        in use                 never or rarely touched
 */
#ifndef RPC_H2_MEMORY_H
#define RPC_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

/* Embedded; the owner may touch nothing. */
struct h2_memory {
        nghttp2_mem hooks; /* for nghttp2_session_*_new3 */
        char *pages;       /* NULL: there are none, malloc serves */
        size_t front_used, small_used, large_used; /* of the three parts */
};

/*
 * Stays where it is until released, after the session was deleted. Without pages malloc serves: right for a connection that
 * does not idle, since mapping and unmapping cost more than they save.
 */
void h2_memory_init(struct h2_memory *m, bool has_pages);
void h2_memory_release(struct h2_memory *m);

#endif
