/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of the answers of an ACME server (RFC 8555 sections 6.7 and 7.1, RFC 8737, RFC 7807).
 *
 * The server is verified by TLS, but its answers are bounded and checked like those of any peer: a document is one JSON
 * object of limited depth without duplicate members (net/strict_json.h); URLs are https and of limited length; texts
 * that are shown have passed escape_text(). Members without a meaning here are ignored, as section 7.1 demands.
 *
 * All readers return INVALID_ARGUMENT, with the name of the document and the member, for anything else. Strings are in the arena.
 */
#ifndef ACME_ANSWER_H
#define ACME_ANSWER_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

/* Whether a text is an https URL with a host, without user, fragment, blanks or control characters, of at most LIMIT_ACME_URL bytes. */
bool acme_is_url(struct str url);

/* The URLs of section 7.1.1. */
struct acme_directory {
        const char *new_nonce, *new_account, *new_order;
        bool needs_external_account; /* section 7.3.4 */
};
struct error *acme_read_directory(struct arena *a, struct str json, struct acme_directory *ret) MUST_USE;

/*
 * An account object (section 7.1.2): whether its contact is this URL and no other; "": whether it has none. Some CAs keep no
 * contacts; for them it never is.
 */
struct error *acme_read_account(struct str json, struct str contact, bool *ret_is_same) MUST_USE;

/* Of an order or authorization (section 7.1.6). Those that end in failure (deactivated, expired, revoked) are ACME_INVALID. */
enum acme_status { ACME_PENDING, ACME_READY, ACME_PROCESSING, ACME_VALID, ACME_INVALID };

/* An error that the server reports (section 6.7). Both are escaped; "" if absent. */
struct acme_problem {
        const char *type;   /* "rateLimited": without the prefix "urn:ietf:params:acme:error:" */
        const char *detail;
};

struct acme_order_document {
        enum acme_status status;
        const char *authorizations[LIMIT_CERT_NAMES];
        size_t authorization_count;
        const char *finalize;    /* NULL: absent */
        const char *certificate; /* NULL unless the order is valid */
        struct acme_problem problem; /* of an invalid order */
};
/* Without authorizations in an answer to finalize they may be absent; the caller that needs them checks the number. */
struct error *acme_read_order(struct arena *a, struct str json, struct acme_order_document *ret) MUST_USE;

struct acme_authorization {
        enum acme_status status;
        struct str name;      /* of identifier; "" if that is no DNS name */
        const char *url;      /* of the challenge tls-alpn-01; NULL: the server offers none */
        const char *token;    /* base64url; "" if url is NULL */
        struct acme_problem problem; /* of an invalid challenge */
};
struct error *acme_read_authorization(struct arena *a, struct str json, struct acme_authorization *ret) MUST_USE;

/* A problem document, or a text that is none: then type is "". */
void acme_read_problem(struct arena *a, struct str json, struct acme_problem *ret);

/*
 * The error for a problem, with a hint that says what to do.
 *
 * what    the failed step: "the CA refused the order"
 * status  of HTTP; 0 if the problem is in an order or authorization
 */
struct error *acme_problem_error(const struct acme_problem *problem, int status, const char *what) MUST_USE;

/* Whether a nonce may be sent back: base64url of at most LIMIT_ACME_NONCE bytes (section 6.5.1). */
bool acme_is_nonce(struct str nonce);

/* The time of a Retry-After header (RFC 9110 section 10.2.3), at most TIMEOUT_ACME_RETRY_AFTER; 0 if it is absent or malformed. */
struct duration acme_retry_after(struct str value, struct walltime now);

#endif
