/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signs for the process at the other end of a socket, which is to see no credentials: one request of
 * aws/sign_message.h is answered, and that is all.
 */
#ifndef AWS_SIGN_SERVICE_H
#define AWS_SIGN_SERVICE_H

#include "aws/credentials.h"

/*
 * Reads one request, resolves credentials, signs, answers; returns when that is done or the client is gone.
 *
 * fd  SOCK_SEQPACKET; borrowed
 *
 * INVALID_ARGUMENT: what came is no request; it gets no answer. Why credentials could not be resolved is an answer.
 */
struct error *aws_sign_serve(int fd, const struct aws_resolve_options *options) MUST_USE;

#endif
