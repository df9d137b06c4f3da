/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed requests between two processes of ours on a socketpair: u32 length, u32 id, u16 verb or
 * status, protobuf message. Small enough that the signer can read it without an event loop.
 *
 * The client side is asynchronous and may have many requests under way; answers may come in any order.
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
/* fd is owned. `lost` comes once from the loop when the other process is gone; open requests fail with UNAVAILABLE first. */
struct link *link_new(struct loop *l, int fd, void (*lost)(void *ctx), void *ctx) MUST_USE;
void link_close(struct link *k);
/* done exactly once from the loop; answer borrowed until it returns; error owned. */
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
/* Waits for a request; NOT_FOUND with *ret_end true at the orderly end. */
struct error *link_server_next(struct link_server *s, struct link_request *ret, bool *ret_end) MUST_USE;
/* Writes the answers that were given since the last time; link_server_next() does so before it waits. */
struct error *link_server_flush(struct link_server *s) MUST_USE;
/* Whether a whole request is there, so that link_server_next() would not wait. An end, or an error, is none. */
bool link_server_has_next(struct link_server *s) MUST_USE;
struct error *link_server_answer(struct link_server *s, uint32_t id, const ProtobufCMessage *answer) MUST_USE;
/* Sends code, what and hint; err stays the caller's. */
struct error *link_server_refuse(struct link_server *s, uint32_t id, const struct error *err) MUST_USE;

/* ---- server, on a loop (sts) ---------------------------------------------------------------------- */
struct link_service;
/* `asked` gets each request (body borrowed until it returns) and later answers by id. ended: peer is gone. */
struct link_service *link_service_new(struct loop *l, int fd,
                                      void (*requested)(void *ctx, uint32_t id, uint16_t verb, struct str body),
                                      void (*ended)(void *ctx), void *ctx) MUST_USE;
void link_service_answer(struct link_service *s, uint32_t id, const ProtobufCMessage *answer);
void link_service_refuse(struct link_service *s, uint32_t id, struct error *err); /* err owned */
void link_service_free(struct link_service *s);

#endif
