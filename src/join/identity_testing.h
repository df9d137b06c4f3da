/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests: the CAs of a cluster, which certify every request. Issued certificates are in an arena.
 */
#ifndef JOIN_IDENTITY_TESTING_H
#define JOIN_IDENTITY_TESTING_H

#include <stdlib.h>

#include "base/mem.h"
#include "join/host_identity.h"
#include "pki/pki_testing.h"

#define HOST_ID "12345678-1234-4234-8234-123456789abc"
#define CLUSTER "example.com"

struct fake_cluster {
        struct arena *arena;
        struct test_ca ca;
        struct walltime now;
};

static inline void fake_cluster_init(struct fake_cluster *c, struct walltime now)
{
        *c = (struct fake_cluster){ .arena = arena_new(1 * MiB), .now = now };
        test_ca_init(&c->ca, (struct cert_times){ walltime_sub(now, HOURS(1)), walltime_add(now, HOURS(24 * 365)) });
}

static inline void fake_cluster_release(struct fake_cluster *c)
{
        test_ca_release(&c->ca);
        arena_free(c->arena);
        *c = (struct fake_cluster){ 0 };
}

/* Certificates as auth issues them, for public keys in the forms of a join. */
static inline struct host_certificates fake_certify(struct fake_cluster *c, const char *role, struct str tls_public_der,
                                                    struct str ssh_public_wire, struct cert_times times)
{
        AUTO(buf) cert = BUF_MAX(CERT_MAX);
        AUTO(buf) ssh_cert = BUF_MAX(CERT_MAX);
        struct str names[] = { STR_INIT("node-1") };
        struct x509_subject subject = { .common_name = STR(HOST_ID "." CLUSTER), .role = str_of(role), .cluster = STR(CLUSTER),
                                        .dns_names = names, .dns_name_count = 1 };
        struct ssh_host_subject ssh_subject = { .key_id = STR(HOST_ID), .principals = names, .principal_count = 1 };

        assert_done(x509_issue_host(c->ca.x509, &subject, tls_public_der, times, &cert, NULL));
        assert_done(ssh_issue_host(c->ca.ssh, &ssh_subject, ssh_public_wire, 1, times, &ssh_cert));
        return (struct host_certificates){
                .tls_cert = arena_str(c->arena, buf_str(&cert)),
                .tls_ca_certs = { buf_str(&c->ca.cert) },
                .tls_ca_count = 1,
                .ssh_cert = arena_str(c->arena, buf_str(&ssh_cert)),
                .ssh_ca_keys = { buf_str(&c->ca.keys.ssh_public) },
                .ssh_ca_count = 1,
        };
}

static inline struct cert_times fake_times(const struct fake_cluster *c)
{
        return (struct cert_times){ walltime_sub(c->now, SECONDS(LIMIT_CERT_BACKDATE_SECONDS)), walltime_add(c->now, HOURS(1)) };
}

/* The same for key pairs. */
static inline struct host_certificates fake_certify_keys(struct fake_cluster *c, const char *role,
                                                         const struct host_keys *keys)
{
        AUTO(buf) tls = BUF_MAX(4 * KiB);
        AUTO(buf) ssh = BUF_MAX(4 * KiB);
        assert_done(key_public_der(&keys->tls, &tls));
        assert_done(key_public_ssh(&keys->ssh, &ssh));
        return fake_certify(c, role, buf_str(&tls), buf_str(&ssh), fake_times(c));
}

/* A verified identity; release it. */
static inline struct host_identity fake_identity(struct fake_cluster *c, const char *role)
{
        AUTO(host_keys) keys = { 0 };
        struct host_identity id = { 0 };
        assert_done(host_keys_generate(&keys));
        struct host_certificates certs = fake_certify_keys(c, role, &keys);
        assert_done(host_identity_make(&id, &keys, &certs, (struct host_expectation){ 0 }));
        return id;
}

#endif
