/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The join client of a host: one join over a gRPC connection, which ends with a verified identity or with an error.
 * Steps are numbered in docs/protocols/join.md.
 *
 *   START ─C1→ AWAIT_INIT ─S1, C2→ AWAIT_CHALLENGE ─S2→ AWAIT_PROOF ─C3→ AWAIT_RESULT ─S4→ AWAIT_END
 *                 │                (method without proof: straight to AWAIT_RESULT; next round: back to AWAIT_PROOF)
 *                 └ UNIMPLEMENTED: AWAIT_LEGACY_CHALLENGE → AWAIT_PROOF → AWAIT_LEGACY_CERTS
 */
#ifndef JOIN_CLIENT_H
#define JOIN_CLIENT_H

#include "join.pb-c.h"
#include "join/host_identity.h"
#include "rpc/rpc.h"

struct join_method;
struct loop;

/* How the server at the other end of the connection was verified. */
enum join_trust {
        JOIN_TRUST_NONE,      /* not verified: the join is refused and nothing is signed */
        JOIN_TRUST_VERIFIED,  /* a CA pin, ca.cert, the system's roots, or an identity this host already has */
        JOIN_TRUST_FIRST_USE, /* not verified, as no pin or CA is configured; the caller has logged a warning */
        JOIN_TRUST_INSECURE,  /* not verified, as the operator has set --insecure */
};

struct join_client_options {
        enum join_trust trust;
        struct ca_pins pins;           /* configured pins: the answer may contain no other CA */
        bool is_auth;                  /* the server was verified as an Auth Service with a pinned CA */
        struct str channel_binding;    /* of the connection (RFC 9266); empty: it has none */
        const char *token_name;        /* may be a secret */
        const char *method;            /* the name of the expected join method, which the token must have. NULL: any */
        void *helper;                  /* client of the method's helper (join/method.h), for one join only; NULL: none */
        const char *host_name;
        const char *const *principals; /* NULL-terminated or NULL: further names and addresses of this host */
        const char *const *dns_names;  /* the same */
        /*
         * For the older service only, which issues one role at a time and lets the host choose its ID. NULL role:
         * "Instance", with the newer service if available. NULL host_id: a new ID.
         */
        const char *legacy_role;
        const char *legacy_host_id;
        /*
         * For the newer service, where auth derives the ID from the keys: in: the keys of the previous attempt, if any;
         * out: the keys of this attempt when it fails. With the same keys the host gets the same ID. NULL: keys are not
         * kept.
         */
        struct host_keys *kept_keys;
};

struct join_outcome {
        struct host_identity identity;
        struct duration clock_skew; /* by how much the cluster's clock is ahead of this host's, from the certificate */
        bool was_legacy;
        const struct join_method *method;
        void *evidence;             /* the method's description of the proof, for the log */
};
/* Logs how this host has proven its identity. */
void join_outcome_log(const struct join_outcome *o);
void join_outcome_release(struct join_outcome *o);

/*
 * Joins over `client` (borrowed until done has run). Options are borrowed until done has run, too. done is called
 * exactly once, from the loop: with an outcome (to keep parts of it, copy and zero them), or with an error (owned): the
 * server's refusal, or an error found by this host. If this host cannot prove its identity, the code is
 * FAILED_PRECONDITION for every reason, so that it is not mistaken for an error of the token or the connection.
 */
struct join_client;
struct join_client *join_client_start(struct loop *l, struct rpc_client *client,
                                      const struct join_client_options *options,
                                      void (*done)(void *ctx, struct join_outcome *o, struct error *err),
                                      void *ctx) MUST_USE;

/* Calls done with CANCELLED unless it was called already. */
void join_client_cancel(struct join_client *j);

/* The certificates of an answer, borrowed from it; INVALID_ARGUMENT when there are none (c may be NULL). */
struct error *host_certificates_of(struct host_certificates *ret, const Teleport__Join__V1__Certificates *c) MUST_USE;

#endif
