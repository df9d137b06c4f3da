/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names for which a certificate is ordered: the hosts of proxy_service.public_addr.
 */
#ifndef ACME_NAMES_H
#define ACME_NAMES_H

#include "base/limits.h"
#include "base/str.h"
#include "config.pb-c.h"

struct acme_names {
        struct str list[LIMIT_CERT_NAMES];
        size_t count;
};

/*
 * Collects the host names of public_addr, each once, borrowed from the configuration; addresses, for which no certificate
 * is ordered, are left out. What does not fit into one certificate is left out too: config_check() refuses it.
 */
void acme_names_collect(const Cteleport__V1__ProxyConfig *proxy, struct acme_names *ret);

#endif
