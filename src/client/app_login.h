/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates with which programs such as curl use applications, in the profile:
 *
 *     keys/<proxy>/<user>-app/<cluster>/<app>-x509.pem   the certificate
 *     keys/<proxy>/<user>-app/<cluster>/<app>.key        its private key (0600), P-256
 *
 * Each has a session of the application in the cluster, which ends with the certificate. docs/decisions/0042-certificates-for-applications.md
 */
#ifndef CLIENT_APP_LOGIN_H
#define CLIENT_APP_LOGIN_H

#include "client/api_client.h"

struct app_login {
        const char *app;        /* its name */
        const char *cert, *key; /* paths */
        const char *session;    /* its ID */
};

/*
 * Requests a certificate for the application, with a new session, and writes its files in place of earlier ones, whose session then ends.
 * *ret is in p's arena.
 */
struct error *app_login_create(struct api_client *a, const struct profile *p, const char *app, struct app_login *ret) MUST_USE;

/* Ends the session in the cluster, unless it has ended already, then removes the files. */
struct error *app_login_end(struct api_client *a, const struct app_login *login) MUST_USE;

/* The certificates that have not expired, by name, in p's arena. Files that are not certificates of this profile's user are left out. */
struct error *app_login_list(const struct profile *p, struct walltime now, struct app_login **ret, size_t *ret_count) MUST_USE;

/* The one for the application, or NULL. */
const struct app_login *app_login_find(const struct app_login *list, size_t count, const char *app);

#endif
