/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lower bound of the cost of a join: the CPU time of its cryptography in OpenSSL.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

/* CPU seconds of the server's side, each the median of many. */
struct crypto_floor {
        double handshake; /* TLS 1.3, X25519, ECDSA P-256, no tickets, no client certificate */
        double x509;      /* an ECDSA P-256 signature over a digest */
        double ssh;       /* an Ed25519 signature over as many bytes as a certificate has */
};
double crypto_floor_sum(const struct crypto_floor *f);

/*
 * Measures on a thread of its own, in short bursts, until it is stopped: during the joins, because a busy
 * processor is slower for both.
 */
void crypto_floor_start(void);
struct crypto_floor crypto_floor_stop(void);

#endif
