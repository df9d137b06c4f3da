/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests of the signer's policy: the facts of a cluster, the public keys of its CAs, and keys of a requester.
 */
#ifndef SIGNER_POLICY_TESTING_H
#define SIGNER_POLICY_TESTING_H

#include "base/mem.h"
#include "pki/pki_testing.h"
#include "rpc/pb.h"
#include "signer/policy.h"

enum { NOW = 1700000000, LISTS_MAX = 128 };

struct policy_bench {
        struct arena *arena;
        struct policy_facts facts;
        struct public_key own_keys[2]; /* of the CAs */
        struct buf ca_tls, ca_ssh_spki, ca_ssh_wire; /* public keys of the CAs, in the forms that a request may have */
        struct buf tls, ssh;                         /* public keys of the requester */
};

static inline void policy_bench_init(struct policy_bench *b)
{
        AUTO(key) ca_tls = given_key(KEY_ECDSA_P256);
        AUTO(key) ca_ssh = given_key(KEY_ED25519);
        AUTO(key) tls = given_key(KEY_ECDSA_P256);
        AUTO(key) ssh = given_key(KEY_ED25519);

        b->arena = arena_new(1 * MiB);
        b->ca_tls = b->ca_ssh_spki = b->ca_ssh_wire = b->tls = b->ssh = BUF_MAX(PUBLIC_KEY_MAX);
        assert_done(key_public_der(&ca_tls, &b->ca_tls));
        assert_done(key_public_der(&ca_ssh, &b->ca_ssh_spki));
        assert_done(key_public_ssh(&ca_ssh, &b->ca_ssh_wire));
        assert_done(key_public_der(&tls, &b->tls));
        assert_done(key_public_ssh(&ssh, &b->ssh));
        assert_done(public_key_of_spki(buf_str(&b->ca_tls), &b->own_keys[0]));
        assert_done(public_key_of_spki(buf_str(&b->ca_ssh_spki), &b->own_keys[1]));
        b->facts = (struct policy_facts){
                .cluster = STR("example.com"),
                .now = walltime_of_unix(NOW),
                .ca_times = times_of(NOW - 1000000, NOW + 1000000),
                .own_keys = b->own_keys,
                .own_key_count = ARRAY_LEN(b->own_keys),
        };
}

static inline void policy_bench_release(struct policy_bench *b)
{
        arena_free(b->arena);
        buf_release(&b->ca_tls);
        buf_release(&b->ca_ssh_spki);
        buf_release(&b->ca_ssh_wire);
        buf_release(&b->tls);
        buf_release(&b->ssh);
}

static inline ProtobufCBinaryData bytes_of(const struct buf *b)
{
        return (ProtobufCBinaryData){ .len = b->len, .data = (uint8_t *)b->ptr };
}

#endif
