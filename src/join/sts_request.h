/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request that a joining host signed, taken apart by one small strict parser with a closed grammar.
 *
 * Nothing of the bytes is forwarded: what comes out are the table entry of the host that shall judge and the values of
 * allow-listed headers, from which a fresh request is built. Everything outside the grammar is refused before any
 * network activity (docs/security.md, R1 to R4).
 *
 *   POST / HTTP/1.1 CRLF
 *   1*( name ":" [SP] value CRLF )     each name once, from the table in sts_request.c
 *   CRLF
 *   Action=GetCallerIdentity&Version=2011-06-15
 */
#ifndef JOIN_STS_REQUEST_H
#define JOIN_STS_REQUEST_H

#include "aws/sts_hosts.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

/* The only accepted body. */
#define STS_REQUEST_BODY "Action=GetCallerIdentity&Version=2011-06-15"

/* The values that the request must have. */
struct sts_expectation {
        struct str challenge; /* as issued on this stream */
        struct str binding;   /* of this attempt (join/binding.h) */
        bool is_binding_required; /* a proof without one is refused */
        struct walltime now;
        struct sts_host_options hosts;
};

struct sts_request_header {
        struct str name; /* lower case */
        struct str value;
};

/* The parts of a valid request; texts borrow from the bytes. */
struct sts_request {
        struct sts_host host;
        struct str access_key_id;  /* not secret, but private: for debugging only */
        struct walltime signed_at; /* the joining host's clock, in seconds */
        struct sts_request_header headers[LIMIT_STS_HEADERS]; /* to send to STS, beside Host and Content-Length */
        size_t header_count;
};

/*
 * Checks everything that can be checked without AWS. On refusal *ret_check names the failing check for the audit
 * ("request-line", "headers", "body", "host", "authorization", "signed-headers", "challenge", "binding", "date",
 * "region"), and the error is written for the host's operator: INVALID_ARGUMENT for a malformed request,
 * PERMISSION_DENIED for one that is not acceptable.
 */
struct error *sts_request_check(struct str bytes, const struct sts_expectation *expect, struct sts_request *ret,
                                const char **ret_check) MUST_USE;

#endif
