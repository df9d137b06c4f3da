/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4, header form: canonical request, string to sign, Authorization.
 *
 * Pure functions over borrowed bytes. Every header that is passed in is signed; the caller omits headers that proxies
 * may change (User-Agent, Connection …) and includes Host and X-Amz-Date.
 */
#ifndef AWS_SIGV4_H
#define AWS_SIGV4_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

/* SHA-256 of the empty string, for requests without a body. */
#define SIGV4_EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum {
        SIGV4_HEADERS_MAX = 64,
        SIGV4_QUERY_MAX = 64,              /* parameters */
        SIGV4_CANONICAL_MAX = 128 * KiB,   /* bytes of a canonical request */
        SIGV4_DATE_LEN = 16,               /* "20260131T235959Z" */
};

struct sigv4_header {
        struct str name;  /* any case */
        struct str value; /* as on the wire; may be folded */
};

struct sigv4_request {
        struct str method; /* upper case */
        struct str path;   /* as on the wire, "/" at least */
        struct str query;  /* as on the wire, without '?' */
        const struct sigv4_header *headers;
        size_t header_count;
        struct str payload_hash;   /* lower-case hex SHA-256 of the body */
        bool keep_path;            /* do not resolve "." and ".." nor merge slashes */
};

struct sigv4_scope {
        struct walltime when;
        struct str region;
        struct str service;
};

/*
 * Writes the canonical request to out and, unless NULL, the signed-header list ("host;x-amz-date") to
 * ret_names. INVALID_ARGUMENT for an empty or malformed header name or too many headers or parameters;
 * RESOURCE_EXHAUSTED past the ceilings of the buffers.
 */
struct error *sigv4_canonical_request(const struct sigv4_request *r, struct buf *out, struct buf *ret_names) MUST_USE;

/* Writes the four lines that are signed. */
struct error *sigv4_string_to_sign(const struct sigv4_scope *scope, struct str canonical, struct buf *out) MUST_USE;

/* Lower-case hex signature (64 characters) of a string to sign. Derived keys are wiped. */
struct error *sigv4_signature(struct str secret_key, const struct sigv4_scope *scope, struct str string_to_sign,
                              struct buf *out) MUST_USE;

/* All of the above: writes the value of the Authorization header. */
struct error *sigv4_authorization(const struct sigv4_request *r, const struct sigv4_scope *scope,
                                  struct str access_key_id, struct str secret_key, struct buf *out) MUST_USE;

/* The value of X-Amz-Date, "20260131T235959Z". */
void sigv4_put_date(struct buf *out, struct walltime when);

/* Percent-encodes all but A-Z a-z 0-9 - . _ ~ (and '/', if keep_slash), upper-case hex; also right for form bodies. */
void sigv4_put_encoded(struct buf *out, struct str bytes, bool keep_slash);

#endif
