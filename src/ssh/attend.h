/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One SSH connection as the cluster watches it: the stream SessionService/Attend, which outlives the connection to
 * the Auth Service. What happens is told in order and kept until it is durable there; after a loss the next
 * stream begins with what had been accepted and repeats what was not acknowledged.
 */
#ifndef SSH_ATTEND_H
#define SSH_ATTEND_H

#include "api.pb-c.h"
#include "base/error.h"

struct ssh_service;

struct attend_events {
        /* The answer to attend_ask, in the order of asking; or a later, unasked word on a certificate. Borrowed. */
        void (*on_decision)(void *ctx, const Cteleport__V1__AttendDecision *decision);
        /* The order to end. Foreign text. */
        void (*on_terminate)(void *ctx, struct str reason);
        /*
         * The cluster knows nothing of this connection (any more), or there is more to tell than is kept: end it. err
         * is owned. At most once; nothing is told any more.
         */
        void (*on_refused)(void *ctx, struct error *err);
        /* After attend_finish: all is acknowledged. */
        void (*on_finished)(void *ctx);
};

struct attend;
struct attend *attend_new(struct ssh_service *s, struct str connection_id, struct str client_addr,
                          const struct attend_events *events, void *ctx) MUST_USE;
/* Whoever waits for an acknowledgement is told CANCELLED, now. NULL is silent. */
void attend_free(struct attend *a);

/* nonce: 32 bytes of who asks, for the Auth Service to sign with its answer. */
void attend_ask(struct attend *a, struct str certificate, struct str login, struct str nonce);

/* sshd has accepted it: told now, and first thing after a loss. */
void attend_accepted(struct attend *a, struct str certificate, struct str login);

/* As connection_tell. */
void attend_tell(struct attend *a, const Cteleport__V1__AttendUp *up, void (*acknowledged)(void *ctx, struct error *err),
                 void *ctx);

/* Nothing more will be told. */
void attend_finish(struct attend *a);

#endif
