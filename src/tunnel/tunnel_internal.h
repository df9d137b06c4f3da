/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code shared by both ends of a tunnel: the HTTP/2 connection, and its CONNECT streams as struct stream. Private to
 * src/tunnel.
 *
 * Owners are never called from within nghttp2: events are stored in the stream, which enters the end's list of streams
 * with pending events. They are delivered once nghttp2 has returned, or in a separate turn.
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

/* The first member of struct tunnel and struct tunnel_server. */
struct tunnel_end {
        struct h2 h2;
        struct tunnel_stream *streams; /* on the wire */
        struct tunnel_stream *ready;   /* streams with pending events, in order */
        struct tunnel_stream **ready_end;
        /* Reports a dial or an incoming stream, also of a stream that has left the connection. */
        void (*report)(struct tunnel_end *e, struct tunnel_stream *s);
        void (*on_end)(void *ctx, struct error *err); /* reports the end of the connection to the owner */
        void *ctx;                                    /* of the owner */
        bool is_draining, is_closed;                  /* by the owner */
        bool is_end_reported;
};

/* A queue of bytes, in shared buffers of the loop. */
struct byte_queue {
        struct piece *first, *last;
        size_t len;
};

struct tunnel_stream {
        struct stream stream;
        struct loop *loop;
        struct tunnel_end *end;           /* NULL once it has left the connection */
        struct tunnel_stream *next, **at; /* on the wire */
        struct tunnel_stream *next_ready;
        int32_t id;
        unsigned refs;             /* references of the connection, the owner, and the list of pending events */
        struct byte_queue in, out; /* not yet read by the owner; not yet sent */
        struct error *broken;      /* to be reported */
        struct tunnel_dial *dial;   /* proxy: until answered */
        struct tunnel_incoming *poll; /* agent: until answered */
        struct instant linger_until; /* closed by the owner: end of the time for sending queued bytes */
        /* The flow-control window: doubled when a whole window was read, if may_grow permits. */
        size_t window, consumed;
        bool (*may_grow)(void *ctx, size_t window); /* NULL: always */
        void *grow_ctx;
        bool is_ready;
        bool wanted;               /* the owner reads */
        bool is_deferred;          /* nghttp2 waits for bytes to send */
        bool is_drained;           /* to be reported */
        bool is_shut_wanted, is_shut;
        bool is_read_ended;        /* the peer has ended its direction */
        bool has_ended;            /* on_end was called */
        bool is_broken, is_closed; /* closed: by the owner */
};

void end_init(struct tunnel_end *e, struct loop *l, struct stream *tls, const struct h2_events *events,
              struct h2_options options);

/* Creates a stream with references for the connection and the owner; its id may be set later. */
struct tunnel_stream *tunnel_stream_new(struct tunnel_end *e, int32_t id) MUST_USE;

/* The data source with which nghttp2 reads the stream's queue. */
extern const nghttp2_data_provider tunnel_stream_source;

/*
 * Removes the stream from the connection, which drops its reference; err (owned) breaks it, NULL: both directions ended
 * normally.
 */
void tunnel_stream_leave(struct tunnel_stream *s, struct error *err);

/* Called before the stream's window grows to `window`, to account for the memory; until stream_close(). */
void tunnel_stream_grow_by(struct stream *s, bool (*may_grow)(void *ctx, size_t window), void *ctx);

/* Resets the stream (RST_STREAM) and detaches its owner. */
void tunnel_stream_abandon(struct tunnel_stream *s);

/* Schedules the delivery of the stream's pending events to its owner, from the loop. */
void tunnel_stream_note(struct tunnel_stream *s);

/* Handlers of h2 events, the same at both ends. */
void end_on_data(struct h2 *h, int32_t id, struct str bytes);
void end_on_last(struct h2 *h, int32_t id);
void end_put_data(struct h2 *h, int32_t id, char *out, size_t len);
void end_on_turn(struct h2 *h); /* delivers pending events */
struct instant end_on_time(struct h2 *h, struct instant now);

/* The tunnel is lost: every stream breaks, and their owners and that of the tunnel are notified. Frees a tunnel that is closed. */
void end_on_end(struct h2 *h);

/* The same for both ends: tunnel_close() and tunnel_server_close(), tunnel_drain() and tunnel_server_drain(). */
void end_close(struct tunnel_end *e);
void end_drain(struct tunnel_end *e);

/* Conversion between the error code of a refusal and its HTTP status (unknown ones: 502, UNKNOWN). */
unsigned tunnel_status_of(enum error_code code);
enum error_code tunnel_code_of(int64_t status);

/* HTTP/2 limits for authenticated peers: fast streams need many flow-control frames. */
struct h2_options tunnel_h2_options(bool is_server);

#endif
