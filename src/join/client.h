/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of joining a cluster: one conversation over a gRPC connection that ends with a
 * verified identity or with a reason. Steps are numbered in docs/protocols/join.md.
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

/* Why the server at the other end of the connection is believed to be the cluster. */
enum join_trust {
        JOIN_TRUST_NONE,      /* it is not: the conversation is refused, nothing is signed */
        JOIN_TRUST_VERIFIED,  /* a CA pin, ca.cert, the system's roots, or an identity this host already has */
        JOIN_TRUST_FIRST_USE, /* the operator configured neither; the caller has warned */
        JOIN_TRUST_INSECURE,  /* the operator said --insecure */
};

struct join_client_options {
        enum join_trust trust;
        struct ca_pins pins;           /* configured ones: the answer names no other CA */
        bool is_auth;                  /* the server has proven to be an Auth Service, by a pinned CA */
        struct str channel_binding;    /* of the connection (RFC 9266); empty: it has none */
        const char *token_name;        /* may be a secret */
        const char *method;            /* the name of a join method; the server must agree. NULL: the token's */
        void *helper;                  /* client of the method's helper (join/method.h), used up by the join; NULL: there is none */
        const char *host_name;
        const char *const *principals; /* NULL-terminated or NULL: further names and addresses of this host */
        const char *const *dns_names;  /* the same */
        /*
         * The older service only, which gives one role at a time and lets the host pick its ID. NULL
         * role: "Instance", by the newer service if there is one. NULL host_id: a new one.
         */
        const char *legacy_role;
        const char *legacy_host_id;
        /*
         * The newer service, where auth picks the ID by the keys: those of the try before, if there are any; those of this one
         * when it fails. By the same keys it is the same host. NULL: none are kept.
         */
        struct host_keys *kept_keys;
};

struct join_outcome {
        struct host_identity identity;
        struct duration clock_skew; /* how far the cluster's clock is ahead of ours, by the certificate */
        bool was_legacy;
        const struct join_method *method;
        void *evidence;             /* of the proof, for the log: the method's */
};
/* Logs by what this host has proven its identity. */
void join_outcome_log(const struct join_outcome *o);
void join_outcome_release(struct join_outcome *o);

/*
 * Joins over `client` (borrowed until done has run). Options are borrowed until done has run, too.
 * done comes exactly once, from the loop: with an outcome (to keep parts of it, copy and zero them), or
 * with an error (owned): the server's refusal as it words it, or the fault that this host has found. That this host cannot prove
 * its identity is FAILED_PRECONDITION, whatever the reason: its code says nothing of the token or the connection.
 */
struct join_client;
struct join_client *join_client_start(struct loop *l, struct rpc_client *client,
                                      const struct join_client_options *options,
                                      void (*done)(void *ctx, struct join_outcome *o, struct error *err),
                                      void *ctx) MUST_USE;

/* done comes with CANCELLED unless it already has. */
void join_client_cancel(struct join_client *j);

/* The certificates of an answer, borrowed from it; INVALID_ARGUMENT when there are none (c may be NULL). */
struct error *host_certificates_of(struct host_certificates *ret, const Teleport__Join__V1__Certificates *c) MUST_USE;

#endif
