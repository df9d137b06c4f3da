/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of a join attempt, private to the files attempt*.c. attempt.c lists the steps in order.
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

enum attempt_step { AWAIT_INIT, FIND_TOKEN, AWAIT_PARAMS, AWAIT_PROOF, VERIFY_PROOF, FIND_RECORDS, SIGN, COMMIT, FAILING, DONE };

struct attempt {
        struct auth *auth;
        const struct attempt_events *events;
        void *ctx;
        struct arena *arena;
        struct conversation at;
        struct timer *deadline;
        struct instant started;
        struct error *failure; /* on its way to on_done */
        bool is_waiting;       /* a callback is pending */
        bool is_released;      /* the owner is gone */
        bool is_expired;       /* the deadline passed while a callback was pending */
        const char *out_of_turn; /* the unexpected message that was received while a callback was pending */
        struct admitted admitted; /* counted by its source (SOURCE_JOINS), in auth->joins */
        struct timer *penalty; /* delays the refusal of a source that fails repeatedly */
        bool is_legacy;
        bool is_forwarded;
        bool has_bad_peer;     /* the client address that the proxy sent is malformed */
        bool is_decided;       /* all parameters were received and the proof was verified */

        /* Claimed by the client, not verified. */
        char peer[ADDRESS_TEXT_MAX];
        struct str client_version, token_name, role, claimed_method, claimed_host_id, host_name;
        struct str principals[2 * LIMIT_CERT_NAMES];
        size_t principal_count;
        struct str tls_public_key, ssh_public_key; /* checked, in our own encoding */

        /* Set by the Auth Service. */
        char request_id[20];
        struct str channel_binding;             /* of the host's connection, as observed here or by a proxy */
        char proof_binding[JOIN_BINDING_SIZE + 1]; /* the value to which proofs of this attempt are bound */
        struct token_found token;
        const struct join_method *method; /* of the token; NULL until it is known */
        struct str host_id, binding;
        unsigned records_to_come; /* of the ID and of the name; on_find_record() counts them */
        struct error *host_failure, *name_failure; /* until both have come */
        uint64_t host_revision, name_revision;
        struct str host_id_of_name; /* of the host that has the name; "": no host has it */
        bool is_name_of_others;
        struct cert_issue member_since; /* when the earlier host with this ID joined; zero: there is none */
        char *system_roles[ATTEMPT_SYSTEM_ROLES];
        size_t system_role_count;
        int rule;
        int commit_tries;
        const Cteleport__Internal__V1__HostCerts *certs;

        /* Attributes attested by the method. */
        struct join_verifier verifier;
        unsigned rounds;                        /* challenges so far */
        char source_text[SOURCE_TEXT_MAX];
        void (*on_answer)(struct join_verifier *v, const ProtobufCMessage *answer, struct error *err);
};

/* ---- the whole: attempt.c ---- */

/* The name of the present step, for logs and refusals. */
const char *attempt_step_name(const struct attempt *at);

/* Ends the attempt with a refusal (err is owned); no callback may be pending. check (static) names the failed check. */
void attempt_fail(struct attempt *at, const char *check, struct error *err);

/* To be called first in every callback; false when the attempt ended meanwhile. */
bool attempt_resume(struct attempt *at);

/* Admits the attempt to the limited number of running joins; false: the attempt has failed. */
bool attempt_admit(struct attempt *at);

/* ---- up to the host's parameters: attempt_request.c ---- */

void attempt_find_token(struct attempt *at);
struct error *attempt_token_ended(const struct attempt *at) MUST_USE;

/* ---- the proof: attempt_proof.c ---- */

void attempt_proof_init(struct attempt *at);
/* Begins the first round of the proof once the host's parameters are checked, or decides when the method has no proof. */
void attempt_begin_proof(struct attempt *at);

/* ---- the decision and what follows: attempt_decision.c ---- */

void attempt_decide(struct attempt *at);
/* The host's claim to names and keys of the cluster's servers; before the host is known, by what it sends. */
struct server_claim attempt_claim(const struct attempt *at);

/* ---- how many at once: attempt_admission.c ---- */

/*
 * Counts the attempt for its source. When the total is reached, another attempt that waits for its host is ended
 * instead (net/admission.h). RESOURCE_EXHAUSTED: the maximum of the source or of the Auth Service is reached.
 */
struct error *attempt_enter(struct attempt *at) MUST_USE;
/* In attempt.c: refuses an attempt to make room for another one. */
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
 * Computes the ID of a host of the newer service, which sends no ID, from its identity, name and both keys. So a host
 * that did not receive its certificates (its clock is wrong, the connection broke) and tries again with the same keys
 * gets the same ID and leaves no second record. Both keys take part, because a join proves possession of neither and
 * both are public.
 */
void attempt_put_id_of_key(const struct attempt *at, struct buf *out);

/*
 * The record of the host from an earlier try, or NULL. When the ID belongs to another host (it was chosen with the
 * older service), also sets a new ID and no revision.
 */
const Cteleport__State__V1__Host *attempt_same_host(struct attempt *at, const Cteleport__State__V1__Host *host, uint64_t *revision) MUST_USE;

/* Adds a system role unless it is present. */
void attempt_add_system_role(struct attempt *at, struct str role);

#endif
