/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Login permit: a signed message of the Auth Service to an sshd, which allows a certificate to log in to an account, on
 * one connection to one host, with given permissions. It is signed with the key of the Auth Service's TLS certificate
 * (ECDSA, P-256, SHA-256), so that the node's ssh process, which forwards it and is exposed to the network, can neither
 * forge nor change it.
 *
 * Signed are: LOGIN_PERMIT_CONTEXT with its NUL, connection ID, host ID and login (each as an SSH string, RFC 4251
 * section 5), SHA-256 of the certificate, permits (uint32), nonce. The client generates the nonce for each request: a
 * permit is valid once and needs no expiry. The context is longer than the peer's part of the messages that TLS 1.2
 * signs with the same key (32 bytes), and unlike those of TLS 1.3 does not begin with spaces.
 */
#ifndef PKI_LOGIN_PERMIT_H
#define PKI_LOGIN_PERMIT_H

#include "base/clock.h"
#include "pki/ca_pins.h"
#include "pki/key.h"

#define LOGIN_PERMIT_CONTEXT "cteleport, Auth Service to sshd: this certificate may log in, version 1"

enum { LOGIN_PERMIT_NONCE = 32, LOGIN_PERMIT_SIGNATURE_MAX = 80 };

/* Permissions of the session, beside running commands. */
enum {
        LOGIN_PERMIT_PTY = 1,
        LOGIN_PERMIT_PORT_FORWARDING = 2,
        LOGIN_PERMIT_AGENT_FORWARDING = 4,
        LOGIN_PERMITS_ALL = 7
};

/* Borrowed. */
struct login_permit {
        struct str connection_id, host_id, login;
        struct str certificate; /* of the user, in SSH wire form */
        struct str nonce;       /* LOGIN_PERMIT_NONCE bytes */
        uint32_t permits;
};

/* Appends the signature (DER). key: of the Auth Service's certificate. INVALID_ARGUMENT for a nonce of another length. */
struct error *login_permit_sign(const struct login_permit *p, const struct key *key, struct buf *out) MUST_USE;

/*
 * Verifies a permit: `ca` (DER) matches a pin, `certificate` (DER) is issued by it, has the role Auth and is valid now,
 * and the signature is by its key. UNAUTHENTICATED names the failed check; INVALID_ARGUMENT for malformed input.
 */
struct error *login_permit_check(const struct login_permit *p, struct str signature, struct str certificate, struct str ca,
                                 const struct ca_pins *pins, struct walltime now) MUST_USE;

/*
 * Initialises OpenSSL and the algorithms, which it otherwise does at first use: to be called before entering a sandbox
 * without files, or while waiting for an answer. Reads no configuration of the host.
 */
struct error *login_permit_prepare(void) MUST_USE;

#endif
