/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate of `tsh apps login`, which a program sends at the host of an application in place of a browser's cookies: it names
 * the session of the application, and has the secret that opens the session's key. docs/decisions/0042-certificates-for-applications.md
 */
#ifndef PROXY_APPS_APP_CERTIFICATE_H
#define PROXY_APPS_APP_CERTIFICATE_H

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

/*
 * Reads what a client has sent in its handshake, which proved only that it has the key. A certificate that is not one of the user CAs (PEM)
 * and of this cluster is refused by app_certificate_check().
 */
struct app_certificate;
struct app_certificate *app_certificate_new(struct str der, struct str user_cas_pem, struct str cluster) MUST_USE;
void app_certificate_free(struct app_certificate *c); /* NULL is silent */

/*
 * Whether it may be used at the host of this application now: UNAUTHENTICATED if it is unknown or has expired, PERMISSION_DENIED if it is
 * for another use or application.
 */
struct error *app_certificate_check(const struct app_certificate *c, const char *app, struct walltime now) MUST_USE;

/* "" unless app_certificate_check() accepts it; borrowed. */
struct str app_certificate_user(const struct app_certificate *c);
struct str app_certificate_session(const struct app_certificate *c);
struct str app_certificate_secret(const struct app_certificate *c);

#endif
