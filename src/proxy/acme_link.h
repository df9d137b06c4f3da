/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's side of the link to the ACME client process: the certificates that the CA has issued, and the certificate of
 * the challenge in progress, which is shown to clients that offer acme-tls/1 (RFC 8737 section 3) and to no other. The ACME client asks for
 * the names of applications that clients want, and is answered when there are some.
 */
#ifndef PROXY_ACME_LINK_H
#define PROXY_ACME_LINK_H

#include "base/error.h"
#include "base/str.h"
#include "internal.pb-c.h"
#include "net/tls.h"

struct loop;

#define ACME_ALPN "acme-tls/1"

struct acme_link_events {
        /*
         * A certificate was issued, or was kept from an earlier start: it is to be used from now on; NULL: there is none yet. The pair is
         * borrowed. An error (owned by the caller) is reported to the ACME client.
         */
        struct error *(*issued)(void *ctx, const Cteleport__Internal__V1__HttpsKeyPair *pair);
        /* The ACME client asks for names (acme_link_want()). is_first: for the first time by this link. */
        void (*asked)(void *ctx, bool is_first);
        /* As issued, for the name of an application; borrowed. */
        struct error *(*app)(void *ctx, const Cteleport__Internal__V1__AcmeApp *app);
        void *ctx;
};

struct acme_link;
struct acme_link *acme_link_new(struct loop *l, struct acme_link_events events) MUST_USE;
void acme_link_free(struct acme_link *k);

/* Serves requests over fd (owned) instead of an earlier one, whose challenge ends. */
void acme_link_use(struct acme_link *k, int fd);

/* Whether the ACME client asks for names, and was not answered yet; false if k is NULL. */
bool acme_link_is_asked(const struct acme_link *k);

/* Answers it with names of applications, at most ACME_WANTED_MAX; none if it does not ask. */
enum { ACME_WANTED_MAX = 100 };
void acme_link_want(struct acme_link *k, char **names, size_t count);

/* Ends the link, so that the loop can end. */
void acme_link_close(struct acme_link *k);

/* For clients that offer ACME_ALPN and nothing else: the certificate of the challenge; NULL when there is none. k may be NULL. */
struct tls_context *acme_link_challenge(const struct acme_link *k);

#endif
