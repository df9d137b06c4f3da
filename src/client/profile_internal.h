/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the sources of the profile; nobody else includes it. */
#ifndef CLIENT_PROFILE_INTERNAL_H
#define CLIENT_PROFILE_INTERNAL_H

#include "client/client.h"

/* <home>/<proxy>.yaml. */
const char *profile_path(struct arena *a, const char *home, const char *proxy_host);

/* Names the files by home, proxy_host, user and cluster. */
void profile_set_paths(struct profile *p);

/* Roles, logins, extensions and the end from the certificates. NOT_FOUND when they are not there. */
struct error *profile_read_certificates(struct profile *p) MUST_USE;

#endif
