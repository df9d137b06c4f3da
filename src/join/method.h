/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A join method: how a host proves that a token admits it, and how the Auth Service verifies the proof.
 *
 * A method is one file in src/join/methods/, which defines join_method_NAME, and one row in the table of names
 * (resource/join_method.h). The conversations on both sides, join/client.c and auth/join/attempt.c, know no method by name:
 *
 *   host                                       Auth Service
 *     put_params ───── its parameters ───────▶ params_of
 *                                              begin ────▶ challenge
 *     prove ◀───────── Challenge ─────────────────────────────┘ ▲
 *       └──▶ solve ─── ChallengeSolution ────▶ verify           │ next round
 *                                                └─▶ request (the method's process) ─▶ on_answer ──▶ proven, or refuse
 *
 * Each half may ask one other process: on the host a helper that the supervisor starts for one join, at the Auth Service a
 * sibling. Both go through callbacks, so that a method knows neither the supervisor nor the Auth Service. Nothing here blocks.
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

/* A part of an attested identity. Names are static, values borrowed. */
struct join_attribute {
        const char *name;  /* as the audit has it, below "attributes" */
        struct str value;
        bool is_recorded;  /* kept in the host's record: by it the host is known again, and its token's rules are matched again */
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
        bool is_binding_required; /* a proof that is not bound to its join is refused */
        bool is_clock_off;        /* by AWS's clock, and logged */
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
        uint8_t proof[JOIN_PROOF_SIZE]; /* SHA-256 of what the host has sent as its proof; says later whose join it was */
        int64_t clock_skew_seconds;     /* the host's clock minus ours; 0 when it is not known */
        int64_t process_ms;             /* that the method's process has taken */
        bool is_process_silent;         /* what the host has named gave the process no answer: counts against the host's source */
};

/*
 * The verification of one join. The owner (an attempt) fills it and keeps it until the join is over. begin() and verify() lead to
 * exactly one of ops->challenge, ops->proven and ops->refuse, at once or after ops->request. Nothing of it may be
 * touched after ops->proven or ops->refuse.
 */
struct join_verifier {
        const struct join_verifier_ops *ops;
        const struct join_method *method;
        struct loop *loop;
        struct arena *arena;            /* lives as long as the verifier */
        struct join_settings *settings;
        const char *source;             /* base/source.h of the host; set before verify() */
        struct str binding;             /* what a proof must be bound to (join/binding.h); set before verify() */
        void *state;                    /* the method's own; in the arena */
        struct join_findings found;
};

struct join_verifier_ops {
        /* Sends a challenge; the host's answer comes to verify(). At most method->rounds times. */
        void (*challenge)(struct join_verifier *v, Teleport__Join__V1__Challenge *challenge);
        /* The identity is attested: found is complete. */
        void (*proven)(struct join_verifier *v);
        /* check names what failed, for the audit (static); err is owned. */
        void (*refuse)(struct join_verifier *v, const char *check, struct error *err);
        /*
         * Asks method->server_process. on_answer comes from the loop at most once (not when the join ends before): the answer,
         * borrowed, or an error, owned.
         */
        void (*request)(struct join_verifier *v, uint16_t verb, const ProtobufCMessage *query,
                        const ProtobufCMessageDescriptor *answer_type, struct duration within,
                        void (*on_answer)(struct join_verifier *v, const ProtobufCMessage *answer, struct error *err));
};

void join_note_text(struct join_findings *f, const char *name, const char *text);
void join_note_number(struct join_findings *f, const char *name, int64_t number);

/* ---- the host's half ----------------------------------------------------------------------------------------------- */

/*
 * The client of a helper: a process of this host that the supervisor starts for one join (aws-sign). It may still be starting
 * when it is asked: connect() or fail() comes before or after, once.
 */
struct join_helper {
        const char *process;                              /* as the supervisor names it */
        void *(*client_new)(struct loop *l);
        void (*client_connect)(void *client, int fd);     /* fd is owned */
        void (*client_fail)(void *client, struct error *err); /* there will be none; err is owned */
        bool (*client_is_used)(const void *client);       /* it has been asked: another join needs another */
        void (*client_free)(void *client);                /* NULL is silent */
};

/* The proof of one join. The owner (a join client) fills it and keeps it until no prove() is under way. */
struct join_prover {
        const struct join_prover_ops *ops;
        void *helper;       /* client of method->helper; NULL: there is none */
        struct str binding; /* what the proof is bound to; set before prove() */
};

struct join_prover_ops {
        /*
         * Sends the solution. proof: the bytes of which both sides keep a digest. evidence: what this host's log says of the proof;
         * owned from now on, see release_evidence.
         */
        void (*solve)(struct join_prover *p, Teleport__Join__V1__ChallengeSolution *solution, struct str proof, void *evidence);
        /* There is no solution; err is owned. */
        void (*give_up)(struct join_prover *p, struct error *err);
};

/* ---- the row --------------------------------------------------------------------------------------------------------- */

enum { JOIN_PAYLOADS_MAX = 4 };

struct join_method {
        const char *name; /* as tokens and configuration files write it */

        /* -- tokens of the method -- */
        bool has_secret_name;       /* the token's name is the secret: it is shown masked, and the end of the token is not confirmed */
        const char *rule_example;   /* for hints: a line below allow:. NULL: the token has no allow rules */
        const char *token_example;  /* for hints: "for AWS, spec.join_method: …"; NULL: none */
        /* One of the rules, whose position counts from 1: checks it and brings it into canonical form, in place. */
        struct error *(*check_rule)(Cteleport__V1__TokenRule *rule, size_t position, struct arena *arena, struct token_warnings *warnings);

        /* -- messages -- */
        void (*put_params)(Teleport__Join__V1__JoinRequest *request, Teleport__Join__V1__ClientParams *params, struct arena *arena);
        /* NULL when the message is of another method. */
        const Teleport__Join__V1__ClientParams *(*params_of)(const Teleport__Join__V1__JoinRequest *request);
        int challenges[JOIN_PAYLOADS_MAX]; /* payload cases of Challenge and of ChallengeSolution; 0 ends the list */
        int solutions[JOIN_PAYLOADS_MAX];
        bool is_in_older_service;          /* proto.JoinService has it, too */

        /* -- the proof -- */
        unsigned rounds; /* challenges that a join has at most; 0: who has the token is admitted */

        const char *server_process; /* "sts": whom ops->request asks; NULL: none */
        const char *server_step;    /* "ask sts": what an attempt is at meanwhile, for logs and refusals */
        void (*begin)(struct join_verifier *v); /* leads to the first challenge; binding and source may not be known yet */
        void (*verify)(struct join_verifier *v, const Teleport__Join__V1__ChallengeSolution *solution);

        const struct join_helper *helper; /* NULL: none */
        /*
         * Begins to answer a challenge; leads to one of ops->solve and ops->give_up, from the loop. Or an error, and neither: the
         * challenge is none that is answered.
         */
        struct error *(*prove)(struct join_prover *p, const Teleport__Join__V1__Challenge *challenge);
        void (*cancel)(struct join_prover *p); /* ops->give_up comes with CANCELLED, unless ops->solve or ops->give_up has come */
        /* That there is no proof is a fault of this host, whatever the code of err (owned) is. */
        struct error *(*not_proven)(struct error *err);
        void (*log_evidence)(const void *evidence);
        void (*release_evidence)(void *evidence); /* NULL is silent */

        /* -- what follows from the proof -- */
        /* Position of the first rule that admits these attributes, from 0; -1: none does. NULL: there are no rules. */
        int (*find_rule)(const Cteleport__V1__TokenSpec *spec, const struct join_attributes *attributes);
        /* Whether one rule does; why (may be NULL) says in a sentence what decided. */
        bool (*explain_rule)(const Cteleport__V1__TokenRule *rule, const struct join_attributes *attributes, struct buf *why);
        /* The refusal when none does. */
        struct error *(*not_admitted)(const char *token_name, const struct join_attributes *attributes);
        /* Who may take the host's name after it: hosts of one binding may stand in for each other. */
        void (*put_binding)(struct str token_name, const struct join_attributes *attributes, struct buf *out);
        /* Whether a host with these attributes may have an ID that is no UUID. NULL: none may. */
        bool (*owns_host_id)(struct str host_id, const struct join_attributes *attributes);
};

/* NULL: this release has no such method. */
const struct join_method *join_method_find(struct str name);

/* The first method whose tokens have rules, or NULL: hints name it. */
const struct join_method *join_method_with_rules(void);

/* The method that a host's parameters are of, with the parameters; NULL: the message is none, or of a method that is not known. */
const struct join_method *join_method_of_params(const Teleport__Join__V1__JoinRequest *request,
                                                const Teleport__Join__V1__ClientParams **ret);

/* Whether the message of a round is one of the method's. */
bool join_method_has_challenge(const struct join_method *m, const Teleport__Join__V1__Challenge *challenge);
bool join_method_has_solution(const struct join_method *m, const Teleport__Join__V1__ChallengeSolution *solution);

#endif
