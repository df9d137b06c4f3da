/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS of the users' connections, with the host's identity: one context for TCP and one for HTTP, made when they are needed, and
 * again after each renewal of the identity.
 */
#ifndef APP_USER_TLS_H
#define APP_USER_TLS_H

#include "join/host_identity.h"
#include "net/tls.h"

/* A zeroed struct is empty. The owner must not access the fields. */
struct user_tls {
        struct tls_context *tcp, *http; /* with the identity of this serial number; NULL: not made yet */
        char *serial;
};

/*
 * Sets *ret to the TLS of this identity, borrowed until the next turn of the loop; of the protocols that a client offers it prefers
 * the one of the application. UNAVAILABLE: the identity is empty, or has no CA of users yet.
 */
struct error *user_tls_get(struct user_tls *u, const struct host_identity *id, bool is_tcp, struct tls_context **ret) MUST_USE;

void user_tls_release(struct user_tls *u);

#endif
