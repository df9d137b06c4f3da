/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: a sentence with a code, an optional hint and a cause.
 *
 * A fallible function returns `struct error *`: NULL is success; an error is owned by the caller, which frees it with
 * error_free(), logs it or returns it to its own caller.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/compiler.h"
#include "base/str.h"

/* The numbers are gRPC's status codes, so no mapping is needed. */
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
 * Reason of an error, for callers to which the code is not specific enough. It is set by the code that detects the
 * error, kept by error_wrap() and error_copy(), and sent to peers beside the code (rpc/status.h). It is never derived
 * from a code or a sentence.
 */
enum error_reason {
        REASON_NONE,
        REASON_TOKEN,    /* the join token does not exist or has expired */
        REASON_LOCK,     /* a lock is in force: the client's identity stays valid */
        REASON_IDENTITY, /* the cluster no longer knows the client's identity */
        REASON_HOST_ID,  /* the client may not have the requested host ID */
        REASON_ROLE,     /* the request is refused for one role; other roles are not affected */
        REASON_REFUSED,  /* the cluster has refused the request: other routes to it would give the same result */
        REASON_NO_AUTH,  /* a proxy has no connection to the Auth Service: nothing was decided */
        /* Reasons that are only set locally and never sent; these have no name. */
        REASON_ANSWER,   /* this host refuses the cluster's answer */
        REASON_CONNECTION, /* the server was not reached, was lost, did not answer or is no cluster's: nothing was decided */
        REASON_PIN,      /* the server's CA does not match this host's pin; no other route may be tried */
        REASON_OTHER_CA, /* the server's certificate is of an Auth Service with an unknown CA: of another or a new cluster */
        REASON_AWS,      /* this host's AWS credentials or signature failed; the cluster is not concerned */
        REASON_SIBLING,  /* another process of this host is not running (yet); it reports its own errors to the supervisor */
        REASON_GATEWAY,  /* a load balancer took the request and could not pass it on: the next one may reach another backend */
        REASON_COUNT,
};

struct error {
        enum error_code code; /* class of the error: whether the caller can retry, fix the input, log in */
        enum error_reason reason;
        char *what;           /* the message: the failure and its reason, lower case, no full stop; shown to the client */
        char *hint;           /* the remedy, or NULL */
        char *field;          /* path of the invalid field, "spec.roles[2]", or NULL */
        struct error *cause;  /* owned; for the log and the audit, never sent to a peer */
        struct error *also;   /* owned; the next error in the same input (error_also), or NULL */
        size_t dropped;       /* in the first of a chain: errors that were counted and not kept */
        const char *file;
        int line;
};

/* Makes an error; printf-like. Foreign text in it must have passed escape_text() or a name check. */
#define error_new(code, ...) error_new_at(__FILE__, __LINE__, code, __VA_ARGS__)
struct error *error_new_at(const char *file, int line, enum error_code code, const char *format, ...)
        PRINTF_LIKE(4, 5) MUST_USE;

/*
 * As error_new, with ": <strerror(errnum)>" appended; the code is derived from errnum (ENOENT: NOT_FOUND …). A disk
 * that is full (ENOSPC, EDQUOT, EFBIG: RESOURCE_EXHAUSTED) or read-only (EROFS: FAILED_PRECONDITION) gets its own hint.
 */
#define error_errno(errnum, ...) error_errno_at(__FILE__, __LINE__, errnum, __VA_ARGS__)
struct error *error_errno_at(const char *file, int line, int errnum, const char *format, ...)
        PRINTF_LIKE(4, 5) MUST_USE;

/* Prefixes the message: it becomes "<format>: <what>". Code, hint and cause are kept. */
#define error_wrap(err, ...) error_wrap_at(err, __VA_ARGS__)
struct error *error_wrap_at(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3) MUST_USE;

/* Sets the hint and returns err. */
struct error *error_hint(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3) MUST_USE;

/*
 * Sets the path of the invalid field in every error of a chain that has none, and returns err. Lists are counted from
 * 1. NULL gives NULL.
 */
struct error *error_about(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3) MUST_USE;

/* Sets cause (owned from now on) as the cause of err and returns err. */
struct error *error_because(struct error *err, struct error *cause) MUST_USE;

/*
 * Collects the errors in one input, so that all are reported at once: appends more (owned from now on) to the chain of
 * first and returns the first of them. Either may be NULL. LIMIT_YAML_MISTAKES are kept, the others counted. Callers
 * that look at the first one only may ignore the others.
 */
struct error *error_also(struct error *first, struct error *more) MUST_USE;

/*
 * Combines a chain into one error: "SUBJECT has N mistakes:" and one line each, " WHAT; HINT". NULL or a single error
 * is returned unchanged.
 */
struct error *error_join(struct error *first, const char *subject) MUST_USE;

/* Sets the reason and returns err; NULL gives NULL. */
struct error *error_for(struct error *err, enum error_reason reason) MUST_USE;

/* Sets the reason of an error that has none and returns err; NULL gives NULL. */
struct error *error_for_default(struct error *err, enum error_reason reason) MUST_USE;

/* Whether err or one of its causes has the reason. */
bool error_is_for(const struct error *err, enum error_reason reason);

/*
 * Whether the error is a decision of the cluster on the request (reasons token, lock, identity, host-id, role,
 * refused), which the deciding server has marked. A status without such a reason may come from any HTTP or gRPC server
 * in between.
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

/* Prints `ERROR: what`, the causes on separate lines, then `hint: …` to stderr. */
void error_print(const struct error *err);

/* Evaluates expr and returns its error, if any, from the calling function. The only macro with a hidden return. */
#define TRY(expr)                                                                                  \
        do {                                                                                       \
                struct error *try_error_ = (expr);                                                 \
                if (try_error_ != NULL)                                                            \
                        return try_error_;                                                         \
        } while (0)

#endif
