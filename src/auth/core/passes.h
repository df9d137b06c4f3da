/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PassService/Announce: where the connections come from that a Proxy Service passes through. The proxy, known by its
 * certificate, announces each one with the address of its client and gets a ticket, good once and for TIMEOUT_PASS; it opens
 * a connection to auth and sends the ticket ahead (net/pass.h) of the client's bytes. So a connection counts where its
 * client is, and nobody but a proxy can say where that is.
 */
#ifndef AUTH_CORE_PASSES_H
#define AUTH_CORE_PASSES_H

#include "base/shares.h"
#include "net/pass.h"
#include "net/socket.h"
#include "rpc/rpc.h"

struct pass;
struct loop;

/* A zeroed struct with loop set is ready. The owner may touch nothing else. */
struct passes {
        struct loop *loop;
        struct map by_ticket;
        struct pass *oldest, **newest;
        struct shares proxies; /* by host ID: a proxy leaves room for others */
};
void passes_release(struct passes *p);

/* A ticket for a connection of `client` (an address with port) through the proxy. INVALID_ARGUMENT, RESOURCE_EXHAUSTED. */
struct error *passes_announce(struct passes *p, struct str proxy, struct str client, uint8_t ret_ticket[PASS_TICKET_SIZE]) MUST_USE;

/* The client's address of a ticket, which is worth nothing from now on; false: there is no such ticket. */
bool passes_redeem(struct passes *p, struct str ticket, char ret_client[ADDRESS_TEXT_MAX]) MUST_USE;

void pass_announce_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
