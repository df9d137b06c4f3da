/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt to join: the checks that both join services share. The steps stand in order in attempt.c; docs/protocols/join.md
 * numbers them.
 *
 *   await init ── attempt_init ──▶ find token ──▶ await params ── attempt_params ──▶ await proof ── attempt_proof ──▶ verify proof
 *        │                                            │                               ▲  each round of the method     │
 *        │                                            │ (method without proof)        └──────────────────────────────┤
 *        │                                            ▼                                                              │
 *        └──────────── any failure ──▶ done ◀── commit ◀── sign ◀── find records ◀──────────────────────────────────┘
 *
 * A certificate leaves only after one transaction that requires the token still to be as it was read,
 * writes the host's record and its name, and carries the audit record (J1).
 */
#ifndef AUTH_JOIN_ATTEMPT_H
#define AUTH_JOIN_ATTEMPT_H

#include "auth/core/auth.h"
#include "auth/core/caller.h"
#include "join.pb-c.h"
#include "join/method.h"

struct attempt;

struct attempt_result {
        struct str host_id;
        const Cteleport__Internal__V1__HostCerts *certs;
};

struct attempt_events {
        /* The token exists and may be used; method is the token's. */
        void (*on_token)(void *ctx, const struct join_method *method);
        /* The challenge of a round, to be sent (borrowed); attempt_proof() takes the answer. */
        void (*on_challenge)(void *ctx, Teleport__Join__V1__Challenge *challenge);
        /* Called exactly once unless released before: the result (borrowed) or an error (owned), both audited. */
        void (*on_done)(void *ctx, const struct attempt_result *result, struct error *err);
};

/*
 * Begins an attempt. caller: of the connection; client_version: as the client sent it, or "". Overload (too many
 * running joins) is reported through on_done, from the loop.
 */
struct attempt *attempt_new(const struct caller *caller, struct str client_version, const struct attempt_events *events,
                            void *ctx) MUST_USE;

/*
 * Releases an attempt whose connection has ended: no callback follows, and the abort is audited. Also frees the attempt
 * after on_done. NULL is ignored.
 */
void attempt_release(struct attempt *at);

/*
 * Sets the client's address and channel binding as sent by the Proxy Service that forwards the connection; only for
 * callers that are proxies. Without a channel_binding every proof that is bound to a connection is refused.
 */
void attempt_forwarded(struct attempt *at, struct str remote_addr, struct str client_version, struct str channel_binding);

/*
 * For the older join service, which sends the challenge first: begins the proof by this method before the token is
 * known. To be called before attempt_init().
 */
void attempt_offer(struct attempt *at, const struct join_method *method);

/* claimed_method may be empty; claimed_host_id is for the older service, else empty. */
void attempt_init(struct attempt *at, struct str token_name, struct str role, struct str claimed_method, struct str claimed_host_id);

struct attempt_params {
        struct str host_name;
        struct str tls_public_key;  /* as received: DER, or PEM with is_legacy_form */
        struct str ssh_public_key;  /* as received: wire form, or authorized_keys line */
        bool is_legacy_form;
        char *const *principals;
        size_t principal_count;
        char *const *dns_names;
        size_t dns_name_count;
        const char *method;         /* the method's name, from the type of the message */
};
void attempt_params(struct attempt *at, const struct attempt_params *params);

/* The method of the token; NULL until the token is known. */
const struct join_method *attempt_method(const struct attempt *at);

/* Whether the client has to answer a challenge; whether any message of the client is expected. */
bool attempt_awaits_proof(const struct attempt *at);
bool attempt_awaits_message(const struct attempt *at);

/* The answer to the challenge of a round. */
void attempt_proof(struct attempt *at, const Teleport__Join__V1__ChallengeSolution *solution);

/* Ends an attempt whose client has sent nothing: no events follow, and nothing is recorded. False if it has sent a message. */
bool attempt_withdraw(struct attempt *at);

/* Ends the attempt as the client has given up; reason is a static text, message is the client's. */
void attempt_give_up(struct attempt *at, const char *reason, struct str message);

/* Fails the attempt because of an unexpected message or an early end of the stream; what: a static text that names it. */
void attempt_unexpected(struct attempt *at, const char *what);

#endif
