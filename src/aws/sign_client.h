/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the process that holds AWS credentials for one signature: the client's side of aws/sign_message.h.
 *
 * That process may still be starting when the request is asked: the socket to it is handed in when it is there.
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
/* Hangs up. Not between a request and its done. NULL is silent. */
void aws_sign_client_free(struct aws_sign_client *c);

/* The socket (SOCK_SEQPACKET, owned from now on), before the request or after it. Once. */
void aws_sign_client_connect(struct aws_sign_client *c, int fd);
/* Instead: there will be none; err is owned. */
void aws_sign_client_fail(struct aws_sign_client *c, struct error *err);

/*
 * Asks, once in the life of a client. done comes exactly once, from the loop, with a signed request (to keep it, copy and
 * zero it), or with an error (owned): why the other process could not sign, as it says it; UNAVAILABLE when it ended without
 * an answer; CANCELLED. The client may be freed in done.
 */
void aws_sign_client_request(struct aws_sign_client *c, struct str challenge, struct str binding,
                         void (*done)(void *ctx, struct aws_signed *s, struct error *err), void *ctx);
bool aws_sign_client_has_requested(const struct aws_sign_client *c);
/* done comes with CANCELLED unless it already has. */
void aws_sign_client_cancel(struct aws_sign_client *c);

#endif
