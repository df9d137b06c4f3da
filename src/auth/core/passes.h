/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client addresses of the connections that a Proxy Service passes through to the Auth Service (PassService/Announce).
 * The proxy, known by its certificate, announces each one with the address of its client and receives a ticket, which
 * is valid once and for TIMEOUT_PASS. It opens a connection to the Auth Service and sends the ticket (net/pass.h)
 * before the client's bytes. So limits by source apply to the client's address, and only a proxy can state that
 * address.
 */
#ifndef AUTH_CORE_PASSES_H
#define AUTH_CORE_PASSES_H

#include "base/shares.h"
#include "net/pass.h"
#include "net/socket.h"
#include "rpc/rpc.h"

struct pass;
struct loop;

/* A zeroed struct with loop set is ready for use. The owner must not access other fields. */
struct passes {
        struct loop *loop;
        struct map by_ticket;
        struct pass *oldest, **newest;
        struct shares proxies; /* tickets by host ID, so that one proxy cannot use all */
};
void passes_release(struct passes *p);

/* Issues a ticket for a connection of `client` (an address with port) through the proxy. INVALID_ARGUMENT, RESOURCE_EXHAUSTED. */
struct error *passes_announce(struct passes *p, struct str proxy, struct str client, uint8_t ret_ticket[PASS_TICKET_SIZE]) MUST_USE;

/* Redeems a ticket, which becomes invalid, and returns the client's address; false: there is no such ticket. */
bool passes_redeem(struct passes *p, struct str ticket, char ret_client[ADDRESS_TEXT_MAX]) MUST_USE;

void pass_announce_open(struct rpc_call *call, const ProtobufCMessage *first);

#endif
