/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers for tests: keys, and the CAs of a cluster.
 */
#ifndef PKI_PKI_TESTING_H
#define PKI_PKI_TESTING_H

#include <stdio.h>

#include "base/error_testing.h"
#include "pki/cert.h"
#include "pki/key.h"
#include "pki/public_key.h"

static inline UNUSED struct cert_times times_of(int64_t from, int64_t to)
{
        return (struct cert_times){ walltime_of_unix(from), walltime_of_unix(to) };
}

static inline UNUSED struct key given_key(enum key_kind kind)
{
        struct key key = { 0 };

        assert_done(key_generate(&key, kind));
        return key;
}

/* A key for TLS and one for SSH, as hosts, users and CAs have them. */
struct test_keys {
        struct key tls, ssh;
        struct buf tls_public, ssh_public; /* SubjectPublicKeyInfo; wire form */
};

static inline UNUSED void test_keys_init(struct test_keys *k)
{
        *k = (struct test_keys){ .tls = given_key(KEY_ECDSA_P256), .ssh = given_key(KEY_ED25519) };
        k->tls_public = k->ssh_public = BUF_MAX(PUBLIC_KEY_MAX);
        assert_done(key_public_der(&k->tls, &k->tls_public));
        assert_done(key_public_ssh(&k->ssh, &k->ssh_public));
}

static inline UNUSED void test_keys_release(struct test_keys *k)
{
        key_release(&k->tls);
        key_release(&k->ssh);
        buf_release(&k->tls_public);
        buf_release(&k->ssh_public);
}

/* The CA of the hosts, or of the users, of the cluster "example.com". */
struct test_ca {
        struct test_keys keys;
        struct buf cert; /* DER */
        struct x509_ca *x509;
        struct ssh_ca *ssh;
};

static inline UNUSED void test_ca_init(struct test_ca *ca, struct cert_times times)
{
        *ca = (struct test_ca){ .cert = BUF_MAX(CERT_MAX) };
        test_keys_init(&ca->keys);
        assert_done(x509_ca_create(&ca->keys.tls, STR("example.com"), times, &ca->cert));
        assert_done(x509_ca_load(buf_str(&ca->cert), &ca->keys.tls, &ca->x509));
        assert_done(ssh_ca_load(&ca->keys.ssh, &ca->ssh));
}

static inline UNUSED void test_ca_release(struct test_ca *ca)
{
        x509_ca_free(ca->x509);
        ssh_ca_free(ca->ssh);
        buf_release(&ca->cert);
        test_keys_release(&ca->keys);
}

#endif
