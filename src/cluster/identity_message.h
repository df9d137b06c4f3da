/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversion of host identities from and to messages: Identity of proto/internal.proto, which the instance process
 * sends to the services of its machine, and the certificates in answers of the cluster.
 */
#ifndef CLUSTER_IDENTITY_MESSAGE_H
#define CLUSTER_IDENTITY_MESSAGE_H

#include "api.pb-c.h"
#include "internal.pb-c.h"
#include "join/host_identity.h"

/* Reads and verifies an identity for that role, as host_identity_make() does. */
struct error *identity_of_message(const Cteleport__Internal__V1__Identity *msg, const char *role,
                                  struct host_identity *ret) MUST_USE;

/* Adds the user CAs of the cluster's answer to certs; borrowed. RESOURCE_EXHAUSTED for too many. */
struct error *identity_add_user_cas(struct host_certificates *certs, const Cteleport__V1__HostCertsResponse *answer) MUST_USE;

#endif
