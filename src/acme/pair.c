/* SPDX-License-Identifier: Apache-2.0 */
#include "acme/pair.h"

#include "base/buf.h"
#include "net/tls.h"
#include "pki/cert_check.h"

struct error *acme_pair_check(struct acme_pair pair, const struct str *names, size_t count, struct cert_times *ret_times)
{
        AUTO_PTR(tls_context) tls = NULL;
        AUTO(buf) der = BUF_MAX(CERT_MAX);

        TRY(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_NONE }, &tls));
        TRY(tls_context_add(tls, NULL, (struct tls_identity){ pair.cert_pem, pair.key_pem }));
        TRY(cert_pem_to_der(pair.cert_pem, &der));
        for (size_t i = 0; i < count; i++)
                if (!cert_is_for_host(buf_str(&der), names[i]))
                        return error_new(ERROR_FAILED_PRECONDITION, "it is not for %.*s", STR_ARG(names[i]));
        return cert_validity(buf_str(&der), ret_times);
}
