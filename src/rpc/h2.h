/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/2 connection over a stream, for gRPC servers and clients, both ends of a reverse tunnel, and browsers. It passes bytes
 * to and from nghttp2, writes the output of one turn of the loop at once, adds limits that nghttp2 lacks, sends
 * keepalives, and has one timer. Private to rpc, tunnel and proxy/apps.
 *
 *     stream ──on_read──▶ nghttp2_session_mem_recv ──▶ h2_events ──▶ server.c, client.c, tunnel
 *            ◀──write──── nghttp2_session_mem_send ◀── nghttp2_submit_…, then h2_wants()
 *
 * States: open; over, once h2_end() was called, when no event but on_end comes any more; ended, when
 * on_end has come (in a turn of its own), after which the owner releases the h2 when it likes.
 */
#ifndef RPC_H2_H
#define RPC_H2_H

#include <nghttp2/nghttp2.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/stream.h"
#include "rpc/h2_memory.h"

struct loop;
struct timer;
struct h2;

/* The owner's pointer identifies a stream; it is set with nghttp2_session_set_stream_user_data. */
struct h2_events {
        void (*on_begin)(struct h2 *h, int32_t stream); /* server: a request's headers begin */
        void (*on_header)(struct h2 *h, int32_t stream, struct str name, struct str value);
        void (*on_headers)(struct h2 *h, int32_t stream);                 /* a header block is complete; clients: may be NULL */
        void (*on_data)(struct h2 *h, int32_t stream, struct str bytes);
        void (*on_last)(struct h2 *h, int32_t stream);                    /* the peer has ended its direction of the stream */
        void (*on_sent_last)(struct h2 *h, int32_t stream);               /* server: our last frame for it, with headers, was sent */
        void (*on_sent_data_end)(struct h2 *h, int32_t stream);           /* server: the same, if that was a frame of data; may be NULL */
        void (*on_stream_end)(struct h2 *h, int32_t stream, uint32_t error_code);
        void (*on_not_begun)(struct h2 *h, int32_t stream);               /* client: a request that will never be sent */
        void (*on_turn)(struct h2 *h);                                    /* the turn after h2_request_turn(); may be NULL */
        void (*on_received)(struct h2 *h);                                /* nghttp2 has processed a read; may be NULL */
        void (*on_goaway)(struct h2 *h);                                  /* the peer accepts no new streams; may be NULL */
        void (*on_settings)(struct h2 *h);                                /* the peer's settings were received; may be NULL */
        /* Writes the next len bytes of a data source with NGHTTP2_DATA_FLAG_NO_COPY; NULL: there are none. */
        void (*put_data)(struct h2 *h, int32_t stream, char *out, size_t len);
        /* Handles the owner's deadlines that have passed, and returns the next one or NEVER. */
        struct instant (*on_time)(struct h2 *h, struct instant now);
        /* The connection has ended; h->why is the reason. Called again in each turn that is requested afterwards. */
        void (*on_end)(struct h2 *h);
};

/* A rate limit with a burst (token bucket). per_second 0: no limit. */
struct h2_budget {
        int64_t per_second, burst;
        int64_t spent_ns; /* spent tokens that are not restored yet, in nanoseconds of the rate */
        struct instant at;
};

struct h2_options {
        bool is_server;
        uint32_t max_streams;        /* announced limit; 0: the peer may open none */
        struct h2_budget resets;     /* streams reset by either side, header blocks refused */
        struct h2_budget control_frames; /* frames that transfer no data (see h2.c) */
        struct duration idle;        /* close after this long without a stream; 0: never */
        bool is_brief;               /* short-lived connections: saves memory and frames, see h2_init() */
        bool is_kept_alive;          /* keepalives are sent also without open streams */
        /*
         * Flow-control window of each stream; the owner returns consumed bytes with nghttp2_session_consume_stream().
         * The connection has no common window. 0: nghttp2 manages the windows.
         */
        int32_t stream_window;
};

struct h2 {
        struct loop *loop;
        struct stream *stream;   /* NULL once ended */
        nghttp2_session *session;
        struct h2_memory memory; /* of the session */
        const struct h2_events *events;
        struct h2_options options;
        struct timer *timer;
        struct instant timer_due;
        struct instant received;      /* time of the last received bytes */
        struct instant pinged;     /* time of our unanswered ping; 0: none */
        struct instant idle_since; /* time when the last stream ended */
        size_t open;               /* number of open streams, counted by the owner */
        size_t queued;             /* bytes of messages that wait for the peer's window, counted by the owner */
        char *batch;               /* a buffer of the loop while output is gathered */
        size_t batch_len;
        struct error *why;         /* reason of the end, NULL when the owner requested it */
        bool is_busy;              /* inside nghttp2: submitted frames are sent afterwards */
        bool has_output;           /* the owner has submitted something while nghttp2 read */
        bool is_settings_due;      /* ours are not sent yet */
        bool is_turn_due;
        bool is_peer_done; /* the peer has ended the connection: a GOAWAY would not be read */
        bool is_over;
        bool is_ended;
};

#define NEVER ((struct instant){ INT64_MAX })

/*
 * Starts on s, owned from now on. The settings are sent in the next turn; a brief server sends them with the answer to
 * the client's first request or, if no request came with the client's settings, with the answer to these (RFC 9113
 * section 3.4). The session of a brief connection is allocated with malloc instead of separate pages.
 */
void h2_init(struct h2 *h, struct loop *l, struct stream *s, const struct h2_events *events, struct h2_options options);

/* To be called after on_end. */
void h2_release(struct h2 *h);

/* Sends submitted frames at the end of this turn or the next. */
void h2_wants(struct h2 *h);

/* Requests a separate turn: on_turn is called, or on_end when the connection has ended. */
void h2_request_turn(struct h2 *h);

/* Ends the connection; err (owned) is the reason, NULL for a normal end. Further calls are ignored. */
void h2_end(struct h2 *h, struct error *err);

/* GOAWAY: open streams may finish, then the connection ends. */
void h2_go_away(struct h2 *h);

/* The timer fires by then at the latest. */
void h2_wake_by(struct h2 *h, struct instant by);

/*
 * Counts open streams of the owner; keepalives are sent while there are some (or always), the idle timeout runs while
 * there are none.
 */
void h2_opened(struct h2 *h);
void h2_closed(struct h2 *h);

/* Counts a reset or refusal caused by the peer against its rate limit. */
void h2_spend_reset(struct h2 *h);

/* Whether more output may be queued: ends the connection when the peer left LIMIT_UNREAD_OUTPUT unread. */
bool h2_may_queue(struct h2 *h);

/* The owner's pointer for a stream, or NULL. */
void *h2_stream_owner(const struct h2 *h, int32_t stream);

/* A header; name and value are copied by nghttp2 unless they are literals. */
#define H2_HEADER(name, value) h2_header(STR(name), value, NGHTTP2_NV_FLAG_NO_COPY_NAME)
#define H2_CONST_HEADER(name, value)                                                               \
        h2_header(STR(name), STR(value), NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)
nghttp2_nv h2_header(struct str name, struct str value, uint8_t flags);

#endif
