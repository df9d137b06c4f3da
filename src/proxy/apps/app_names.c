/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/apps/app_names.h"

#include "base/limits.h"
#include "base/log.h"
#include "pki/cert.h"
#include "pki/cert_check.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"

enum { WEB_CERT_MAX = 64 * KiB };

/* Whether clients accept the first certificate of the chain for the host. */
static bool is_for(const Cteleport__Internal__V1__HttpsKeyPair *pair, struct str host)
{
        AUTO(buf) der = BUF_MAX(WEB_CERT_MAX);
        AUTO_PTR(error) err = cert_pem_to_der(pb_str(pair->cert_pem), &der);

        return err == NULL && cert_is_for_host(buf_str(&der), host);
}

/* With ACME one is ordered when a client asks for the name. */
static bool is_covered(const struct proxy *p, struct str host)
{
        if (p->app_acme != NULL && host.len <= LIMIT_ACME_APP_NAME)
                return true;
        for (size_t i = 0; i < p->keypair_count; i++)
                if (is_for(p->keypairs[i], host))
                        return true;
        return p->issued != NULL && is_for(p->issued, host);
}

void app_names_check(const struct proxy *p, const Cteleport__V1__AppAddresses *sent)
{
        for (size_t i = 0; i < sent->n_addresses; i++) {
                const Cteleport__V1__AppAddress *row = sent->addresses[i];

                if (row->app[0] != '\0' && map_get(&p->app_addresses.by_host, str_of(row->addr)) == NULL && !is_covered(p, str_of(row->addr)))
                        log_warn("No web certificate of this proxy has the public_addr of an application: browsers and programs refuse it", LOG_C("app", row->app),
                                 LOG_C("public_addr", row->addr), LOG_C("hint", "add a certificate with this name to proxy_service.https_keypairs"));
        }
}
