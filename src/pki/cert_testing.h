/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of certificates: the CAs and keys that they are made with, and the verdict of OpenSSL.
 */
#ifndef PKI_CERT_TESTING_H
#define PKI_CERT_TESTING_H

#include <openssl/x509v3.h>

#include "base/mem.h"
#include "pki/pki_testing.h"

#define HOST_ID "1f2e3d4c-1111-4222-8333-444455556666"

enum { BEGIN = 1700000000, END = 2015000000 };

/* A cluster's CAs, and the keys of a host or a user. */
struct fixture {
        struct test_ca host_ca, user_ca;
        struct test_keys keys;
        struct arena *arena;
};

static inline int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        test_ca_init(&f->host_ca, times_of(BEGIN, END));
        test_ca_init(&f->user_ca, times_of(BEGIN, END));
        test_keys_init(&f->keys);
        f->arena = arena_new(16 * MiB);
        *state = f;
        return 0;
}

static inline int tear_down(void **state)
{
        struct fixture *f = *state;

        test_ca_release(&f->host_ca);
        test_ca_release(&f->user_ca);
        test_keys_release(&f->keys);
        arena_free(f->arena);
        free(f);
        return 0;
}

/* Free it with X509_free. */
static inline X509 *parsed(struct str der)
{
        const unsigned char *at = str_bytes(der);
        X509 *x = d2i_X509(NULL, &at, (long)der.len);

        assert_non_null(x);
        assert_ptr_equal(at, str_bytes(der) + der.len);
        return x;
}

/* OpenSSL's strict verification of the certificate under this root, for the purpose and name (NULL: any). */
static inline int verified(struct str root, struct str leaf, int purpose, const char *name, int64_t at)
{
        X509_STORE *store = X509_STORE_new();
        X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        X509 *ca = parsed(root), *x = parsed(leaf);

        X509_STORE_add_cert(store, ca);
        assert_int_equal(X509_STORE_CTX_init(ctx, store, x, NULL), 1);
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
        X509_VERIFY_PARAM_set_purpose(param, purpose);
        X509_VERIFY_PARAM_set_time(param, (time_t)at);
        if (name != NULL && X509_VERIFY_PARAM_set1_ip_asc(param, name) != 1)
                X509_VERIFY_PARAM_set1_host(param, name, 0);
        X509_verify_cert(ctx);
        int result = X509_STORE_CTX_get_error(ctx);

        X509_free(x);
        X509_free(ca);
        X509_STORE_CTX_free(ctx);
        X509_STORE_free(store);
        return result;
}

/* Replaces the n-th occurrence of some bytes, counted from 0, by as many others. */
static inline void alter(struct buf *bytes, struct str from, struct str to, size_t nth)
{
        assert_int_equal(from.len, to.len);
        for (size_t i = 0; i + from.len <= bytes->len; i++)
                if (memcmp(bytes->ptr + i, from.ptr, from.len) == 0 && nth-- == 0) {
                        memcpy(bytes->ptr + i, to.ptr, to.len);
                        return;
                }
        fail_msg("the bytes are not in the certificate");
}

/* The certificate is refused with any byte changed, and cut off anywhere. */
static inline void refuses_any_changed_byte(struct arena *arena, struct buf *ssh_cert)
{
        struct ssh_cert_info info;

        for (size_t i = 0; i < ssh_cert->len; i++) {
                ssh_cert->ptr[i] = (char)(ssh_cert->ptr[i] ^ 1);
                assert_code(ssh_cert_read(arena, buf_str(ssh_cert), &info), ERROR_INVALID_ARGUMENT);
                ssh_cert->ptr[i] = (char)(ssh_cert->ptr[i] ^ 1);
                assert_code(ssh_cert_read(arena, str_slice(buf_str(ssh_cert), 0, i), &info), ERROR_INVALID_ARGUMENT);
        }
}

#endif
