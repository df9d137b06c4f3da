/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Web certificates for the names of applications, from the ACME client: which of them clients want, and the TLS handshakes that wait for one.
 *
 *   ClientHello for a name without certificate ─► wanted ─► the ACME client ─┬─► a certificate ─► the handshakes go on with it
 *                                  │                                         └─► none now, and a pause ─┐
 *                                  └─ TIMEOUT_ACME_APP_WAIT ────────────────────────────────────────────┴─► … with another certificate
 *
 * Only names of applications that a host of the cluster offers are wanted, each once at a time and not within the pause. A certificate that is
 * due for renewal is shown while another one is wanted.
 */
#ifndef PROXY_APPS_APP_ACME_H
#define PROXY_APPS_APP_ACME_H

#include "base/error.h"
#include "base/str.h"
#include "internal.pb-c.h"
#include "net/tls.h"

struct proxy;
struct app_acme;
struct app_cert;

struct app_acme *app_acme_new(struct proxy *p) MUST_USE;
void app_acme_free(struct app_acme *m); /* no handshake waits; NULL is silent */

/* A handshake that waits; a zeroed one does not. The owner sets the first two fields. */
struct app_acme_wait {
        void (*over)(void *ctx); /* from the loop: the handshake goes on */
        void *ctx;

        struct app_acme *of;
        struct app_acme_wait *next, **at;
        struct timer *deadline;
};

/*
 * A client names a server in its ClientHello. Returns whether the handshake waits: over() is then called once, unless app_acme_leave() is
 * called before. False: it goes on with the certificates that there are. m may be NULL.
 */
bool app_acme_wait(struct app_acme *m, struct str server_name, struct app_acme_wait *w) MUST_USE;
void app_acme_leave(struct app_acme_wait *w);

/* Adds the certificates to a context for names of applications, each for its name. m may be NULL. */
struct error *app_acme_show(struct app_acme *m, struct tls_context *tls) MUST_USE;

/* Events of the link to the ACME client (acme_link.h). */
void app_acme_asked(struct app_acme *m, bool is_first);
struct error *app_acme_take(struct app_acme *m, const Cteleport__Internal__V1__AcmeApp *msg) MUST_USE;

#endif
