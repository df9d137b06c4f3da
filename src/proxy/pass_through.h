/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that is passed through to the Auth Service, its TLS untouched. Auth counts it where its client is: it is
 * announced, and the ticket that auth gives for it goes ahead of the client's bytes (net/pass.h).
 *
 *     announce ──► dial ──► splice
 *
 * It is not read while anything of it waits to be written on: LIMIT_PASSED_READ wait in each direction at most, or the
 * ClientHello and what was read with it.
 */
#ifndef PROXY_PASS_THROUGH_H
#define PROXY_PASS_THROUGH_H

#include "base/compiler.h"
#include "net/tls.h"

struct accepted;
struct proxy;
struct stream;

/* Bytes: a read before the ClientHello is complete; may bring what follows it, too. */
enum { PASS_THROUGH_HELLO_READ = 4 * KiB };

/*
 * Passes `s` (owned) through, the stream of `client`, which is borrowed until done. done comes exactly once, from the loop,
 * when it is over; also when there are too many (LIMIT_PASSED), or where auth is is not known.
 */
struct pass_through;
struct pass_through *pass_through_start(struct proxy *p, struct stream *s, struct accepted *client, void (*done)(void *ctx),
                                        void *ctx) MUST_USE;

/* Ends it; done follows. */
void pass_through_cancel(struct pass_through *t);

#endif
