/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt to join: the checks that both join services share, in the order of docs/protocols/join.md.
 *
 *   want init ── attempt_begin ──▶ find token ──▶ want params ── attempt_params ──▶ want proof (iam)
 *        │                                                             │                 │ attempt_prove
 *        │                                                             │ (token)         ▼
 *        │                                                             │              ask sts
 *        │                                                             ▼                 │
 *        └──────────── any failure ──▶ done ◀── commit ◀── sign ◀── find host ◀──────────┘
 *
 * A certificate leaves only after one transaction that requires the token still to be as it was read,
 * writes the host's record and its name, and carries the audit record (J1).
 */
#ifndef AUTH_JOIN_ATTEMPT_H
#define AUTH_JOIN_ATTEMPT_H

#include "auth/core/auth.h"
#include "auth/core/caller.h"
#include "join.pb-c.h"

struct attempt;

struct attempt_result {
        struct str host_id;
        const Cteleport__Internal__V1__HostCerts *certs;
};

struct attempt_events {
        /* The token is there and fits; method is what it wants ("iam", "token"). */
        void (*on_token)(void *ctx, struct str method);
        /* Exactly once unless cancelled: the result (borrowed) or an error (owned), audited either way. */
        void (*on_done)(void *ctx, const struct attempt_result *result, struct error *err);
};

/*
 * caller: whose connection this is; client_version: what the client says it is, "" if it does not. Overload
 * (too many joins under way) is told through on_done, from the loop.
 */
struct attempt *attempt_new(const struct caller *caller, struct str client_version, const struct attempt_events *events,
                            void *ctx) MUST_USE;

/* The connection is gone: no event comes any more; the abort is audited. Also frees after on_done; NULL is silent. */
void attempt_release(struct attempt *at);

/*
 * What a Proxy Service said of the connection it forwards; only for callers that are one. channel_binding: empty if it
 * said none; then no proof that is bound to a connection fits.
 */
void attempt_forwarded(struct attempt *at, struct str remote_addr, struct str client_version, struct str channel_binding);

/* The challenge of this attempt: 32 random bytes in base64 without padding; the same at every call. */
struct str attempt_challenge(struct attempt *at);

/* claimed_method may be empty; claimed_host_id is for the legacy service, empty otherwise. */
void attempt_begin(struct attempt *at, struct str token_name, struct str role, struct str claimed_method,
                   struct str claimed_host_id);

struct attempt_params {
        struct str host_name;
        struct str tls_public_key;  /* as received: DER, or PEM with is_legacy_form */
        struct str ssh_public_key;  /* as received: wire form, or authorized_keys line */
        bool is_legacy_form;
        char *const *principals;
        size_t principal_count;
        char *const *dns_names;
        size_t dns_name_count;
        struct str method;          /* of the message that carried them: "iam" or "token" */
};
void attempt_params(struct attempt *at, const struct attempt_params *params);

/* Whether the attempt stands where the challenge must be answered; whether the client must say something yet. */
bool attempt_wants_proof(const struct attempt *at);
bool attempt_wants_anything(const struct attempt *at);

/* The signed request that answers the challenge. */
void attempt_prove(struct attempt *at, struct str sts_request);

/* The client gave up and says why. */
void attempt_give_up(struct attempt *at, const char *reason, struct str message);

/* A message that does not belong into this state, or an end of the stream too early. */
void attempt_out_of_turn(struct attempt *at, const char *what);

#endif
