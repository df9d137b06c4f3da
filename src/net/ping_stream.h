/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The framing of Teleport's protocols with the suffix "-ping" as a stream: each frame is a length, 4 bytes in network order, and
 * this number of bytes. A frame of length 0 is a ping: it is sent every TIMEOUT_UPGRADE_KEEPALIVE so that load balancers do not take the
 * connection for idle, has no answer and is not delivered. The boundaries of other frames have no meaning.
 *
 * Beyond the rules of stream.h: on_end has an error if the connection ended inside a frame, since it may have been truncated, and
 * after a frame that is longer than LIMIT_PING_FRAME.
 */
#ifndef NET_PING_STREAM_H
#define NET_PING_STREAM_H

#include "net/stream.h"

struct loop;

/* Creates the stream over `lower`, owned from now on. Both ends are alike. */
struct stream *ping_stream(struct loop *l, struct stream *lower) MUST_USE;

#endif
