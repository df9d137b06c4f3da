/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of a join attempt, for the files attempt*.c. The steps stand in order in attempt.c.
 */
#ifndef AUTH_JOIN_ATTEMPT_INTERNAL_H
#define AUTH_JOIN_ATTEMPT_INTERNAL_H

#include "auth/hosts/servers.h"
#include "auth/join/attempt.h"
#include "auth/join/tokens.h"
#include "base/source.h"
#include "join/binding.h"
#include "join/method.h"
#include "loop/conversation.h"
#include "net/admission.h"
#include "net/socket.h"
#include "pki/cert.h"

enum { ATTEMPT_ARENA = 4 * LIMIT_RPC_JOIN, ATTEMPT_SYSTEM_ROLES = 16 };

enum attempt_step { WANT_INIT, FIND_TOKEN, WANT_PARAMS, WANT_PROOF, VERIFY_PROOF, FIND_HOST, FIND_NAME, SIGN, COMMIT, FAILING, DONE };

struct attempt {
        struct auth *auth;
        const struct attempt_events *events;
        void *ctx;
        struct arena *arena;
        struct conversation at;
        struct timer *deadline;
        struct instant started;
        struct error *failure; /* on its way to on_done */
        bool is_waiting;       /* a callback is to come */
        bool is_released;      /* the owner is gone */
        bool is_expired;       /* the deadline passed while a callback was to come */
        const char *out_of_turn; /* a message that came at the wrong time then */
        struct admitted admitted; /* counted by its source (SOURCE_JOINS), in auth->joins */
        struct timer *penalty; /* holds back the refusal of a source that keeps failing */
        bool is_legacy;
        bool is_forwarded;
        bool has_bad_peer;     /* the address that the proxy sent of it is none */
        bool is_decided;       /* the host has sent and proven everything */

        /* Claimed by the caller, proven by nothing. */
        char peer[ADDRESS_TEXT_MAX];
        struct str client_version, token_name, role, claimed_method, claimed_host_id, host_name;
        struct str principals[2 * LIMIT_CERT_NAMES];
        size_t principal_count;
        struct str tls_public_key, ssh_public_key; /* checked, in our own encoding */

        /* Ours. */
        char request_id[20];
        struct str channel_binding;             /* of the host's connection, as we or a proxy saw it */
        char proof_binding[JOIN_BINDING_SIZE + 1]; /* what a proof for this attempt is bound to */
        struct token_found token;
        const struct join_method *method; /* of the token; NULL until it is known */
        struct str host_id, binding;
        uint64_t host_revision, name_revision;
        struct cert_issue member_since; /* of the host that had the ID; zero: there is none */
        char *system_roles[ATTEMPT_SYSTEM_ROLES];
        size_t system_role_count;
        int rule;
        int commit_tries;
        const Cteleport__Internal__V1__HostCerts *certs;

        /* Attested by the method. */
        struct join_verifier verifier;
        unsigned rounds;                        /* challenges so far */
        char source_text[SOURCE_TEXT_MAX];
        void (*on_answer)(struct join_verifier *v, const ProtobufCMessage *answer, struct error *err);
};

/* ---- the whole: attempt.c ---- */

/* The name of the present step, for logs and refusals. */
const char *attempt_step_name(const struct attempt *at);

/* Ends the attempt with a refusal (err is owned); no callback may be to come. check names what failed (static). */
void attempt_fail(struct attempt *at, const char *check, struct error *err);

/* Begins every callback: false when the attempt ended meanwhile. */
bool attempt_resume(struct attempt *at);

/* Whether there was a place among the joins under way; else the attempt has failed. */
bool attempt_take_place(struct attempt *at);

/* ---- up to the host's parameters: attempt_request.c ---- */

void attempt_find_token(struct attempt *at);
struct error *attempt_token_ended(const struct attempt *at) MUST_USE;

/* ---- the proof: attempt_proof.c ---- */

void attempt_proof_init(struct attempt *at);
/* The host's parameters are checked: the first round, or the decision when the method has none. */
void attempt_begin_proof(struct attempt *at);

/* ---- the decision and what follows: attempt_decision.c ---- */

void attempt_decide(struct attempt *at);
/* The host's claim to names and keys of the cluster's servers; before the host is known, by what it sends. */
struct server_claim attempt_claim(const struct attempt *at);

/* ---- how many at once: attempt_places.c ---- */

/*
 * Counts the attempt for its source. When the total is reached, another one whose host owes a message is ended for it
 * (net/admission.h). RESOURCE_EXHAUSTED: the source, or the Auth Service, has as many as it may have.
 */
struct error *attempt_enter(struct attempt *at) MUST_USE;
/* In attempt.c: refuses an attempt that is ended for another one. */
void attempt_end_for_another(struct attempt *at);

/* ---- records: attempt_report.c ---- */

/* The token's name as it may be shown; the caller frees. Masked whenever it is or may be a secret. */
char *attempt_safe_token_name(const struct attempt *at) MUST_USE;

/* Logs and audits a refusal; check names the failing check. */
void attempt_report_refusal(struct attempt *at, const char *check, const struct error *err);

/* Logs a success; its audit record was part of the transaction. */
void attempt_report_success(struct attempt *at);

/* Adds the records of a success: requirements, the host's record, its name, the audit record. */
void attempt_write_records(struct attempt *at, struct store_txn *t);

/* Copies the certificates into the attempt. */
struct error *attempt_keep_certs(struct attempt *at, const Cteleport__Internal__V1__HostCerts *certs) MUST_USE;

/*
 * The ID for a host of the newer service, which sends none: of its identity, name and both keys. So a host that did not get as far as
 * its certificates (its clock is off, the connection broke) and tries again with the same keys is the same host, and leaves no
 * other record behind. A join proves neither key, and each is public: a host with another key of its own is another host.
 */
void attempt_put_id_of_key(const struct attempt *at, struct buf *out);

/* The host of an earlier try, or NULL; when the ID is another host's (chosen at the older service) also a new ID and no revision. */
const Cteleport__State__V1__Host *attempt_same_host(struct attempt *at, const Cteleport__State__V1__Host *host, uint64_t *revision) MUST_USE;

/* Adds a role once. */
void attempt_add_system_role(struct attempt *at, struct str role);

#endif
