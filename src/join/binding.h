/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ties a proof of an AWS identity to one join: a digest that our agents sign as the header
 * X-Cteleport-Join-Binding of their GetCallerIdentity request, and that auth makes again from what it has
 * received. It covers the TLS connection on which the host speaks (RFC 9266), the keys to be certified and all
 * that the host says of itself, so a proof that somebody between host and cluster got hold of is worth nothing
 * on another connection, for other keys or for another name. Form: docs/protocols/join.md.
 */
#ifndef JOIN_BINDING_H
#define JOIN_BINDING_H

#include <stddef.h>

#include "base/str.h"

enum { JOIN_BINDING_SIZE = 64 }; /* hex digits of SHA-256 */
enum { JOIN_PROOF_SIZE = 32 };   /* SHA-256 of a signed request: which one made a host a member */

/* As sent on the stream, byte for byte; keys in the newer service's forms also for the older one. All borrowed. */
struct join_binding {
        struct str channel; /* of RFC 9266; empty: the connection has none */
        struct str token_name, role, host_id, host_name; /* host_id: the older service's, else empty */
        struct str tls_public_key;                       /* SubjectPublicKeyInfo DER */
        struct str ssh_public_key;                       /* wire form */
        const char *const *principals, *const *dns_names;
        size_t principal_count, dns_name_count;
};

/* Lower-case hex, NUL-terminated. */
void join_binding_digest(const struct join_binding *b, char ret[JOIN_BINDING_SIZE + 1]);

#endif
