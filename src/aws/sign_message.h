/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between a join client and the process that has the AWS credentials: a request to sign, and its answer.
 *
 * The request is one packet of a fixed size. It contains only the challenge and binding to sign. Host, region, path and
 * headers come from the configuration of the signing process.
 *
 *   offset  size
 *   0       1     1, the version
 *   1       43    the challenge, as checked by aws_check_challenge()
 *   44      64    the binding, lower-case hex (join/binding.h)
 *
 * The answer: 1 byte version, 1 byte error code (0: signed), 1 byte number of warnings, then texts, each two bytes of
 * length (big-endian) and that many bytes without a NUL: request, source, region, region source, STS host, error, hint,
 * cause, warnings. Then the packet ends. With code 0 there is a request and no error, otherwise an error and no
 * request. A whole answer fits the default send buffer of a socket.
 */
#ifndef AWS_SIGN_MESSAGE_H
#define AWS_SIGN_MESSAGE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"

enum {
        AWS_SIGN_CHALLENGE = 43,
        AWS_SIGN_BINDING = 64,
        AWS_SIGN_REQUEST_SIZE = 1 + AWS_SIGN_CHALLENGE + AWS_SIGN_BINDING,
        AWS_SIGN_TEXT = 4 * KiB,       /* source, error, hint, cause: they may name paths */
        AWS_SIGN_SHORT_TEXT = 1 * KiB, /* the others */
        AWS_SIGN_WARNINGS = 16,
        AWS_SIGN_ANSWER_MAX = 3 + 2 + LIMIT_STS_REQUEST + 4 * (2 + AWS_SIGN_TEXT) + (3 + AWS_SIGN_WARNINGS) * (2 + AWS_SIGN_SHORT_TEXT),
};

struct aws_sign_request {
        struct str challenge, binding; /* borrowed from the packet */
};

struct aws_sign_answer {
        unsigned code; /* enum error_code, or 0 */
        struct str request;
        struct str source, region, region_source, sts_host;
        struct str error, hint;
        struct str cause; /* for the log of this host only: "…; because …" */
        struct str warnings[AWS_SIGN_WARNINGS];
        size_t warning_count;
}; /* all borrowed from the packet */

/* Writes the packet. INVALID_ARGUMENT when challenge or binding is malformed. out: at least AWS_SIGN_REQUEST_SIZE. */
struct error *aws_sign_request_put(struct buf *out, struct str challenge, struct str binding) MUST_USE;

/* INVALID_ARGUMENT unless the packet is exactly one request. */
struct error *aws_sign_request_parse(struct str packet, struct aws_sign_request *ret) MUST_USE;

/* Appends the packet; a text over its limit is cut. out: at least AWS_SIGN_ANSWER_MAX; wipe it after use. */
void aws_sign_answer_put(struct buf *out, const struct aws_sign_answer *a);

/* INVALID_ARGUMENT unless the packet is exactly one answer. */
struct error *aws_sign_answer_parse(struct str packet, struct aws_sign_answer *ret) MUST_USE;

#endif
