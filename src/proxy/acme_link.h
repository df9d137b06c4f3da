/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's side of the link to the ACME client process: the certificate that the CA has issued, and the certificate of
 * the challenge in progress, which is shown to clients that offer acme-tls/1 (RFC 8737 section 3) and to no other.
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
        void *ctx;
};

struct acme_link;
struct acme_link *acme_link_new(struct loop *l, struct acme_link_events events) MUST_USE;
void acme_link_free(struct acme_link *k);

/* Serves requests over fd (owned) instead of an earlier one, whose challenge ends. */
void acme_link_use(struct acme_link *k, int fd);

/* Ends the link, so that the loop can end. */
void acme_link_close(struct acme_link *k);

/* For clients that offer ACME_ALPN and nothing else: the certificate of the challenge; NULL when there is none. k may be NULL. */
struct tls_context *acme_link_challenge(const struct acme_link *k);

#endif
