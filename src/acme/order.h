/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One order of a certificate at an ACME server (RFC 8555 section 7.1), proven by TLS-ALPN-01 (RFC 8737).
 *
 *   directory ─► account ─► order ─► authorization ─► install ─► respond ─► validate ─┐
 *                   ▼         ▲          ▲                                            │ for each name
 *                contact ─────┘          └────────────────────────────────────────────┘
 *                                    ready ─► finalize ─► issue ─► download ─► done
 *
 * `contact` corrects the e-mail address of an account that was made with another one (section 7.3.2).
 * Every state is a request to the server, except for `install`, in which the caller gives the challenge certificate to the
 * proxy. A request that the server refuses with badNonce is sent again with another nonce. The server has
 * TIMEOUT_ACME_REQUEST for each answer, and the time `within` for all.
 */
#ifndef ACME_ORDER_H
#define ACME_ORDER_H

#include "acme/pair.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"
#include "pki/key.h"

struct loop;
struct http_client;

struct acme_order_options {
        struct loop *loop;
        struct http_client *http;
        const char *directory;    /* URL of the server's directory */
        const char *email;        /* contact of the account; NULL or "": none */
        const struct key *account; /* P-256 */
        const struct str *names;  /* of the certificate; host names, 1 to LIMIT_CERT_NAMES */
        size_t count;
        struct duration within;
        /*
         * The pair is to be shown to clients that offer acme-tls/1 for the name; the caller then calls
         * acme_order_installed(), in any case once, not from within this call. Borrowed until it returns.
         */
        void (*install)(void *ctx, struct str name, struct acme_pair pair);
        /* The e-mail address of the account could not be changed (the error is owned); the order goes on. */
        void (*warn)(void *ctx, struct error *err);
        /*
         * Called exactly once: with the certificate (borrowed until it returns) or with an error (owned).
         * pause: the server asked to wait for this time; 0: it did not.
         */
        void (*done)(void *ctx, struct acme_pair pair, struct error *err, struct duration pause);
        void *ctx;
};

/* All options are borrowed until done was called. */
struct acme_order;
struct acme_order *acme_order_start(const struct acme_order_options *options) MUST_USE;
/* The pair of `install` is in use, or it is not: then err (owned) ends the order. */
void acme_order_installed(struct acme_order *o, struct error *err);
/* The proxy no longer shows the challenge: an order that needs it ends with an error of REASON_SIBLING. Calls done as acme_order_cancel(). */
void acme_order_proxy_lost(struct acme_order *o);
/* Calls done with CANCELLED, now or when the pending request or `install` has ended. */
void acme_order_cancel(struct acme_order *o);

#endif
