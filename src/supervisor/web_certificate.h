/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads the certificates with which the proxy serves HTTPS: those of https_keypairs, or a self-signed one, which
 * browsers do not trust but which is the same at every start.
 */
#ifndef SUPERVISOR_WEB_CERTIFICATE_H
#define SUPERVISOR_WEB_CERTIFICATE_H

#include "base/buf.h"
#include "supervisor/launch.h"
#include "internal.pb-c.h"

enum { WEB_KEYPAIRS_MAX = 8 }; /* one for each public name; all of them must fit one control message */

struct web_keypairs {
        Cteleport__Internal__V1__HttpsKeyPair *pairs[WEB_KEYPAIRS_MAX]; /* owned */
        size_t count;
};

/* Wipes the keys. */
void web_keypairs_release(struct web_keypairs *k);

/*
 * Reads the files of https_keypairs, or data_dir/webproxy_{key,cert}.pem when none are configured, which are created
 * again if they are missing, do not match or have expired. File sizes are limited, and keys must not be readable by
 * other users. The proxy itself checks that a configured certificate is usable for TLS.
 */
struct error *web_keypairs_load(const struct launch *l, struct walltime now, struct web_keypairs *ret) MUST_USE;

bool web_keypairs_equal(const struct web_keypairs *a, const struct web_keypairs *b);

#endif
