/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both ends of a tunnel share: the HTTP/2 connection, and its CONNECT streams as struct stream.
 * Private to src/tunnel.
 *
 * Inside of nghttp2 nothing calls an owner: events are noted in the stream, which enters the end's list of
 * streams with pending events. They are delivered once nghttp2 has returned, or in a turn of their own.
 *
 *     on the wire, with an owner ──stream_close──▶ on the wire: sends what is queued, for TIMEOUT_LINGER
 *               │ RST_STREAM, tunnel lost                  │ both directions ended, or reset
 *               ▼                                          ▼
 *          broken, with an owner ─────stream_close──────▶ freed
 */
#ifndef TUNNEL_TUNNEL_INTERNAL_H
#define TUNNEL_TUNNEL_INTERNAL_H

#include "rpc/h2.h"
#include "tunnel/tunnel.h"

struct tunnel_stream;

/* Embedded first in struct tunnel and struct tunnel_server. */
struct tunnel_end {
        struct h2 h2;
        struct tunnel_stream *streams; /* on the wire */
        struct tunnel_stream *ready;   /* with something to tell, in order */
        struct tunnel_stream **ready_end;
        /* Reports a dial or an incoming stream; also for a stream that has left the wire. */
        void (*report)(struct tunnel_end *e, struct tunnel_stream *s);
};

/* Bytes in order, in buffers of the loop while there are some. */
struct byte_queue {
        struct piece *first, *last;
        size_t len;
};

struct tunnel_stream {
        struct stream stream;
        struct loop *loop;
        struct tunnel_end *end;           /* NULL once it left the wire */
        struct tunnel_stream *next, **at; /* on the wire */
        struct tunnel_stream *next_ready;
        int32_t id;
        unsigned refs;             /* the wire's, the owner's, that of having something to tell */
        struct byte_queue in, out; /* not yet read by the owner; not yet sent */
        struct error *broken;      /* to be reported */
        struct tunnel_dial *dial;   /* proxy: until answered */
        struct tunnel_incoming *poll; /* agent: until answered */
        struct instant linger_until; /* closed by the owner: when the wire gives up */
        /* The window: doubled when a whole one was read, if the owner has no objection. */
        size_t window, consumed;
        bool (*may_grow)(void *ctx, size_t window); /* NULL: it may */
        void *grow_ctx;
        bool is_ready;
        bool wanted;               /* the owner reads */
        bool is_deferred;          /* nghttp2 waits for bytes */
        bool is_drained;           /* to be reported */
        bool is_shut_wanted, is_shut;
        bool is_read_ended;        /* the peer has ended its direction */
        bool has_ended;            /* on_end was called */
        bool is_broken, is_closed; /* closed: by the owner */
};

void end_init(struct tunnel_end *e, struct loop *l, struct stream *tls, const struct h2_events *events,
              struct h2_options options);

/* A stream on the wire, with references for the wire and the owner; id may follow. */
struct tunnel_stream *tunnel_stream_new(struct tunnel_end *e, int32_t id) MUST_USE;

/* What nghttp2 reads the stream's queue through. */
extern const nghttp2_data_provider tunnel_stream_source;

/* Leaves the wire, which drops its reference; err (owned) breaks it, NULL: both directions ended in order. */
void tunnel_stream_leave(struct tunnel_stream *s, struct error *err);

/* Called before the stream's window grows to `window`, to account for the memory; until stream_close(). */
void tunnel_stream_grow_by(struct stream *s, bool (*may_grow)(void *ctx, size_t window), void *ctx);

/* Gives the stream up: RST_STREAM, and no owner any more. */
void tunnel_stream_abandon(struct tunnel_stream *s);

/* The stream has a pending event: its owner gets it soon, from the loop. */
void tunnel_stream_note(struct tunnel_stream *s);

/* Events of h2 that are the same at both ends. */
void end_on_data(struct h2 *h, int32_t id, struct str bytes);
void end_on_last(struct h2 *h, int32_t id);
void end_put_data(struct h2 *h, int32_t id, char *out, size_t len);
void end_on_turn(struct h2 *h); /* tells */
struct instant end_on_time(struct h2 *h, struct instant now);

/* The tunnel is lost: every stream breaks and its owner is notified. */
void end_break_streams(struct tunnel_end *e);

/* Why the tunnel ended, for the owners of its streams. */
struct error *end_reason(const struct tunnel_end *e) MUST_USE;

/* A refusal on its way: HTTP status and error code, each to the other (unknown ones: 502, UNKNOWN). */
unsigned tunnel_status_of(enum error_code code);
enum error_code tunnel_code_of(int64_t status);

/* Budgets for peers that authenticated themselves; flow control of fast streams takes many frames. */
struct h2_options tunnel_h2_options(bool is_server);

#endif
