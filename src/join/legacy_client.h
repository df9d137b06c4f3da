/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of the older join service (proto.JoinService), which has one join method. Translates its message forms (PEM,
 * authorized_keys lines, a host ID chosen by the host) from and to those of join_client.
 */
#ifndef JOIN_LEGACY_CLIENT_H
#define JOIN_LEGACY_CLIENT_H

#include "join.pb-c.h"
#include "join/client.h"

/* Length of a NULL-terminated list; 0 for NULL. */
static inline size_t join_count_names(const char *const *names)
{
        size_t n = 0;
        while (names != NULL && names[n] != NULL)
                n++;
        return n;
}

/* The method of the older service. */
const struct join_method *legacy_method(void);

/* Opens the stream; the server sends the challenge first. */
struct rpc_client_call *legacy_call(struct rpc_client *client, const struct rpc_client_events *events, void *ctx) MUST_USE;

/* The challenge of an answer (borrowed from it) in the form of the newer service, in the arena; NULL: there is none. */
const Teleport__Join__V1__Challenge *legacy_read_challenge(struct arena *a, const ProtobufCMessage *answer);

/* Sends the one request: name, ID, role, public keys and the proof. */
struct error *legacy_send_request(struct rpc_client_call *call, const struct join_client_options *options,
                                  struct str host_id, const struct host_keys *keys, struct str proof) MUST_USE;

/* Decodes the PEM and authorized_keys forms of an answer's certificates, if it has any; the result lives in the arena. */
struct error *legacy_read_certs(struct arena *a, const ProtobufCMessage *answer, struct host_certificates *ret, bool *ret_has) MUST_USE;

#endif
