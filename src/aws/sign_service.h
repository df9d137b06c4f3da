/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves one signing request (aws/sign_message.h) over a socket, so that the client process does not need AWS
 * credentials.
 */
#ifndef AWS_SIGN_SERVICE_H
#define AWS_SIGN_SERVICE_H

#include "aws/credentials.h"

/*
 * Waits for one request, TIMEOUT_AWS_SIGN_REQUEST at most, resolves credentials, signs, answers; returns when the
 * answer is sent, the client has closed the socket, TIMEOUT_AWS_SIGN has passed since the request, or on SIGTERM. A
 * credential_process that runs then is killed with its child processes.
 *
 * fd  SOCK_SEQPACKET; borrowed
 *
 * INVALID_ARGUMENT: the packet is not a request; it gets no answer. DEADLINE_EXCEEDED: no request was received. A
 * failure to resolve credentials is sent as an answer and is not an error here.
 */
struct error *aws_sign_serve(int fd, const struct aws_resolve_options *options) MUST_USE;

#endif
