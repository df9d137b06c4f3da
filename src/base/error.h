/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, as a sentence with a code and a cause.
 *
 * A fallible function returns `struct error *`: NULL is success, anything else is owned by the
 * caller and ends in error_free(), in a log line or further up.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/compiler.h"
#include "base/str.h"

/* The numbers are gRPC's status codes, so that mapping is a cast. */
enum error_code {
        ERROR_CANCELLED = 1,
        ERROR_UNKNOWN = 2,
        ERROR_INVALID_ARGUMENT = 3,
        ERROR_DEADLINE_EXCEEDED = 4,
        ERROR_NOT_FOUND = 5,
        ERROR_ALREADY_EXISTS = 6,
        ERROR_PERMISSION_DENIED = 7,
        ERROR_RESOURCE_EXHAUSTED = 8,
        ERROR_FAILED_PRECONDITION = 9,
        ERROR_ABORTED = 10,
        ERROR_OUT_OF_RANGE = 11,
        ERROR_UNIMPLEMENTED = 12,
        ERROR_INTERNAL = 13,
        ERROR_UNAVAILABLE = 14,
        ERROR_DATA_LOSS = 15,
        ERROR_UNAUTHENTICATED = 16,
};

/*
 * What an error is about, where a code is too coarse to act on. Set where it is known, kept by error_wrap and error_copy, sent
 * to peers beside the code (rpc/status.h). It is never guessed from a code or a sentence.
 */
enum error_reason {
        REASON_NONE,
        REASON_TOKEN,    /* the join token is not there or has ended */
        REASON_LOCK,     /* a lock is in force: who asked is known, and stays who they are */
        REASON_IDENTITY, /* the cluster does not know the identity of who asked any more */
        REASON_HOST_ID,  /* the host ID that was asked for is not given to who asked */
        REASON_ROLE,     /* what was asked for in one role is not given; the others are not concerned */
        REASON_REFUSED,  /* the cluster has decided about the request: asked in another way, it decides the same */
        /* What a peer cannot say: these have no name. */
        REASON_ANSWER,   /* this host refuses what the cluster answered, not the other way round */
        REASON_CONNECTION, /* the server could not be reached, was lost, was silent, or is no server of ours: it decided nothing */
        REASON_PIN,      /* the server is not by a CA that this host's pin names: there is no other way around that */
        REASON_OTHER_CA, /* the server's certificate is that of an Auth Service by a CA that is not known here: another cluster's, or a new one's */
        REASON_AWS,      /* this host's AWS credentials or the signature by them: nothing of the cluster or the way there */
        REASON_SIBLING,  /* another process of this service is gone, or not there yet; why is its own report to the supervisor */
        REASON_COUNT,
};

struct error {
        enum error_code code; /* what the caller can do: retry, fix the input, log in, give up */
        enum error_reason reason;
        char *what;           /* what happened and why: lower case, no full stop; for the peer that made the request */
        char *hint;           /* what to do about it, or NULL */
        char *field;          /* path of the input at fault, "spec.roles[2]", or NULL */
        struct error *cause;  /* owned; for our log and the audit, never for the peer */
        struct error *also;   /* owned; the next mistake of the same input (error_also), or NULL */
        size_t dropped;       /* of the first of a chain: mistakes that were counted and not kept */
        const char *file;
        int line;
};

/* Makes an error; printf-like. Foreign text in it must have passed escape_text() or a name check. */
#define error_new(code, ...) error_new_at(__FILE__, __LINE__, code, __VA_ARGS__)
struct error *error_new_at(const char *file, int line, enum error_code code, const char *format, ...)
        PRINTF_LIKE(4, 5) MUST_USE;

/*
 * As error_new, with ": <strerror(errnum)>" behind; the code follows errnum (ENOENT: NOT_FOUND …). A disk that is full (ENOSPC,
 * EDQUOT, EFBIG: RESOURCE_EXHAUSTED) or read-only (EROFS: FAILED_PRECONDITION) has its hint, which is not about rights.
 */
#define error_errno(errnum, ...) error_errno_at(__FILE__, __LINE__, errnum, __VA_ARGS__)
struct error *error_errno_at(const char *file, int line, int errnum, const char *format, ...)
        PRINTF_LIKE(4, 5) MUST_USE;

/* Puts a sentence in front: the result says "<format>: <what>", keeps the code, hint and cause. */
#define error_wrap(err, ...) error_wrap_at(err, __VA_ARGS__)
struct error *error_wrap_at(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3) MUST_USE;

/* Sets the hint and returns err. */
struct error *error_hint(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3) MUST_USE;

/*
 * Says which field of the input is at fault, lists counted from 1, and returns err, of a chain for each; what was named
 * already stays. NULL passes.
 */
struct error *error_about(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3) MUST_USE;

/* Hangs cause (owned from now on) below err and returns err. */
struct error *error_because(struct error *err, struct error *cause) MUST_USE;

/*
 * Collects the mistakes of one input, so that one run reports them all: appends more (owned from now on) to the chain of
 * first and returns the first of them. Either may be NULL. LIMIT_YAML_MISTAKES are kept, the others counted. Callers
 * that look at the first one only may ignore the others.
 */
struct error *error_also(struct error *first, struct error *more) MUST_USE;

/* One error for a chain of them: "SUBJECT has N mistakes:" and a line each, "  WHAT; HINT". NULL, or one that is alone, passes. */
struct error *error_join(struct error *first, const char *subject) MUST_USE;

/* Sets the reason and returns err; NULL passes. */
struct error *error_for(struct error *err, enum error_reason reason) MUST_USE;

/* Sets the reason of an error that has none and returns err; NULL passes. */
struct error *error_for_default(struct error *err, enum error_reason reason) MUST_USE;

/* Whether err or one of its causes has the reason. */
bool error_is_for(const struct error *err, enum error_reason reason);

/*
 * Whether the cluster has decided about the request (token, lock, identity, host-id, role, refused): set by the server that did.
 * A status without such a reason may be that of anything between here and there that speaks HTTP or gRPC.
 */
bool error_is_decision(const struct error *err);

/* "token", "lock" …, "" for REASON_NONE; and back: REASON_NONE for a word that is unknown. */
const char *error_reason_name(enum error_reason reason);
enum error_reason error_reason_of(struct str name);

/* A deep copy. */
struct error *error_copy(const struct error *err) MUST_USE;

void error_free(struct error *err);
DEFINE_AUTO_PTR(error);

/* "PERMISSION_DENIED" and so on; unknown numbers are "UNKNOWN". */
const char *error_code_name(enum error_code code);

/* Prints `ERROR: what`, the causes on lines of their own, then `hint:  …` to stderr, as our tools do. */
void error_print(const struct error *err);

/* Returns upward what expr reports. The one macro that hides a return. */
#define TRY(expr)                                                                                  \
        do {                                                                                       \
                struct error *try_error_ = (expr);                                                 \
                if (try_error_ != NULL)                                                            \
                        return try_error_;                                                         \
        } while (0)

#endif
