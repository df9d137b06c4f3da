/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS with the backends of https applications: their certificates are verified by the system's roots, or by the CA of app.tls, unless
 * insecure_skip_verify is set; a client certificate is sent if app.tls has one.
 *
 * The files of app.tls are read once, before the process enters its sandbox.
 */
#ifndef APP_BACKEND_TLS_H
#define APP_BACKEND_TLS_H

#include "base/error.h"
#include "base/str.h"
#include "config.pb-c.h"

struct tls_context;

/* A zeroed struct is empty. */
struct backend_tls {
        struct backend_tls_app *apps; /* private */
        size_t count;
        struct tls_context *plain[2]; /* of applications without tls settings: verifying, and with insecure_skip_verify; NULL: not made yet */
};

/* Reads the files of the applications of teleport.yaml, borrowed until backend_tls_release(). A file that cannot be read is logged, and is the error of its application. */
void backend_tls_load(struct backend_tls *b, const Cteleport__V1__AppServiceConfig *service);
void backend_tls_release(struct backend_tls *b);

/*
 * Sets *ret to the context for an application of https with these settings, of teleport.yaml or a resource, borrowed until backend_tls_release(). roots_pem: additional roots of the system.
 * FAILED_PRECONDITION: its files cannot be used.
 */
struct error *backend_tls_get(struct backend_tls *b, const Cteleport__V1__AppConfig *app, struct str roots_pem, struct tls_context **ret) MUST_USE;

#endif
