/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads and checks the certificates with which the proxy serves HTTPS: those of https_keypairs, or a self-signed one,
 * which browsers do not trust but which is the same at every start.
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
 * again if they are missing, do not match or have expired.
 *
 * A configured pair is refused with an error that names its file and the reason: a file is missing, too large, not PEM,
 * or a key that other users may read; the key is not the certificate's; TLS would refuse it as too weak; it has expired
 * or is not valid yet; it has more than LIMIT_WEB_CERT_NAMES names. So is a configuration in which no certificate is for a name of
 * proxy_service.public_addr. All mistakes are reported (error_also).
 */
struct error *web_keypairs_load(const struct launch *l, struct walltime now, struct web_keypairs *ret) MUST_USE;

/* When the first of the certificates expires; 0: there is none. */
struct walltime web_keypairs_end(const struct web_keypairs *k);

/*
 * Reads them again while they are in use. A refused pair stays as it was, the others are replaced; if a public name would
 * be without certificate, all stay. The errors say what was refused; *ret_changed, which is always set, whether a pair in
 * *k is another one now. Without configured pairs only a self-signed one that has expired or was removed is replaced.
 */
struct error *web_keypairs_reload(const struct launch *l, struct walltime now, struct web_keypairs *k, bool *ret_changed) MUST_USE;

#endif
