/* SPDX-License-Identifier: Apache-2.0 */
#include "acme/pair.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/tls.h"
#include "os/file.h"
#include "pki/cert_check.h"

enum { KEY_PEM_MAX = 16 * KiB };

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

struct error *acme_pair_read(const char *path, const struct str *names, size_t count, struct secret *ret_pem, struct cert_times *ret_times)
{
        AUTO(buf) text = BUF_MAX(LIMIT_ACME_CERTIFICATE + KEY_PEM_MAX);
        struct error *err = file_read_private(path, &text);

        if (err == NULL)
                err = acme_pair_check((struct acme_pair){ buf_str(&text), buf_str(&text) }, names, count, ret_times);
        if (err == NULL)
                *ret_pem = secret_of(buf_str(&text));
        if (text.ptr != NULL)
                wipe(text.ptr, text.room);
        return err;
}

struct error *acme_pair_write(const char *path, struct acme_pair pair, struct secret *ret_pem, struct cert_times *ret_times)
{
        AUTO(secret) pem = { mem_alloc(pair.key_pem.len + pair.cert_pem.len), pair.key_pem.len + pair.cert_pem.len };

        memcpy(pem.ptr, pair.key_pem.ptr, pair.key_pem.len);
        memcpy(pem.ptr + pair.key_pem.len, pair.cert_pem.ptr, pair.cert_pem.len);
        TRY(acme_pair_check((struct acme_pair){ secret_str(&pem), secret_str(&pem) }, NULL, 0, ret_times));
        secret_release(ret_pem);
        *ret_pem = pem;
        pem = (struct secret){ 0 };
        return file_write_atomic(path, secret_str(ret_pem), 0600);
}
