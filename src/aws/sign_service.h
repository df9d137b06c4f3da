/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signs for the process at the other end of a socket, which is to see no credentials: one request of
 * aws/sign_message.h is answered, and that is all.
 */
#ifndef AWS_SIGN_SERVICE_H
#define AWS_SIGN_SERVICE_H

#include "aws/credentials.h"

/*
 * Waits for one request, TIMEOUT_AWS_SIGN_REQUEST at most, resolves credentials, signs, answers; returns when that is
 * done, the client is gone, TIMEOUT_AWS_SIGN has passed since the request or SIGTERM has come. A credential_process
 * that runs then is killed with all that it has started.
 *
 * fd  SOCK_SEQPACKET; borrowed
 *
 * INVALID_ARGUMENT: what came is no request; it gets no answer. DEADLINE_EXCEEDED: nothing came. Why credentials could
 * not be resolved is an answer, not an error.
 */
struct error *aws_sign_serve(int fd, const struct aws_resolve_options *options) MUST_USE;

#endif
