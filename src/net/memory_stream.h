/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two connected streams in memory, without descriptors: for two parts of a process that each have one end, and for tests.
 *
 * Both follow the rules of stream.h: events come from the loop, and bytes for a paused stream are held and count as
 * pending at the writer until they are read. Memory is bounded only by
 * what the owners let wait (stream_pending).
 */
#ifndef NET_MEMORY_STREAM_H
#define NET_MEMORY_STREAM_H

#include "net/stream.h"

struct loop;

void memory_stream_pair(struct loop *l, struct stream **ret_a, struct stream **ret_b);

/* Limits the bytes that on_read of `s` gets at once; LOOP_BUFFER unless set. */
void memory_stream_limit_reads(struct stream *s, size_t most);

/* Breaks the connection: both ends get on_end with an error. */
void memory_stream_break(struct stream *s);

#endif
