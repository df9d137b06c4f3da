/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests one signature from the process that has the AWS credentials: the client side of aws/sign_message.h.
 *
 * The request may be made while that process is still starting; its socket is passed in later.
 */
#ifndef AWS_SIGN_CLIENT_H
#define AWS_SIGN_CLIENT_H

#include "aws/sign_message.h"

struct loop;

/* An answer with the packet that it borrows from. */
struct aws_signed {
        struct buf packet;
        struct aws_sign_answer answer;
};
/* Wipes it: the request in it proves this host's identity for some minutes. */
void aws_signed_release(struct aws_signed *s);

struct aws_sign_client;
struct aws_sign_client *aws_sign_client_new(struct loop *l) MUST_USE;
/* Closes the socket and frees. Not allowed between a request and its done. NULL is ignored. */
void aws_sign_client_free(struct aws_sign_client *c);

/* Sets the socket (SOCK_SEQPACKET, owned from now on), before the request or after it; called once. */
void aws_sign_client_connect(struct aws_sign_client *c, int fd);
/* Called instead when the process could not be started; err is owned. */
void aws_sign_client_fail(struct aws_sign_client *c, struct error *err);

/*
 * Sends the request; once per client. done is called exactly once, from the loop, with a signed request (to keep it,
 * copy and zero it) or with an error (owned): the error of the signing process; UNAVAILABLE when it ended without an
 * answer; CANCELLED. The client may be freed in done.
 */
void aws_sign_client_request(struct aws_sign_client *c, struct str challenge, struct str binding,
                         void (*done)(void *ctx, struct aws_signed *s, struct error *err), void *ctx);
bool aws_sign_client_has_requested(const struct aws_sign_client *c);
/* Calls done with CANCELLED unless it was called already. */
void aws_sign_client_cancel(struct aws_sign_client *c);

#endif
