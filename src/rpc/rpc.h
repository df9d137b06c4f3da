/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC over any stream: server and client connections on nghttp2, protobuf-c messages, and one arena of limited size
 * per call. (gRPC over HTTP/2: the PROTOCOL-HTTP2 document of the grpc project.)
 *
 * Every received message is checked on the wire level before protobuf-c decodes it: nesting, counts, lengths, UTF-8 and
 * NULs in strings, wrong wire types; unknown fields are dropped.
 */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/stream.h"
#include "rpc/wire.h"

struct budget_holder;
struct loop;

/* ---- server ------------------------------------------------------------------------------------ */

struct rpc_call; /* one call being answered */

/* The events of a call for its handler; they come from the loop. */
struct rpc_call_events {
        /*
         * A message was received; borrowed until the callback returns. (The request of a unary call is valid until the
         * call is finished.)
         */
        void (*on_message)(void *ctx, const ProtobufCMessage *msg);
        /* The client has ended its direction of the stream. */
        void (*on_half_close)(void *ctx);
        /* The peer reset the call, the connection ended or the deadline passed: the call is freed and must not be finished. */
        void (*on_gone)(void *ctx);
        /*
         * A message was received, before it is checked and decoded; borrowed until the callback returns. Returns true
         * if it was handled; on_message is then not called. For forwarded streams; may be NULL.
         */
        bool (*on_bytes)(void *ctx, struct str message);
};

struct rpc_method {
        const char *path; /* "/teleport.join.v1.JoinService/Join" */
        const ProtobufCMessageDescriptor *request;
        size_t request_max; /* bytes of one message */
        bool is_client_stream; /* more than one request message may come */
        /*
         * Begins the call: the handler allocates its own state and calls rpc_call_listen. For unary
         * methods `first` is the whole request, for streams it is NULL. A handler that has answered when open
         * returns need not listen.
         */
        void (*open)(struct rpc_call *call, const ProtobufCMessage *first);
        const void *row; /* for the guard of the table's owner */
};

/*
 * Deadlines: grpc-timeout, at most a day; a call of an unauthenticated peer lasts TIMEOUT_JOIN at most. Connections end
 * after TIMEOUT_IDLE_CONNECTION (TIMEOUT_IDLE_UNAUTHENTICATED) without a call, and when a keepalive ping during open
 * calls is not answered.
 */
struct rpc_server_options {
        const struct rpc_method *const *methods; /* NULL-terminated; outlives the connection */
        /*
         * Permission check, called for each call before its messages are read; an error refuses the call. NULL in tests
         * only.
         */
        struct error *(*guard)(void *caller, const struct rpc_method *method);
        void *caller; /* the owner's struct for the peer; rpc_call_caller() returns it */
        /* Called once, from the loop, when the connection and all its calls have ended: the rpc_server_conn is freed then. */
        void (*on_closed)(void *caller);
        const char *peer; /* address text, copied */
        bool is_open_to_unauthenticated; /* the tight limits of limits.h apply */
        /*
         * Budget for memory of the connection's calls beyond LIMIT_RPC_MEMORY_FREE: headers, incomplete messages,
         * unread answers. When it is spent, the connection is closed. Must stay valid until on_closed; NULL: only the
         * limits of each connection apply.
         */
        struct budget_holder *memory;
};

/* Serves gRPC on s (owned from now on). */
struct rpc_server_conn;
struct rpc_server_conn *rpc_serve(struct loop *l, struct stream *s, struct rpc_server_options options) MUST_USE;
/* Sends GOAWAY, then closes when the open calls are finished or after TIMEOUT_GRACEFUL_STOP. */
void rpc_server_drain(struct rpc_server_conn *c);
/* Closes the connection: on_gone for open calls and on_closed are called in a later turn of the loop. */
void rpc_server_close(struct rpc_server_conn *c);

void rpc_call_listen(struct rpc_call *call, const struct rpc_call_events *events, void *ctx);
void *rpc_call_caller(const struct rpc_call *call);
const struct rpc_method *rpc_call_method(const struct rpc_call *call);
const char *rpc_call_peer(const struct rpc_call *call);
/*
 * The handler's arena, LIMIT_RPC_ARENA at most (received messages have their own), for its state and for messages to
 * send; freed at on_gone or rpc_call_finish().
 */
struct arena *rpc_call_arena(struct rpc_call *call);
struct loop *rpc_call_loop(struct rpc_call *call);
/* Value of a request metadata entry ("version", "user-agent"), "" when absent. */
struct str rpc_call_metadata(const struct rpc_call *call, const char *lower_case_name);
/*
 * Sends a message. When the client has left LIMIT_UNREAD_OUTPUT unread the connection ends instead;
 * on_gone follows.
 */
void rpc_call_send(struct rpc_call *call, const ProtobufCMessage *msg);
/* The same with a message that is encoded already. */
void rpc_call_send_bytes(struct rpc_call *call, struct str message);
/* The number of bytes queued for the client. */
size_t rpc_call_pending(const struct rpc_call *call);
/*
 * Ends the call: OK if err is NULL, else the error's code, with message and hint as the status message ("what\nhint:
 * …"); causes are not sent. err is owned. To be called exactly once; frees the call.
 */
void rpc_call_finish(struct rpc_call *call, struct error *err);
/* For unary methods: sends the answer and finishes with OK. */
void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *msg);

/* ---- client ------------------------------------------------------------------------------------ */

struct rpc_client; /* one connection */

/*
 * Creates a gRPC client over s (owned). authority: for the :authority pseudo header. on_closed is called once, from the
 * loop, when the connection is lost or refused (err owned), after all calls failed with UNAVAILABLE, but not after
 * rpc_client_close(). The client must still be closed then, in on_closed or later; until then its calls fail with
 * UNAVAILABLE.
 */
struct rpc_client *rpc_client_new(struct loop *l, struct stream *s, const char *authority,
                                  void (*on_closed)(void *ctx, struct error *err), void *ctx) MUST_USE;
/*
 * Has the connection checked by PING also while no call is open, so that a loss of the network is noticed before the next
 * call. Otherwise it is checked during calls only.
 */
void rpc_client_keep_alive(struct rpc_client *c);
/* Closes and frees the client. Open calls end with CANCELLED, from the loop. NULL is ignored. */
void rpc_client_close(struct rpc_client *c);

struct rpc_client_events {
        void (*on_message)(void *ctx, const ProtobufCMessage *msg); /* borrowed until it returns */
        /* Called exactly once, err owned, NULL for OK; the call is freed. UNIMPLEMENTED: the server has no such method. */
        void (*on_done)(void *ctx, struct error *err);
        /* When set, it gets each message, neither checked nor decoded, and on_message is never called. */
        void (*on_bytes)(void *ctx, struct str message);
};

struct rpc_client_call;
struct rpc_client_call_options {
        const char *path;
        const ProtobufCMessageDescriptor *response;
        size_t response_max;      /* 0: LIMIT_RPC */
        struct duration within;   /* 0: no deadline */
        const char *client_version; /* metadata "version", NULL: ours */
};
struct rpc_client_call *rpc_client_call(struct rpc_client *c, struct rpc_client_call_options options,
                                        const struct rpc_client_events *events, void *ctx) MUST_USE;
void rpc_client_send(struct rpc_client_call *call, const ProtobufCMessage *msg);
void rpc_client_send_bytes(struct rpc_client_call *call, struct str message); /* encoded already */
void rpc_client_half_close(struct rpc_client_call *call);
void rpc_client_cancel(struct rpc_client_call *call); /* calls on_done with CANCELLED unless it was called */

/* Makes a unary call: done is called exactly once; the answer is borrowed until it returns, NULL on error. */
void rpc_client_unary(struct rpc_client *c, struct rpc_client_call_options options, const ProtobufCMessage *request,
                      void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx);

#endif
