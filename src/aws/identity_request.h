/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the proof of a joining host's AWS identity: a signed GetCallerIdentity request with the server's challenge,
 * serialized as HTTP/1.1. The host sends it to the cluster, not to AWS.
 */
#ifndef AWS_IDENTITY_REQUEST_H
#define AWS_IDENTITY_REQUEST_H

#include "aws/credentials.h"
#include "base/buf.h"

/* The body of every such request, 43 bytes, and its SHA-256. */
#define AWS_IDENTITY_BODY "Action=GetCallerIdentity&Version=2011-06-15"
#define AWS_IDENTITY_BODY_HASH "ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843"
#define AWS_CHALLENGE_HEADER "X-Teleport-Challenge"
#define AWS_BINDING_HEADER "X-Cteleport-Join-Binding"

/* Checks the form of a challenge: canonical base64 of 32 bytes, without padding. INVALID_ARGUMENT otherwise. */
struct error *aws_check_challenge(struct str challenge) MUST_USE;

/*
 * Writes the serialized request. Signed: accept, content-length, content-type, host, x-amz-date,
 * x-amz-security-token (when there is a token), x-cteleport-join-binding (when there is one), x-teleport-challenge.
 *
 * challenge checked by aws_check_challenge() binding visible ASCII (join/binding.h); may be empty out at least
 * LIMIT_STS_REQUEST; holds a signature and a token: wipe it after use
 */
struct error *aws_identity_request(const struct aws_resolution *r, struct str challenge, struct str binding,
                                   struct walltime now, struct buf *out) MUST_USE;

#endif
