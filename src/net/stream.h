/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A two-way run of bytes with back-pressure. A TCP connection is one, TLS over a stream is one, a
 * connection on a Unix socket, an HTTP/2 stream: they stack, and splice() joins any two.
 *
 * Rules that every kind of stream keeps:
 *  - Events come from the loop, never from inside a call on the stream.
 *  - Bytes handed to on_read are borrowed until it returns.
 *  - A stream starts paused: on_read comes only after stream_read(s, true).
 *  - stream_write copies, and always takes everything; the owner watches stream_pending() and stops
 *    producing above its own mark until on_drain says that the queue is empty.
 *  - on_end comes at most once: NULL for the peer's orderly end of its direction (writing is still
 *    allowed, and on_drain may still come), an error (owned by the receiver) when the stream broke,
 *    after which no other event comes. While paused, only an error of a write is reported.
 *  - After stream_close no event comes any more and the pointer is dead; what was written before is
 *    still sent if the peer reads it in reasonable time. The layer below is closed too.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/error.h"
#include "base/str.h"

struct stream;

struct stream_events {
        void (*on_read)(void *ctx, struct str bytes); /* at most LOOP_BUFFER at once */
        void (*on_drain)(void *ctx);                  /* the queue was not empty and now is; may be NULL */
        void (*on_end)(void *ctx, struct error *err);
};

/* What a kind of stream implements. */
struct stream_ops {
        void (*read)(struct stream *s, bool wanted);
        void (*write)(struct stream *s, struct str bytes);
        void (*shutdown)(struct stream *s);
        void (*close)(struct stream *s);
        size_t (*pending)(const struct stream *s);
};

/* Embedded first in every kind of stream. */
struct stream {
        const struct stream_ops *ops;
        const struct stream_events *events;
        void *ctx;
};

/* Who gets the events from now on; a stream without a listener must stay paused. */
void stream_listen(struct stream *s, const struct stream_events *events, void *ctx);

/* Starts or pauses delivery. */
void stream_read(struct stream *s, bool wanted);

/* Queues a copy of bytes. Ignored after the stream broke (on_end tells). */
void stream_write(struct stream *s, struct str bytes);

/* No more writes; the peer sees an orderly end after what is queued. */
void stream_shutdown(struct stream *s);

/* Lets go of the stream, see above. NULL is silent. */
void stream_close(struct stream *s);

/* Bytes written but not yet taken by the layer below or the kernel. */
size_t stream_pending(const struct stream *s);

/*
 * Joins a and b, both owned from now on: what one reads the other writes. A side is not read while
 * `window` bytes or more wait in the other (so one read above it is the most that waits); ends are
 * passed on, a break closes both. done(ctx) comes once, when both are closed.
 */
struct splice;
struct loop;
struct splice *splice_start(struct loop *l, struct stream *a, struct stream *b, size_t window,
                            void (*done)(void *ctx, uint64_t a_to_b, uint64_t b_to_a), void *ctx);
void splice_set_window(struct splice *sp, size_t window);
/* Bytes that came so far, from both sides together. */
uint64_t splice_bytes(const struct splice *sp);
/* Ends it early: both are closed, done is called from the loop. */
void splice_cancel(struct splice *sp);

#endif
