/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bidirectional byte stream with back-pressure: the common interface of TCP and Unix connections, TLS, HTTP/2 streams
 * and WebSockets. Streams can be layered, and splice() connects any two.
 *
 * Rules for every kind of stream: - Events come from the loop, never from inside a call on the stream. - Bytes passed
 * to on_read are borrowed until it returns. - A stream starts paused: on_read is called only after stream_read(s,
 * true). - stream_write copies, and always accepts everything; the owner watches stream_pending() and stops
 *    producing above its own mark until on_drain says that the queue is empty.
 *  - on_end comes at most once: NULL for the peer's orderly end of its direction (writing is still
 *    allowed), an error (owned by the receiver) when the stream broke, after which no other event comes.
 *    While paused, only an error of a write is reported.
 *  - After an orderly end on_drain still comes whenever the queue becomes empty. If the stream breaks
 *    then, its queue is dropped: stream_pending is 0 from then on, further writes are ignored, and on_drain comes
 *    a last time, at least if bytes were pending: an owner that awaits it goes on.
 *  - After stream_close no event comes any more and the pointer is dead; what was written before is
 *    still sent if the peer reads it in reasonable time. The layer below is closed too.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/error.h"
#include "base/str.h"

struct stream;

/*
 * The most bytes to read from a source and write at once: four frames of HTTP/2, TLS, a WebSocket and TLS again add less than 512 bytes, so
 * that one loop buffer and four records carry all of it at every layer. A byte more is a record of its own at each of them.
 */
enum { STREAM_WRITE_BEST = 65536 - 512 };

struct stream_events {
        void (*on_read)(void *ctx, struct str bytes); /* at most LOOP_BUFFER at once */
        void (*on_drain)(void *ctx);                  /* the queue has become empty; may be NULL */
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

/* The first member of every kind of stream. */
struct stream {
        const struct stream_ops *ops;
        const struct stream_events *events;
        void *ctx;
};

/* Sets the receiver of events; a stream without one must stay paused. */
void stream_listen(struct stream *s, const struct stream_events *events, void *ctx);

/* Starts or pauses delivery. */
void stream_read(struct stream *s, bool wanted);

/* Queues a copy of bytes. Ignored after the stream broke (reported by on_end). */
void stream_write(struct stream *s, struct str bytes);

/* Ends the writing direction; the peer gets a normal end after the queued bytes. */
void stream_shutdown(struct stream *s);

/* Closes the stream, see above. NULL is ignored. */
void stream_close(struct stream *s);

/* The number of written bytes that the layer below or the kernel has not accepted yet. */
size_t stream_pending(const struct stream *s);

/*
 * Connects a and b, both owned from now on: bytes read from one are written to the other. A side is not read while
 * `window` bytes or more are pending in the other (so at most `window` and one read are pending). Ends are passed on; a
 * broken stream closes both. done(ctx) is called once, when both are closed.
 */
struct splice;
struct loop;
struct splice *splice_start(struct loop *l, struct stream *a, struct stream *b, size_t window,
                            void (*done)(void *ctx, uint64_t a_to_b, uint64_t b_to_a), void *ctx);
void splice_set_window(struct splice *sp, size_t window);
/* The number of bytes received so far, from both sides together. */
uint64_t splice_bytes(const struct splice *sp);
/* Closes both streams; done is called from the loop. */
void splice_cancel(struct splice *sp);

#endif
