/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the Auth Service says to an sshd: this certificate may log in to this account, on this connection to this host, and
 * have this. Signed with the key of its own TLS certificate (ECDSA, P-256, SHA-256), so that who carries the words from
 * one to the other (the node's ssh process, which meets the network) can neither make nor change them.
 *
 * What is signed: LOGIN_PERMIT_CONTEXT with its NUL, connection ID, host ID and login (each as an SSH string, RFC 4251
 * section 5), SHA-256 of the certificate, permits (uint32), nonce. The nonce is of who asked, for this one question: an
 * answer is good once and needs no end. The context is longer than what a peer chooses of the bytes that TLS signs with
 * the same key (32 bytes in TLS 1.2), and unlike those of TLS 1.3, which begin with spaces.
 */
#ifndef PKI_LOGIN_PERMIT_H
#define PKI_LOGIN_PERMIT_H

#include "base/clock.h"
#include "pki/ca_pins.h"
#include "pki/key.h"

#define LOGIN_PERMIT_CONTEXT "cteleport, Auth Service to sshd: this certificate may log in, version 1"

enum { LOGIN_PERMIT_NONCE = 32, LOGIN_PERMIT_SIGNATURE_MAX = 80 };

/* What the session may have, beside running commands. */
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

/* key: of the Auth Service's certificate. Appends the signature (DER). INVALID_ARGUMENT for a nonce of another length. */
struct error *login_permit_sign(const struct login_permit *p, const struct key *key, struct buf *out) MUST_USE;

/*
 * Verifies all of it: `ca` (DER) is one that the pins name, `certificate` (DER) is by it, of the role Auth and in force, the
 * signature is by its key. UNAUTHENTICATED says what failed; INVALID_ARGUMENT for what does not parse.
 */
struct error *login_permit_check(const struct login_permit *p, struct str signature, struct str certificate, struct str ca,
                                 const struct ca_pins *pins, struct walltime now) MUST_USE;

/*
 * Before a sandbox without files, and while an answer is awaited: OpenSSL sets itself and each algorithm up when it is first
 * used. Reads no configuration of the host.
 */
struct error *login_permit_prepare(void) MUST_USE;

#endif
