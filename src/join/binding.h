/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The join binding, a digest that ties a proof of an AWS identity to one join. Our agents sign it as the header
 * X-Cteleport-Join-Binding of their GetCallerIdentity request, and auth recomputes it from the received messages. It
 * covers the host's TLS connection (RFC 9266), the keys to be certified and all claims of the host, so an intercepted
 * proof cannot be used on another connection, for other keys or for another name. Form: docs/protocols/join.md.
 */
#ifndef JOIN_BINDING_H
#define JOIN_BINDING_H

#include <stddef.h>

#include "base/str.h"

enum { JOIN_BINDING_SIZE = 64 }; /* hex digits of SHA-256 */
enum { JOIN_PROOF_SIZE = 32 };   /* SHA-256 of the signed request with which a host joined */

/*
 * The inputs, as sent on the stream, byte for byte; keys are in the forms of the newer service also for the older one.
 * All borrowed.
 */
struct join_binding {
        struct str channel; /* of RFC 9266; empty: the connection has none */
        struct str token_name, role, host_id, host_name; /* host_id: the older service's, else empty */
        struct str tls_public_key;                       /* SubjectPublicKeyInfo DER */
        struct str ssh_public_key;                       /* wire form */
        const char *const *principals, *const *dns_names;
        size_t principal_count, dns_name_count;
};

/* Writes the digest in lower-case hex, NUL-terminated. */
void join_binding_digest(const struct join_binding *b, char ret[JOIN_BINDING_SIZE + 1]);

#endif
