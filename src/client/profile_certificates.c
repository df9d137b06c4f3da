/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the certificates of a profile say.
 */
#include "base/mem.h"
#include "base/text.h"
#include "client/client.h"
#include "client/profile_internal.h"
#include "os/file.h"
#include "pki/cert.h"

struct error *profile_read_certificates(struct profile *p)
{
        AUTO(buf) pem = BUF_MAX(2 * CERT_MAX);

        return file_read(p->tls_cert, &pem);
}
