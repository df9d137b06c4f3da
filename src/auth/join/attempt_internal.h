/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a join attempt, shared by its conversation (attempt.c) and by what it writes down
 * (attempt_report.c); included by nobody else but their test.
 */
#ifndef AUTH_JOIN_ATTEMPT_INTERNAL_H
#define AUTH_JOIN_ATTEMPT_INTERNAL_H

#include "auth/join/attempt.h"
#include "auth/join/tokens.h"
#include "join/methods/iam_rules.h"
#include "join/binding.h"
#include "loop/conversation.h"
#include "net/socket.h"
#include "pki/cert.h"

enum { ATTEMPT_ARENA = 4 * LIMIT_RPC_JOIN, ATTEMPT_SYSTEM_ROLES = 16 };

struct attempt {
        struct auth *auth;
        const struct attempt_events *events;
        void *ctx;
        struct arena *arena;
        struct conversation at;
        struct timer *deadline;
        struct instant started;
        struct error *failure; /* on its way to on_done */
        bool is_waiting;       /* an answer is under way that will call back */
        bool is_released;      /* the owner is gone */
        bool is_expired;       /* the deadline passed while an answer was under way */
        const char *out_of_turn; /* what came at the wrong time while an answer was under way */
        bool is_counted;       /* at the front door (SOURCE_JOINS), and in auth->joins; then source is there */
        const struct source *source;
        struct attempt *next, **link;
        struct timer *penalty; /* holds back the refusal of a source that keeps failing */
        bool is_legacy;
        bool is_forwarded;
        bool has_bad_peer;     /* what the proxy said of its address is none */
        bool is_decided;       /* all that the host had to say is said and proven */

        /* Claimed by the caller, proven by nothing. */
        char peer[ADDRESS_TEXT_MAX];
        struct str client_version, token_name, role, claimed_method, claimed_host_id, host_name;
        struct str principals[2 * LIMIT_CERT_NAMES];
        size_t principal_count;
        struct str tls_public_key, ssh_public_key; /* checked, in our own encoding */

        /* Ours. */
        char request_id[20];
        char challenge[48];
        struct str channel_binding;             /* of the host's connection, as we or a proxy saw it */
        char proof_binding[JOIN_BINDING_SIZE + 1]; /* what a proof for this attempt is bound to */
        uint8_t join_proof[JOIN_PROOF_SIZE]; /* SHA-256 of the proof; only with an attested identity */
        char sts_host[STS_HOST_NAME_MAX];
        const char *sts_partition; /* of that host; static */
        struct token_found token;
        struct str host_id, binding;
        uint64_t host_revision, name_revision;
        struct cert_issue member_since; /* of the host that had the ID; zero: there is none */
        char *system_roles[ATTEMPT_SYSTEM_ROLES];
        size_t system_role_count;
        int rule;
        int commit_tries;
        const Cteleport__Internal__V1__HostCerts *certs;

        /* Attested by AWS, measured by us. */
        struct aws_identity identity;
        bool is_sts_silent; /* the STS host that was named gave no answer */
        bool has_skew, has_aws_skew;
        int64_t skew_seconds;     /* the host's clock minus ours */
        int64_t aws_skew_seconds; /* our clock minus AWS's */
        int64_t sts_ms;
};

/* ---- how many at once: attempt_places.c ---- */

/*
 * Takes a place among the joins under way. When all are taken, a few sources that begin joins and do not go on keep nobody out: of the
 * source that has most, the oldest for whose next message we wait is given to make_room(), which ends it, unless the newcomer's own has as
 * many. RESOURCE_EXHAUSTED: there is no place.
 */
struct error *attempt_enter(struct attempt *at, void (*make_room)(struct attempt *oldest)) MUST_USE;
void attempt_leave(struct attempt *at); /* silent when it has no place */

/* The token's name as it may be shown; the caller frees. Masked whenever it is or may be a secret. */
char *attempt_safe_token_name(const struct attempt *at) MUST_USE;

/*
 * Whether the identity that the `sts` process has answered with is one, of the partition that was asked: account and ARN
 * decide who joins, whatever has become of that process. PERMISSION_DENIED otherwise.
 */
struct error *attempt_check_identity(const struct attempt *at, const Cteleport__Internal__V1__StsAnswer *answer) MUST_USE;

/* STS's refusal in words that say what to do about it. */
struct error *attempt_explain_sts_refusal(struct attempt *at, const Cteleport__Internal__V1__StsAnswer *answer,
                                          const char *code, const char *message) MUST_USE;

/* Logs and audits a refusal; check names the failing check. */
void attempt_report_refusal(struct attempt *at, const char *check, const struct error *err);

/* Logs a success; its audit record went with the transaction. */
void attempt_report_success(struct attempt *at);

/* Adds what a success leaves behind: requirements, the host's record, its name, the audit record. */
void attempt_write_records(struct attempt *at, struct store_txn *t);

/* Copies the certificates into the attempt. */
struct error *attempt_keep_certs(struct attempt *at, const Cteleport__Internal__V1__HostCerts *certs) MUST_USE;

/*
 * The ID for a host of the newer service, which asks for none: of its identity, name and both keys, so that one that did not come through
 * with the certificates (its clock is off, the connection broke) and tries again with the same keys is the same host, and
 * leaves no other behind. Neither key is proven by a join, and each is public: with one of its own, another host is another.
 */
void attempt_put_id_of_key(const struct attempt *at, struct buf *out);

/* The host that an earlier try made, or NULL; for an ID that is another's (taken at the older service) also a fresh ID and no revision. */
const Cteleport__State__V1__Host *attempt_same_host(struct attempt *at, const Cteleport__State__V1__Host *host, uint64_t *revision) MUST_USE;

/* Adds a role once. */
void attempt_add_system_role(struct attempt *at, struct str role);

#endif
