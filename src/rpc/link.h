/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Link: typed requests between two processes of a host over a socketpair. A frame is u32 length, u32 id, u16 verb or
 * status, protobuf message. The signer reads this simple format without an event loop.
 *
 * The client is asynchronous and may have many pending requests; answers may arrive in any order.
 */
#ifndef RPC_LINK_H
#define RPC_LINK_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"

struct loop;

enum { LINK_MESSAGE_MAX = 128 * KiB };

/* ---- client, on a loop -------------------------------------------------------------------------- */
struct link;
/*
 * fd is owned. `lost` is called once, from the loop, when the other process has ended; pending requests fail with
 * UNAVAILABLE first.
 */
struct link *link_new(struct loop *l, int fd, void (*lost)(void *ctx), void *ctx) MUST_USE;
void link_close(struct link *k);
/* Sends a request. done is called exactly once, from the loop; the answer is borrowed until it returns, the error is owned. */
void link_request(struct link *k, uint16_t verb, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *answer_type, struct duration within,
              void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx);

/* ---- server, blocking (signer) ------------------------------------------------------------------- */
struct link_request {
        uint32_t id;
        uint16_t verb;
        struct str body; /* borrowed until the next call */
};
struct link_server; /* plain buffers over a descriptor */
struct link_server *link_server_new(int fd) MUST_USE; /* fd is owned */
void link_server_free(struct link_server *s);
/* Waits for a request; NOT_FOUND with *ret_end true when the client has closed the link. */
struct error *link_server_next(struct link_server *s, struct link_request *ret, bool *ret_end) MUST_USE;
/* Writes pending answers; link_server_next() does so before it waits. */
struct error *link_server_flush(struct link_server *s) MUST_USE;
/* Whether a complete request was received, so that link_server_next() would not wait. False for an end or an error. */
bool link_server_has_next(struct link_server *s) MUST_USE;
struct error *link_server_answer(struct link_server *s, uint32_t id, const ProtobufCMessage *answer) MUST_USE;
/* Sends code, message and hint of err; err is borrowed. */
struct error *link_server_refuse(struct link_server *s, uint32_t id, const struct error *err) MUST_USE;

/* ---- server, on a loop (sts) ---------------------------------------------------------------------- */
struct link_service;
/*
 * `asked` gets each request (body borrowed until it returns); answers are sent later, by id. ended: the peer has closed
 * the link.
 */
struct link_service *link_service_new(struct loop *l, int fd,
                                      void (*requested)(void *ctx, uint32_t id, uint16_t verb, struct str body),
                                      void (*ended)(void *ctx), void *ctx) MUST_USE;
void link_service_answer(struct link_service *s, uint32_t id, const ProtobufCMessage *answer);
void link_service_refuse(struct link_service *s, uint32_t id, struct error *err); /* err owned */
void link_service_free(struct link_service *s);

#endif
