/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/openssl.h"

#include <openssl/err.h>

struct error *openssl_error_at(struct error *err)
{
        unsigned long code = ERR_get_error();
        const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

        ERR_clear_error();
        if (reason == NULL)
                return err;
        return error_because(err, error_new(ERROR_INTERNAL, "OpenSSL: %s", reason));
}
