/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A join method: how a host proves that a token admits it, and how the Auth Service verifies the proof.
 *
 * A method is one file in src/join/methods/, which defines join_method_NAME, and one row in the table of names
 * (resource/join_method.h). The code that runs a join on both sides, join/client.c and auth/join/attempt.c, contains no
 * name of a method:
 *
 *   host                                       Auth Service
 *     put_params ───── its parameters ───────▶ params_of
 *                                              begin ────▶ challenge
 *     prove ◀───────── Challenge ─────────────────────────────┘ ▲
 *       └──▶ solve ─── ChallengeSolution ────▶ verify           │ next round
 *                                                └─▶ request (the method's process) ─▶ on_answer ──▶ proven, or refuse
 *
 * Each side may use one other process: on the host a helper that the supervisor starts for one join, at the Auth
 * Service a sibling process. Both are reached through callbacks, so a method does not depend on the supervisor or the
 * Auth Service. No function blocks.
 */
#ifndef JOIN_METHOD_H
#define JOIN_METHOD_H

#include "aws/sts_hosts.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "join.pb-c.h"
#include "join/binding.h"
#include "resource.pb-c.h"

struct loop;
struct token_warnings;

/* ---- attributes ----------------------------------------------------------------------------------------------- */

enum { JOIN_ATTRIBUTES_MAX = 8, JOIN_NOTES_MAX = 8 };

/* A named part of an attested identity. Names are static, values borrowed. */
struct join_attribute {
        const char *name;  /* name in audit events, below "attributes" */
        struct str value;
        bool is_recorded;  /* stored in the host's record, to recognise the host and match the token's rules again */
};

struct join_attributes {
        struct join_attribute list[JOIN_ATTRIBUTES_MAX];
        size_t count;
};

void join_attributes_add(struct join_attributes *a, const char *name, struct str value, bool is_recorded);
/* The value of that name; empty when there is none. */
struct str join_attribute(const struct join_attributes *a, const char *name);
/* Whether the recorded attributes are the same, in the same order. */
bool join_attributes_equal(const struct join_attributes *a, const struct join_attributes *b);

/* ---- the Auth Service's half ------------------------------------------------------------------------------------- */

/* The configuration of the Auth Service that methods read, and their state between joins. */
struct join_settings {
        struct sts_host_options sts_hosts;
        bool is_binding_required; /* whether a proof that is not bound to its join is refused */
        bool is_clock_off;        /* whether this machine's clock differs from AWS's; it was logged */
};

/* A further field of the audit record of a join: a claim of the host as a text, or a measurement when text is NULL. */
struct join_note {
        const char *name; /* static */
        const char *text; /* lives as long as the verifier's arena */
        int64_t number;
};

/* What the verification has found so far; audited also when the join is refused. */
struct join_findings {
        struct join_attributes attributes;
        struct join_note notes[JOIN_NOTES_MAX];
        size_t note_count;
        bool has_proof;
        uint8_t proof[JOIN_PROOF_SIZE]; /* SHA-256 of the host's proof; later identifies the join */
        int64_t clock_skew_seconds;     /* the host's clock minus this machine's; 0 when unknown */
        int64_t process_ms;             /* time that the method's process has used */
        bool is_process_silent;         /* the server named by the host did not answer: counts against the host's source */
};

/*
 * The verification of one join. The owner (an attempt) fills it and keeps it until the join has ended. begin() and
 * verify() lead to exactly one of ops->challenge, ops->proven and ops->refuse, at once or after ops->request. It must
 * not be accessed after ops->proven or ops->refuse.
 */
struct join_verifier {
        const struct join_verifier_ops *ops;
        const struct join_method *method;
        struct loop *loop;
        struct arena *arena;            /* lives as long as the verifier */
        struct join_settings *settings;
        const char *source;             /* base/source.h of the host; set before verify() */
        struct str binding;             /* the binding that a proof must contain (join/binding.h); set before verify() */
        void *state;                    /* the method's own; in the arena */
        struct join_findings found;
};

struct join_verifier_ops {
        /* Sends a challenge; verify() gets the host's answer. At most method->rounds times. */
        void (*challenge)(struct join_verifier *v, Teleport__Join__V1__Challenge *challenge);
        /* The identity is attested: found is complete. */
        void (*proven)(struct join_verifier *v);
        /* check (static) names the failed check, for the audit; err is owned. */
        void (*refuse)(struct join_verifier *v, const char *check, struct error *err);
        /*
         * Sends a request to method->server_process. on_answer is called from the loop at most once (not when the join
         * ends before): with the answer, borrowed, or an error, owned.
         */
        void (*request)(struct join_verifier *v, uint16_t verb, const ProtobufCMessage *query,
                        const ProtobufCMessageDescriptor *answer_type, struct duration within,
                        void (*on_answer)(struct join_verifier *v, const ProtobufCMessage *answer, struct error *err));
};

void join_note_text(struct join_findings *f, const char *name, const char *text);
void join_note_number(struct join_findings *f, const char *name, int64_t number);

/* ---- the host's half ----------------------------------------------------------------------------------------------- */

/*
 * The client of a helper: a process of this host that the supervisor starts for one join (aws-sign). A request may be
 * made while it is still starting: connect() or fail() is called once, before or after.
 */
struct join_helper {
        const char *process;                              /* its name at the supervisor */
        void *(*client_new)(struct loop *l);
        void (*client_connect)(void *client, int fd);     /* fd is owned */
        void (*client_fail)(void *client, struct error *err); /* the process could not be started; err is owned */
        bool (*client_is_used)(const void *client);       /* whether it was used: each join needs its own */
        void (*client_free)(void *client);                /* NULL is silent */
};

/* The proof of one join. The owner (a join client) fills it and keeps it while a prove() is running. */
struct join_prover {
        const struct join_prover_ops *ops;
        void *helper;       /* client of method->helper; NULL: none */
        struct str binding; /* the binding of the proof; set before prove() */
};

struct join_prover_ops {
        /*
         * Sends the solution. proof: the bytes whose digest both sides store. evidence: the method's description of the
         * proof for this host's log; owned from now on, see release_evidence.
         */
        void (*solve)(struct join_prover *p, Teleport__Join__V1__ChallengeSolution *solution, struct str proof, void *evidence);
        /* There is no solution; err is owned. */
        void (*give_up)(struct join_prover *p, struct error *err);
};

/* ---- the row --------------------------------------------------------------------------------------------------------- */

enum { JOIN_PAYLOADS_MAX = 4 };

struct join_method {
        const char *name; /* name in tokens and configuration files */

        /* -- tokens of the method -- */
        bool has_secret_name;       /* the token's name is the secret: masked in output; errors do not reveal an expiry */
        const char *rule_example;   /* for hints: a line below allow:. NULL: the token has no allow rules */
        const char *token_example;  /* for hints: "for AWS, spec.join_method: …"; NULL: none */
        /* Checks one rule and converts it to canonical form, in place. position counts from 1. */
        struct error *(*check_rule)(Cteleport__V1__TokenRule *rule, size_t position, struct arena *arena, struct token_warnings *warnings);

        /* -- messages -- */
        void (*put_params)(Teleport__Join__V1__JoinRequest *request, Teleport__Join__V1__ClientParams *params, struct arena *arena);
        /* NULL when the message is of another method. */
        const Teleport__Join__V1__ClientParams *(*params_of)(const Teleport__Join__V1__JoinRequest *request);
        int challenges[JOIN_PAYLOADS_MAX]; /* payload cases of Challenge and of ChallengeSolution; 0 ends the list */
        int solutions[JOIN_PAYLOADS_MAX];
        bool is_in_older_service;          /* also available in proto.JoinService */

        /* -- the proof -- */
        unsigned rounds; /* maximum number of challenges of a join; 0: the token alone admits a host */

        const char *server_process; /* "sts": the process that ops->request uses; NULL: none */
        const char *server_step;    /* "query sts": name of this step, for logs and refusals */
        void (*begin)(struct join_verifier *v); /* leads to the first challenge; binding and source may not be known yet */
        void (*verify)(struct join_verifier *v, const Teleport__Join__V1__ChallengeSolution *solution);

        const struct join_helper *helper; /* NULL: none */
        /*
         * Begins to answer a challenge; leads to either ops->solve or ops->give_up, from the loop. Returns an error,
         * and calls neither, when the challenge is invalid.
         */
        struct error *(*prove)(struct join_prover *p, const Teleport__Join__V1__Challenge *challenge);
        void (*cancel)(struct join_prover *p); /* calls ops->give_up with CANCELLED unless ops->solve or it was called */
        /* Converts err (owned), the reason why this host could not prove its identity, to the error of the join. */
        struct error *(*not_proven)(struct error *err);
        void (*log_evidence)(const void *evidence);
        void (*release_evidence)(void *evidence); /* NULL is silent */

        /* -- what follows from the proof -- */
        /* Position of the first rule that admits these attributes, from 0; -1: no rule does. NULL: the method has no rules. */
        int (*find_rule)(const Cteleport__V1__TokenSpec *spec, const struct join_attributes *attributes);
        /* Whether one rule admits the attributes; why (may be NULL) gets the reason as a sentence. */
        bool (*explain_rule)(const Cteleport__V1__TokenRule *rule, const struct join_attributes *attributes, struct buf *why);
        /* The error when no rule admits the attributes. */
        struct error *(*not_admitted)(const char *token_name, const struct join_attributes *attributes);
        /* Writes the binding of the host's name: hosts with the same binding may take over each other's names. */
        void (*put_binding)(struct str token_name, const struct join_attributes *attributes, struct buf *out);
        /* Whether a host with these attributes may have an ID that is not a UUID. NULL: never. */
        bool (*owns_host_id)(struct str host_id, const struct join_attributes *attributes);
};

/* NULL: this release has no such method. */
const struct join_method *join_method_find(struct str name);

/* The first method whose tokens have rules, or NULL; for hints. */
const struct join_method *join_method_with_rules(void);

/* The method of a host's parameters, with the parameters; NULL: the message has none, or its method is unknown. */
const struct join_method *join_method_of_params(const Teleport__Join__V1__JoinRequest *request,
                                                const Teleport__Join__V1__ClientParams **ret);

/* Whether the message of a round belongs to the method. */
bool join_method_has_challenge(const struct join_method *m, const Teleport__Join__V1__Challenge *challenge);
bool join_method_has_solution(const struct join_method *m, const Teleport__Join__V1__ChallengeSolution *solution);

#endif
