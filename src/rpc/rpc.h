/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC over any stream: server and client connections on nghttp2, messages as protobuf-c, one capped
 * arena per call. (gRPC over HTTP/2: the PROTOCOL-HTTP2 document of the grpc project.)
 *
 * Every received message passes a scan of the wire format before protobuf-c sees it: nesting, counts,
 * lengths, UTF-8 and NULs in strings, wrong wire types; unknown fields are dropped.
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
        /* A message; borrowed until it returns. (The one request of a unary call lives until the call is finished.) */
        void (*on_message)(void *ctx, const ProtobufCMessage *msg);
        /* The client will send no more. */
        void (*on_half_close)(void *ctx);
        /* The peer reset the call, the connection ended or the deadline passed: the call is gone, do not finish it. */
        void (*on_gone)(void *ctx);
        /*
         * A message before it is checked and decoded; borrowed until it returns. True: it was handled, and on_message is not called
         * for it. For streams that are forwarded; may be NULL.
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
 * after TIMEOUT_IDLE_CONNECTION (TIMEOUT_IDLE_UNAUTHENTICATED) without a call, and when a ping in the silence of
 * open calls is not answered.
 */
struct rpc_server_options {
        const struct rpc_method *const *methods; /* NULL-terminated; outlives the connection */
        /*
         * Called for each call before anything is read of it; an error refuses it. The place for the
         * permission check: default deny lives in the table's owner. May be NULL for tests only.
         */
        struct error *(*guard)(void *caller, const struct rpc_method *method);
        void *caller; /* the owner's record of the peer; rpc_call_caller() returns it */
        /* Once, from the loop, when the connection and all its calls are gone: the pointer is dead then. */
        void (*on_closed)(void *caller);
        const char *peer; /* address text, copied */
        bool is_open_to_unauthenticated; /* the tight limits of limits.h apply */
        /*
         * What the connection's calls keep in memory beyond LIMIT_RPC_MEMORY_FREE is taken from here: headers, unfinished messages,
         * answers that are not read. When nothing is left, the connection ends. Held by the owner until on_closed; NULL: no bound
         * but those of each connection.
         */
        struct budget_holder *memory;
};

/* Serves gRPC on s (owned from now on). */
struct rpc_server_conn;
struct rpc_server_conn *rpc_serve(struct loop *l, struct stream *s, struct rpc_server_options options) MUST_USE;
/* GOAWAY, then closes when the open calls are finished or after TIMEOUT_GRACEFUL_STOP. */
void rpc_server_drain(struct rpc_server_conn *c);
/* Ends now: on_gone for open calls and on_closed follow in a turn of the loop. */
void rpc_server_close(struct rpc_server_conn *c);

void rpc_call_listen(struct rpc_call *call, const struct rpc_call_events *events, void *ctx);
void *rpc_call_caller(const struct rpc_call *call);
const struct rpc_method *rpc_call_method(const struct rpc_call *call);
const char *rpc_call_peer(const struct rpc_call *call);
/*
 * The handler's own memory, LIMIT_RPC_ARENA at most (received messages have their own), for messages
 * to send and for its state; not to be touched after on_gone or rpc_call_finish.
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
/* Bytes queued to a client that reads slowly. */
size_t rpc_call_pending(const struct rpc_call *call);
/*
 * Ends the call: OK with err NULL, else the error's code, with what and hint as the status message
 * ("what\nhint: …"); causes stay here. err is owned. Exactly once; the call is dead afterwards.
 */
void rpc_call_finish(struct rpc_call *call, struct error *err);
/* For unary methods: send and finish OK. */
void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *msg);

/* ---- client ------------------------------------------------------------------------------------ */

struct rpc_client; /* one connection */

/*
 * Speaks gRPC as a client over s (owned). authority: for the :authority pseudo header. on_closed comes
 * once from the loop when the connection is lost or refused (err owned), after all calls failed with
 * UNAVAILABLE, and not after rpc_client_close. The client must still be closed then, in on_closed or
 * later; until it is, its calls fail with UNAVAILABLE.
 */
struct rpc_client *rpc_client_new(struct loop *l, struct stream *s, const char *authority,
                                  void (*on_closed)(void *ctx, struct error *err), void *ctx) MUST_USE;
/* The pointer is dead. Open calls are done with CANCELLED, from the loop. NULL is silent. */
void rpc_client_close(struct rpc_client *c);

struct rpc_client_events {
        void (*on_message)(void *ctx, const ProtobufCMessage *msg); /* borrowed until it returns */
        /* Exactly once, err owned, NULL for OK; the call is dead then. UNIMPLEMENTED: the server has no such method. */
        void (*on_done)(void *ctx, struct error *err);
        /* When set, each message comes here, neither checked nor decoded, and on_message is never called. */
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
void rpc_client_cancel(struct rpc_client_call *call); /* on_done comes with CANCELLED unless it has */

/* One request, one answer: done exactly once; answer borrowed until it returns, NULL on error. */
void rpc_client_unary(struct rpc_client *c, struct rpc_client_call_options options, const ProtobufCMessage *request,
                      void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx);

#endif
