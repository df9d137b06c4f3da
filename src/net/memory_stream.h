/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two streams joined in memory: what one writes the other reads. For tests of what runs on any stream, without descriptors.
 *
 * Both keep the rules of stream.h: events come from the loop, a paused stream holds its bytes back, and they count as pending
 * at the writer until they are read. Memory is unbounded.
 */
#ifndef NET_MEMORY_STREAM_H
#define NET_MEMORY_STREAM_H

#include "net/stream.h"

struct loop;

void memory_stream_pair(struct loop *l, struct stream **ret_a, struct stream **ret_b);

/* on_read of `s` brings at most so many bytes at once; LOOP_BUFFER unless set. */
void memory_stream_limit_reads(struct stream *s, size_t most);

/* The connection breaks: both ends get on_end with an error. */
void memory_stream_break(struct stream *s);

#endif
