/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where callers come in: the TCP port with TLS, the administrators' Unix socket, the links to local
 * services; and how it is known who they are.
 */
#ifndef AUTH_CORE_FRONTDOOR_H
#define AUTH_CORE_FRONTDOOR_H

#include "auth/core/auth.h"

struct frontdoor;
struct passes;
struct sources;

/* Listens on the descriptors of the service ("listen", "auth.sock"); a->tls must be ready. */
struct frontdoor *frontdoor_open(struct auth *a) MUST_USE;

/* Serves a local service ("proxy", "instance", "ssh") on a connected socket (owned). */
void frontdoor_local(struct auth *a, const char *name, int fd);

/* What each stranger's address has under way here. */
struct sources *frontdoor_sources(struct frontdoor *d);

/* Connections that proxies have announced. */
struct passes *frontdoor_passes(struct frontdoor *d);

/* Takes nothing new, finishes what is open. drained comes once from the loop when the last caller is gone. */
void frontdoor_drain(struct frontdoor *d, void (*drained)(void *ctx), void *ctx);
void frontdoor_close(struct frontdoor *d);

#endif
