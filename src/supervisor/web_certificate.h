/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates the proxy shows on the web: those of https_keypairs, or one of our own making that
 * browsers do not trust but that stays the same from start to start.
 */
#ifndef SUPERVISOR_WEB_CERTIFICATE_H
#define SUPERVISOR_WEB_CERTIFICATE_H

#include "base/buf.h"
#include "supervisor/launch.h"
#include "internal.pb-c.h"

enum { WEB_KEYPAIRS_MAX = 8 }; /* one a public name; all of them must fit one control message */

struct web_keypairs {
        Cteleport__Internal__V1__HttpsKeyPair *pairs[WEB_KEYPAIRS_MAX]; /* owned */
        size_t count;
};

/* Wipes the keys. */
void web_keypairs_release(struct web_keypairs *k);

/*
 * Reads the files of https_keypairs, or data_dir/webproxy_{key,cert}.pem when none are configured, which
 * are made anew if they are missing, do not belong together or have expired. Files are bounded and keys
 * must be private to us; whether a configured certificate is fit for TLS is for the proxy to find.
 */
struct error *web_keypairs_load(const struct launch *l, struct walltime now, struct web_keypairs *ret) MUST_USE;

bool web_keypairs_equal(const struct web_keypairs *a, const struct web_keypairs *b);

#endif
