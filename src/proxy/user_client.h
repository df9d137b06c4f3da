/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of the proxy to the Auth Service as a user: gRPC over TLS with a key and certificate of that user, such as those
 * of a web session. The Auth Service sees the user and decides each call; that it comes through a proxy gives it no rights.
 *
 *     IDLE ── request ──▶ CONNECTING (ticket, TCP, TLS) ──▶ OPEN ── lost, or idle for TIMEOUT_WEB_CLIENT_IDLE ──▶ IDLE
 */
#ifndef PROXY_USER_CLIENT_H
#define PROXY_USER_CLIENT_H

#include "base/error.h"
#include "base/str.h"
#include "rpc/rpc.h"

struct proxy;

/* key_pem and cert_der are copied. on_freed(ctx) is called when the last of it is gone, after user_client_free(). */
struct user_client;
struct user_client *user_client_new(struct proxy *p, struct str key_pem, struct str cert_der, void (*on_freed)(void *ctx), void *ctx) MUST_USE;
/* Closes the connection and wipes the key. Requests that wait end with CANCELLED, from the loop. NULL is silent. */
void user_client_free(struct user_client *c);

/*
 * Requests the connected client. done is called exactly once, from the loop: with a client that is valid in this turn of the
 * loop, or with an error (owned). client_addr is the user's address with port, which auth notes for a new connection; copied.
 */
void user_client_request(struct user_client *c, const char *client_addr, void (*done)(void *ctx, struct rpc_client *client, struct error *err),
                         void *ctx);

#endif
