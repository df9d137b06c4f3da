/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message forms of the older join service (PEM, authorized_keys lines, a host ID picked by the
 * host), translated from and to those that join_client works with.
 */
#ifndef JOIN_LEGACY_CLIENT_H
#define JOIN_LEGACY_CLIENT_H

#include "join.pb-c.h"
#include "join/client.h"
#include "join_legacy.pb-c.h"

/* Length of a NULL-terminated list; 0 for NULL. */
static inline size_t join_count_names(const char *const *names)
{
        size_t n = 0;
        while (names != NULL && names[n] != NULL)
                n++;
        return n;
}

/* Sends the one request: who we are, our public keys and the proof. */
struct error *legacy_send_request(struct rpc_client_call *call, const struct join_client_options *options,
                                  struct str host_id, const struct host_keys *keys, struct str proof) MUST_USE;

/* Decodes the answer's PEM and authorized_keys forms; the result lives in the arena. */
struct error *legacy_read_certs(struct arena *a, const Proto__Certs *certs, struct host_certificates *ret) MUST_USE;

#endif
