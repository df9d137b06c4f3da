/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte selects a form, the rest is an untrusted public key in it. An accepted key is encoded in
 * our own form, which must be accepted again with the same result. OpenSSL must read a key of the same
 * bytes. An accepted DER input must equal the output, since DER is canonical.
 */
#include <openssl/x509.h>
#include <stdint.h>
#include <stdlib.h>

#include "pki/key.h"
#include "pki/public_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct form {
        struct error *(*check)(struct str in, struct buf *out);
        bool is_ssh;       /* the output is SSH wire form; otherwise SubjectPublicKeyInfo */
        bool is_canonical; /* each key has exactly one encoding */
} forms[] = {
        { public_key_check_der, .is_canonical = true },
        { public_key_check_pem },
        { public_key_check_ssh, .is_ssh = true, .is_canonical = true },
        { public_key_check_ssh_line, .is_ssh = true },
};

#define insist(condition)                                                                                              \
        do {                                                                                                           \
                if (!(condition))                                                                                      \
                        abort();                                                                                       \
        } while (0)

static void insist_openssl_agrees(struct str spki)
{
        const unsigned char *at = str_bytes(spki);
        EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)spki.len);
        unsigned char *theirs = NULL;

        insist(pkey != NULL && at == str_bytes(spki) + spki.len);
        int len = i2d_PUBKEY(pkey, &theirs);
        insist(len > 0 && str_equal(spki, str_of_bytes(theirs, (size_t)len)));
        OPENSSL_free(theirs);
        EVP_PKEY_free(pkey);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0)
                return 0;
        const struct form *form = &forms[data[0] % ARRAY_LEN(forms)];
        const struct str in = str_of_bytes(data + 1, size - 1);
        AUTO(buf) out = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) again = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) spki = BUF_MAX(PUBLIC_KEY_MAX);
        struct public_key key;
        AUTO_PTR(error) err = form->check(in, &out);

        if (err != NULL) {
                insist(err->code == ERROR_INVALID_ARGUMENT);
                insist(out.len == 0);
                return 0;
        }
        AUTO_PTR(error) second = (form->is_ssh ? public_key_check_ssh : public_key_check_der)(buf_str(&out), &again);
        insist(second == NULL && str_equal(buf_str(&out), buf_str(&again)));
        insist(!form->is_canonical || str_equal(buf_str(&out), in));

        AUTO_PTR(error) parsed = (form->is_ssh ? public_key_of_ssh : public_key_of_spki)(buf_str(&out), &key);
        insist(parsed == NULL);
        public_key_put_spki(&key, &spki);
        insist(!spki.overflowed);
        insist_openssl_agrees(buf_str(&spki));
        return 0;
}
